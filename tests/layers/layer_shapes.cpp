// SPDX-License-Identifier: MIT
//
// One line a model: hidden, intermediate, experts, k, width of the shared experts.
#include "tests/layers/layer_shapes.h"

#include <stdexcept>

#include "runtime/block_format.h"

namespace moevk {

const std::vector<LayerShape>& layer_shapes() {
  constexpr uint32_t kOne = MOE_SHARED_GATE_ONE, kSigmoid = MOE_SHARED_GATE_SIGMOID;
  constexpr uint32_t kBiases = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS;
  constexpr uint32_t kLatent = MOE_LAYER_SELECTION_BIAS | MOE_LAYER_LATENT_NORM;
  static const std::vector<LayerShape> shapes = {
      {"mixtral-8x7b", 4096, 14336, 8, 2},
      {"mixtral-8x22b", 6144, 16384, 8, 2},
      {"deepseek-v2-lite", 2048, 1408, 64, 6, 2816},
      {"deepseek-v3", 7168, 2048, 256, 8, 2048, kOne, MOE_LAYER_SELECTION_BIAS},
      {"qwen1.5-moe", 2048, 1408, 60, 4, 5632, kSigmoid},
      {"qwen3-30b", 2048, 768, 128, 8},
      {"qwen3-235b", 4096, 1536, 128, 8},
      {"qwen3-next", 2048, 512, 512, 10, 512, kSigmoid},
      {"longcat", 6144, 2048, 512, 12, 0, kOne, MOE_LAYER_SELECTION_BIAS, MOE_ACTIVATION_SILU, 0, 256},
      {"gpt-oss-20b", 2880, 2880, 32, 4, 0, kOne, kBiases, MOE_ACTIVATION_SWIGLU_OAI},
      {"gpt-oss-120b", 2880, 2880, 128, 4, 0, kOne, kBiases, MOE_ACTIVATION_SWIGLU_OAI},
      {"llama-4-scout", 5120, 8192, 16, 1, 8192},
      {"olmoe", 2048, 1024, 64, 8},
      {"kimi-k2", 7168, 2048, 384, 8, 2048, kOne, MOE_LAYER_SELECTION_BIAS},
      {"kimi-k3", 7168, 3072, 896, 16, 6144, kOne, kLatent, MOE_ACTIVATION_SITU, 3584},
      {"glm-4.5-air", 4096, 1408, 128, 8, 1408, kOne, MOE_LAYER_SELECTION_BIAS},
      {"granite-1b", 1024, 512, 32, 8},
      {"granite-3b", 1536, 512, 40, 8},
      {"minimax-m2", 3072, 1536, 256, 8, 0, kOne, MOE_LAYER_SELECTION_BIAS},
  };
  return shapes;
}

const LayerShape& layer_shape(const std::string& name) {
  for (const LayerShape& shape : layer_shapes()) {
    if (shape.name == name) return shape;
  }
  throw std::runtime_error("no layer shape " + name);
}

moe_layer_desc describe(const LayerShape& shape, WeightFormat format) {
  moe_layer_desc d = moe_init<moe_layer_desc>();
  d.hidden = shape.hidden;
  d.intermediate = shape.intermediate;
  d.experts = shape.experts;
  d.top_k = shape.top_k;
  d.flags = shape.flags;
  d.score = (shape.flags & MOE_LAYER_SELECTION_BIAS) != 0 ? MOE_SCORE_SIGMOID : MOE_SCORE_SOFTMAX;
  d.activation = shape.activation;
  d.shared_intermediate = shape.shared;
  d.shared_gate = shape.shared_gate;
  d.latent = shape.latent;
  d.identity_experts = shape.identity;
  for (moe_weight_format* f : {&d.gate_format, &d.up_format, &d.down_format, &d.shared_gate_format, &d.shared_up_format,
                               &d.shared_down_format, &d.latent_down_format, &d.latent_up_format}) {
    if (is_plain(format)) {
      f->element = static_cast<uint32_t>(format);
    } else {
      f->preset = 1 + find_block_format(format)->ggml_type;
    }
  }
  return d;
}

LayerSpec make_spec(const moe_layer_desc& desc) {
  Result<LayerSpec> spec = make_layer_spec(desc);
  if (!spec.ok()) throw std::runtime_error(spec.status().argument() + ": " + spec.status().text());
  return spec.value();
}

LayerSpec make_spec(const LayerShape& shape, WeightFormat format) { return make_spec(describe(shape, format)); }

}  // namespace moevk
