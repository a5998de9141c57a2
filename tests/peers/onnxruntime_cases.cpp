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
#include "tests/peers/onnx_quantised.h"
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
  if (tensor.name.empty()) return;
  moe_tensor_source source = MOE_INIT(moe_tensor_source);
  const bool blocks = !tensor.bytes.empty();
  source.name = name;
  source.dtype = blocks ? MOE_DTYPE_BLOCKS : MOE_DTYPE_F32;
  source.memory = blocks ? static_cast<const void*>(tensor.bytes.data()) : tensor.data.data();
  source.bytes = blocks ? tensor.bytes.size() : tensor.data.size() * sizeof(float);
  layer.tensors.push_back(source);
}

// Inputs of QMoE: as of MoE, but that scales follow each matrix and zero points stand last.
void add_quantised_weights(const OnnxCase& one, bool biases, int64_t fc1_rows, float fc1_spread, float fc2_spread,
                           Random& random, OnnxLayer& layer) {
  const moe_layer_desc& d = one.desc;
  const auto e = int64_t{d.experts}, h = int64_t{d.hidden}, f = int64_t{d.intermediate};
  layer.node.operator_type = "QMoE";
  layer.node.attributes.emplace_back("expert_weight_bits", int64_t{d.up_format.bits});
  if (d.up_format.block_columns != 0)
    layer.node.attributes.emplace_back("block_size", int64_t{d.up_format.block_columns});
  QuantisedMatrix fc1 = random_quantised("fc1", e, fc1_rows, h, d.up_format, fc1_spread, random);
  QuantisedMatrix fc2 = random_quantised("fc2", e, h, f, d.down_format, fc2_spread, random);
  std::vector<OnnxTensor>& inputs = layer.node.inputs;
  inputs.push_back(std::move(fc1.codes));
  inputs.push_back(std::move(fc1.scales));
  inputs.push_back(biases ? random_tensor("fc1_bias", {e, fc1_rows}, 0.5f, random) : OnnxTensor{});
  inputs.push_back(std::move(fc2.codes));
  inputs.push_back(std::move(fc2.scales));
  inputs.push_back(biases ? random_tensor("fc2_bias", {e, h}, 0.5f, random) : OnnxTensor{});
  inputs.resize(11);
  inputs.push_back(std::move(fc1.zeros));
  inputs.push_back(std::move(fc2.zeros));
  const bool gated = (d.flags & MOE_LAYER_UNGATED) == 0;
  add_source(layer, gated ? "experts.gate_up.scale" : "experts.up.scale", inputs[3]);
  add_source(layer, gated ? "experts.gate_up.zero" : "experts.up.zero", inputs[11]);
  add_source(layer, gated ? "experts.gate_up" : "experts.up", inputs[2]);
  add_source(layer, gated ? "experts.gate_up.bias" : "experts.up.bias", inputs[4]);
  add_source(layer, "experts.down.scale", inputs[6]);
  add_source(layer, "experts.down.zero", inputs[12]);
  add_source(layer, "experts.down", inputs[5]);
  add_source(layer, "experts.down.bias", inputs[7]);
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

std::vector<OnnxCase> onnx_qmoe_cases() {
  // What the operator's routing is: a softmax over the k chosen.
  const auto quantised = [](const char* name, OnnxCase one, uint32_t bits, uint32_t block, bool zeros) {
    one.name = name;
    one.family.clear();
    one.desc.up_format = {MOE_ELEMENT_INT, bits, block, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0};
    if (zeros) one.desc.up_format.zero_point = MOE_ZERO_POINT_STORED;
    one.desc.gate_format = one.desc.down_format = one.desc.up_format;
    one.bound = 1e-6;
    return one;
  };
  const auto plain = [](uint32_t activation, const Size& size, uint32_t flags = 0) {
    return of_operator("", activation, true, size, flags);
  };
  const Size small = {16, 4, 128, 96, 21};
  std::vector<OnnxCase> cases = {
      quantised("qmoe int4, row", of_family("gpt-oss", {32, 4, 96, 64, 33}), 4, 0, false),
      quantised("qmoe int8, row", of_family("gpt-oss", {32, 4, 96, 64, 33}), 8, 0, false),
      quantised("qmoe int4, row, zeros", of_family("gpt-oss", small), 4, 0, true),
      quantised("qmoe int8, row, zeros", of_family("gpt-oss", small), 8, 0, true),
      quantised("qmoe int4, 32", of_family("mixtral", small), 4, 32, false),
      quantised("qmoe int8, 32", of_family("mixtral", small), 8, 32, false),
      quantised("qmoe int4, 16, zeros", of_family("gpt-oss", small), 4, 16, true),
      quantised("qmoe int4, 32, zeros", plain(MOE_ACTIVATION_SILU, small), 4, 32, true),
      quantised("qmoe int8, 64, zeros", plain(MOE_ACTIVATION_SILU, {8, 2, 192, 128, 40}), 8, 64, true),
      quantised("qmoe int4, 128, relu", plain(MOE_ACTIVATION_RELU, {8, 2, 256, 128, 9}, MOE_LAYER_EXPERT_BIAS), 4, 128,
                false),
      quantised("qmoe int2, row", of_family("gpt-oss", small), 2, 0, false),
      // Of other sizes the provider rounds activations to 8 bits for its table look-ups.
      quantised("qmoe int2, 16, zeros", of_family("gpt-oss", {16, 4, 112, 80, 21}), 2, 16, true),
  };
  for (size_t i = 0; i < cases.size(); ++i) cases[i].seed = 1000 + i;
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
  layer.node.output = {"y", {tokens, h}, {}};
  if (desc.up_format.element == MOE_ELEMENT_INT) {
    add_quantised_weights(one, biases, rows, 3 * fan_in, fan_out, random, layer);
    return layer;
  }
  inputs.push_back(random_tensor("fc1", {e, rows, h}, 3 * fan_in, random));
  inputs.push_back(biases ? random_tensor("fc1_bias", {e, rows}, 0.5f, random) : OnnxTensor{});
  inputs.push_back(random_tensor("fc2", {e, h, f}, fan_out, random));
  if (biases) inputs.push_back(random_tensor("fc2_bias", {e, h}, 0.5f, random));
  add_source(layer, gated ? "experts.gate_up" : "experts.up", inputs[2]);
  if (biases) add_source(layer, gated ? "experts.gate_up.bias" : "experts.up.bias", inputs[3]);
  add_source(layer, "experts.down", inputs[4]);
  if (biases) add_source(layer, "experts.down.bias", inputs[5]);
  return layer;
}

}  // namespace moevk::peers
