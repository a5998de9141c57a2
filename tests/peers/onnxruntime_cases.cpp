// SPDX-License-Identifier: MIT
//
// In:  see onnxruntime_cases.h.
// Out: see onnxruntime_cases.h.
// Why: what the operator does is ONNX Runtime's ContribOperators.md: a softmax over all experts, the top k, the k
//      weights divided by their sum if asked; one matrix fc1 in front of the activation, one fc2 behind it.
#include "tests/peers/onnxruntime_cases.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "tests/conformance/numbers.h"
#include "tools/model/presets/presets.h"

namespace moevk::peers {
namespace {

using moe_conformance::Random;

constexpr char kSparsemixer[] = "use_sparse_mixer";

struct Size {
  uint32_t experts, top_k, hidden, intermediate, tokens;
};

moe_layer_desc routed_from_logits(moe_layer_desc desc, const Size& size) {
  desc.hidden = size.hidden, desc.intermediate = size.intermediate;
  desc.experts = size.experts, desc.top_k = size.top_k;
  desc.route_source = MOE_ROUTE_FROM_LOGITS;
  desc.flags &= ~MOE_LAYER_ROUTER_BIAS;
  const bool gated = (desc.flags & MOE_LAYER_UNGATED) == 0;
  desc.gate_format = desc.up_format = desc.down_format = {};  // f32
  desc.gate_up_layout = gated ? MOE_GATE_UP_INTERLEAVED : MOE_GATE_UP_SEPARATE;
  return desc;
}

OnnxCase of_preset(const model::Preset& preset, const Size& size) {
  return {preset.name, preset.family, routed_from_logits(preset.desc, size), size.tokens};
}

OnnxCase of_family(const char* family, const Size& size) {
  const model::Preset* preset = model::find_preset(family);
  if (preset == nullptr) throw std::runtime_error(std::string("there is no preset ") + family);
  return of_preset(*preset, size);
}

OnnxCase of_operator(const char* name, uint32_t activation, bool normalize, const Size& size, uint32_t flags = 0) {
  moe_layer_desc desc = MOE_INIT(moe_layer_desc);
  desc.score = MOE_SCORE_SOFTMAX;
  desc.activation = activation;
  desc.flags = MOE_LAYER_UNGATED | flags;
  if (normalize) desc.normalize = MOE_NORMALIZE_SUM_EPS;
  return {name, "", routed_from_logits(desc, size), size.tokens};
}

// What the descriptor's routing is in the operator's words. A softmax over the k chosen is a softmax over all, divided
// by the sum of the k.
void add_routing(const moe_layer_desc& desc, OnnxNode& node) {
  const bool sparsemixer = desc.selection == MOE_SELECT_SPARSEMIXER;
  const bool softmax_of_chosen = desc.score == MOE_SCORE_IDENTITY && desc.weight == MOE_WEIGHT_SOFTMAX;
  const bool softmax = desc.score == MOE_SCORE_SOFTMAX && desc.weight == MOE_WEIGHT_IDENTITY;
  // Softmax scores of the top k sum to k/E at least, so that a tiny eps or floor says nothing; p = 1 is the sum.
  const bool by_sum = desc.normalize == MOE_NORMALIZE_SUM_EPS || desc.normalize == MOE_NORMALIZE_SUM_FLOOR ||
                      (desc.normalize == MOE_NORMALIZE_P_NORM && desc.normalize_p == 1);
  const auto lacks = [](bool asked, const char* what) {
    if (asked) throw NotExpressible(std::string("com.microsoft::MoE has no ") + what);
  };
  lacks(desc.capacity != MOE_CAPACITY_NONE, "capacity");
  lacks(desc.identity_experts > 0, "identity experts");
  lacks(desc.latent > 0, "latent experts");
  lacks((desc.flags & MOE_LAYER_SELECTION_BIAS) != 0, "selection bias");
  lacks((desc.flags & MOE_LAYER_WEIGHT_ON_INPUT) != 0, "weight on the experts' input");
  lacks((desc.flags & (MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_PER_EXPERT_SCALE)) != 0, "scale of each expert");
  lacks(desc.groups > 1, "groups of experts");
  lacks(desc.shared_intermediate > 0, "shared experts");
  lacks(desc.routed_scale != 0 && desc.routed_scale != 1, "scale of the routed experts");
  lacks(!sparsemixer && !softmax_of_chosen && !softmax, "scores but a softmax");
  lacks(desc.normalize != MOE_NORMALIZE_NONE && (!by_sum || desc.normalize_eps >= 1e-6f), "such renormalisation");
  node.attributes.emplace_back("k", int64_t{desc.top_k});
  node.attributes.emplace_back("normalize_routing_weights", int64_t{by_sum || softmax_of_chosen});
  if (sparsemixer) node.attributes.emplace_back(kSparsemixer, int64_t{1});
}

void add_activation(const moe_layer_desc& desc, OnnxNode& node) {
  if ((desc.flags & MOE_LAYER_UNGATED) != 0) {
    const char* name = desc.activation == MOE_ACTIVATION_RELU        ? "relu"
                       : desc.activation == MOE_ACTIVATION_GELU_TANH ? "gelu"
                       : desc.activation == MOE_ACTIVATION_SILU      ? "silu"
                                                                     : nullptr;
    if (name == nullptr) throw NotExpressible("com.microsoft::MoE has no such activation");
    node.attributes.emplace_back("activation_type", name);
    return;
  }
  const bool oai = desc.activation == MOE_ACTIVATION_SWIGLU_OAI;
  if (!oai && desc.activation != MOE_ACTIVATION_SILU)
    throw NotExpressible("com.microsoft::MoE has no gated unit but with silu");
  node.attributes.emplace_back("activation_type", "swiglu");
  node.attributes.emplace_back("swiglu_fusion", int64_t{1});  // even rows gate, odd rows up
  node.attributes.emplace_back("activation_alpha", oai ? desc.activation_alpha : 1.0f);
  node.attributes.emplace_back("activation_beta", oai ? desc.activation_beta : 0.0f);
  if (oai && desc.activation_limit > 0) node.attributes.emplace_back("swiglu_limit", desc.activation_limit);
}

OnnxTensor random_tensor(const char* name, std::vector<int64_t> shape, float spread, Random& random) {
  size_t count = 1;
  for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
  OnnxTensor tensor{name, std::move(shape), std::vector<float>(count)};
  for (float& number : tensor.data) number = spread * random.normal();
  return tensor;
}

void add_source(OnnxLayer& layer, const char* name, const OnnxTensor& tensor) {
  moe_tensor_source source = MOE_INIT(moe_tensor_source);
  source.name = name;
  source.dtype = MOE_DTYPE_F32;
  source.memory = tensor.data.data();
  source.bytes = tensor.data.size() * sizeof(float);
  layer.tensors.push_back(source);
}

}  // namespace

std::vector<OnnxCase> onnx_moe_cases() {
  constexpr uint32_t kBiases = MOE_LAYER_EXPERT_BIAS;
  std::vector<OnnxCase> cases = {
      of_family("mixtral", {8, 2, 128, 224, 40}),
      of_family("qwen3-moe", {32, 8, 96, 48, 33}),
      of_family("olmoe", {60, 8, 67, 40, 21}),
      of_family("phi-3.5-moe", {16, 2, 112, 72, 48}),
      of_family("dbrx", {16, 4, 130, 90, 19}),
      of_family("jamba", {16, 2, 75, 51, 40}),
      of_family("arctic", {32, 2, 96, 80, 64}),
      of_family("granite-moe", {40, 8, 85, 33, 37}),
      of_family("gpt-oss", {32, 4, 90, 90, 64}),
      of_operator("relu", MOE_ACTIVATION_RELU, false, {8, 1, 64, 96, 33}),
      of_operator("relu, biases", MOE_ACTIVATION_RELU, true, {16, 2, 77, 45, 20}, kBiases),
      of_operator("gelu", MOE_ACTIVATION_GELU_TANH, true, {32, 4, 63, 65, 18}),
      of_operator("gelu, biases, odd E", MOE_ACTIVATION_GELU_TANH, false, {60, 6, 33, 17, 65}, kBiases),
      of_operator("silu", MOE_ACTIVATION_SILU, false, {8, 3, 129, 31, 7}),
      of_operator("silu, biases", MOE_ACTIVATION_SILU, true, {60, 4, 40, 48, 128}, kBiases),
  };
  for (const model::Preset& preset : model::all_presets()) {
    if (std::any_of(cases.begin(), cases.end(), [&](const OnnxCase& one) { return one.family == preset.name; })) {
      continue;
    }
    cases.push_back(of_preset(preset, {24, std::min(preset.desc.top_k, 8u), 60, 36, 25}));
    cases.back().expressible = false;
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    cases[i].seed = i + 1;
    if (cases[i].desc.selection == MOE_SELECT_SPARSEMIXER) cases[i].may_be_ignored = kSparsemixer;
  }
  return cases;
}

OnnxLayer make_onnx_layer(const OnnxCase& one) {
  const moe_layer_desc& desc = one.desc;
  const auto e = int64_t{desc.experts}, h = int64_t{desc.hidden}, f = int64_t{desc.intermediate};
  const bool gated = (desc.flags & MOE_LAYER_UNGATED) == 0, biases = (desc.flags & MOE_LAYER_EXPERT_BIAS) != 0;
  const int64_t rows = gated ? 2 * f : f, tokens = static_cast<int64_t>(one.tokens);
  Random random(one.seed);
  OnnxLayer layer;
  layer.node.operator_type = "MoE";
  layer.node.domain = "com.microsoft";
  add_routing(desc, layer.node);
  add_activation(desc, layer.node);
  layer.inputs.tokens = one.tokens;
  layer.inputs.x = random_tensor("x", {tokens, h}, 1, random).data;
  layer.inputs.logits = random_tensor("router", {tokens, e}, 2, random).data;
  // Gates near three, so that a limit of 7 is reached.
  const float fan_in = 1 / std::sqrt(static_cast<float>(h)), fan_out = 1 / std::sqrt(static_cast<float>(f));
  std::vector<OnnxTensor>& inputs = layer.node.inputs;
  inputs = {{"x", {tokens, h}, {}}, {"router", {tokens, e}, {}}};
  inputs.push_back(random_tensor("fc1", {e, rows, h}, 3 * fan_in, random));
  inputs.push_back(biases ? random_tensor("fc1_bias", {e, rows}, 0.5f, random) : OnnxTensor{});
  inputs.push_back(random_tensor("fc2", {e, h, f}, fan_out, random));
  if (biases) inputs.push_back(random_tensor("fc2_bias", {e, h}, 0.5f, random));
  layer.node.output = {"y", {tokens, h}, {}};
  add_source(layer, gated ? "experts.gate_up" : "experts.up", inputs[2]);
  if (biases) add_source(layer, gated ? "experts.gate_up.bias" : "experts.up.bias", inputs[3]);
  add_source(layer, "experts.down", inputs[4]);
  if (biases) add_source(layer, "experts.down.bias", inputs[5]);
  return layer;
}

}  // namespace moevk::peers
