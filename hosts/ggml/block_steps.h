// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: for each step of a MoE block the ways in which llama.cpp builds it, and what each says of the layer.
// Why: graphs of different models differ in one step at a time, so a table for each step covers all of them.
#ifndef MOEVK_HOSTS_GGML_BLOCK_STEPS_H_
#define MOEVK_HOSTS_GGML_BLOCK_STEPS_H_

#include <cmath>
#include <cstring>

#include "hosts/ggml/graph_pattern.h"
#include "plugin_api/moe_plugin.h"

namespace moevk::ggml {

inline float param(const Tensor* node, size_t index) {
  float value;
  std::memcpy(&value, node->op_params + index, sizeof value);
  return value;
}

// One way in which a step is built: the pattern, and what it says of the layer. False: not this layer's.
struct Way {
  const char* pattern;
  bool (*apply)(moe_layer_desc& desc, const Found& found);
};

inline bool nothing(moe_layer_desc&, const Found&) { return true; }

template <uint32_t Activation, bool Gated = true>
bool activation(moe_layer_desc& desc, const Found& found) {
  desc.activation = Activation;
  if (!Gated) desc.flags |= MOE_LAYER_UNGATED;
  for (const char* glu : {"GLU.SWIGLU", "GLU.GEGLU", "GLU.REGLU", "GLU.GEGLU_ERF"}) {
    const auto it = found.ops.find(glu);
    if (it != found.ops.end() && it->second->op_params[1] != 0) return false;  // gate and up swapped
  }
  return true;
}

inline bool swiglu_oai(moe_layer_desc& desc, const Found& found) {
  const Tensor* node = found.ops.at("GLU.SWIGLU_OAI");
  desc.activation = MOE_ACTIVATION_SWIGLU_OAI;
  desc.activation_alpha = param(node, 2);
  desc.activation_limit = param(node, 3);
  desc.activation_beta = 1;
  return node->op_params[1] == 0;
}

inline bool swiglu_clamp(moe_layer_desc& desc, const Found& found) {
  const Tensor* node = found.ops.at("GLU.SWIGLU_CLAMP");
  desc.activation = MOE_ACTIVATION_SWIGLU_CLAMP_PRE;
  desc.activation_limit = param(node, 3);
  return node->op_params[1] == 0 && desc.activation_limit > 0;
}

// silu(gate), at most the limit, times up within it.
inline bool clamp_post(moe_layer_desc& desc, const Found& found) {
  const Tensor *gate = found.ops.at("CLAMP"), *up = found.ops.at("CLAMP2");
  desc.activation = MOE_ACTIVATION_SWIGLU_CLAMP_POST;
  desc.activation_limit = param(gate, 1);
  return desc.activation_limit > 0 && param(gate, 0) < -1e30f && param(up, 0) == -desc.activation_limit &&
         param(up, 1) == desc.activation_limit;
}

// b tanh(x / b): the two scales are each other's inverse.
inline bool soft_cap(const Found& found, const char* outer, const char* inner, float& cap) {
  const Tensor *a = found.ops.at(outer), *b = found.ops.at(inner);
  cap = param(a, 0);
  return cap > 0 && std::fabs(param(b, 0) * cap - 1) < 1e-6f && param(a, 1) == 0 && param(b, 1) == 0;
}
inline bool situ(moe_layer_desc& desc, const Found& found) {
  desc.activation = MOE_ACTIVATION_SITU;
  return soft_cap(found, "SCALE", "SCALE2", desc.activation_alpha) &&
         soft_cap(found, "SCALE3", "SCALE4", desc.activation_beta);
}

inline bool situ_without_cap(moe_layer_desc& desc, const Found& found) {
  desc.activation = MOE_ACTIVATION_SITU;
  desc.activation_beta = 0;
  return soft_cap(found, "SCALE", "SCALE2", desc.activation_alpha);
}

inline const Way kActivations[] = {
    {"GLU.SWIGLU_CLAMP(gate, up)", swiglu_clamp},
    {"MUL(CLAMP(UNARY.SILU(gate)), CLAMP(up))", clamp_post},
    {"MUL(MUL(SCALE(UNARY.TANH(SCALE(gate))), UNARY.SIGMOID(gate)), SCALE(UNARY.TANH(SCALE(up))))", situ},
    {"MUL(MUL(SCALE(UNARY.TANH(SCALE(gate))), UNARY.SIGMOID(gate)), up)", situ_without_cap},
    {"GLU.SWIGLU(gate, up)", activation<MOE_ACTIVATION_SILU>},
    {"GLU.GEGLU(gate, up)", activation<MOE_ACTIVATION_GELU_TANH>},
    {"GLU.GEGLU_ERF(gate, up)", activation<MOE_ACTIVATION_GELU_ERF>},
    {"GLU.REGLU(gate, up)", activation<MOE_ACTIVATION_RELU>},
    {"GLU.SWIGLU_OAI(gate, up)", swiglu_oai},
    {"SQR(UNARY.RELU(up))", activation<MOE_ACTIVATION_RELU2, false>},
    {"UNARY.RELU(up)", activation<MOE_ACTIVATION_RELU, false>},
    {"UNARY.SILU(up)", activation<MOE_ACTIVATION_SILU, false>},
    {"UNARY.GELU(up)", activation<MOE_ACTIVATION_GELU_TANH, false>},
};

inline bool scaled(moe_layer_desc& desc, const Found& found) {
  const Tensor* node = found.ops.at("SCALE");
  desc.routed_scale = param(node, 0);
  return desc.routed_scale != 0 && param(node, 1) == 0;  // no offset
}
inline const Way kScale[] = {{"SCALE(w)", scaled}};

// The sum is kept from zero.
inline bool sum_floor(moe_layer_desc& desc, const Found& found) {
  const Tensor* clamp = found.ops.at("CLAMP");
  desc.normalize = MOE_NORMALIZE_SUM_FLOOR;
  desc.normalize_eps = param(clamp, 0);
  desc.flags |= MOE_LAYER_NORMALIZE_SINGLE;
  return desc.normalize_eps > 0 && param(clamp, 1) > 1e30f;
}
inline const Way kNormalize[] = {{"DIV(w, CLAMP(SUM_ROWS(w)))", sum_floor}};

inline bool plain_softmax(const Found& found) {
  const Tensor* node = found.ops.at("SOFT_MAX");
  return param(node, 0) == 1 && param(node, 1) == 0;
}
inline bool softmax_of_chosen(moe_layer_desc& desc, const Found& found) {
  desc.weight = MOE_WEIGHT_SOFTMAX;
  return plain_softmax(found);
}
inline const Way kWeights[] = {
    {"SOFT_MAX(GET_ROWS(probs, ids))", softmax_of_chosen},
    {"GET_ROWS(probs, ids)", nothing},
};

inline const Way kSelection[] = {
    {"VIEW(ARGSORT(selection))",
     [](moe_layer_desc&, const Found& found) {
       const Tensor* sort = found.ops.at("ARGSORT");
       return sort->op_params[0] == 1 && found.ops.at("VIEW")->view_offs == 0;  // descending, the first ones
     }},
};

// Groups are kept by the sum of their best; the others' scores become -infinity.
inline bool minus_infinity(moe_layer_desc&, const Found& found) {
  const float fill = param(found.ops.at("FILL"), 0);
  return std::isinf(fill) && fill < 0;
}
inline bool groups(moe_layer_desc& desc, const Found& found) {
  desc.groups = static_cast<uint32_t>(found.ops.at("ARGSORT")->ne[0]);
  desc.groups_kept = static_cast<uint32_t>(found.ops.at("VIEW")->ne[0]);
  desc.group_score = MOE_GROUP_SCORE_SUM_TOP_N;
  desc.group_top_n = static_cast<uint32_t>(found.ops.at("VIEW2")->ne[0]);
  for (const char* sort : {"ARGSORT", "ARGSORT2"}) {
    if (found.ops.at(sort)->op_params[0] != 1) return false;
  }
  return desc.groups * found.ops.at("ARGSORT2")->ne[0] == desc.experts && found.ops.at("VIEW")->view_offs == 0 &&
         found.ops.at("VIEW2")->view_offs == 0;
}
inline const Way kGroups[] = {
    {"SET_ROWS(GET_ROWS(scores, kept), kept, FILL(scores))", minus_infinity},
};
inline const Way kKeptGroups[] = {
    {"VIEW(ARGSORT(SUM_ROWS(GET_ROWS(scores, VIEW(ARGSORT(scores))))))", groups},
};

inline const Way kBiased[] = {
    {"ADD(probs, #router.selection_bias)",
     [](moe_layer_desc& desc, const Found&) {
       desc.flags |= MOE_LAYER_SELECTION_BIAS;
       return true;
     }},
    {"probs", nothing},
};

inline bool sigmoid_after_choice(moe_layer_desc& desc, const Found&) {
  desc.weight = MOE_WEIGHT_SIGMOID;  // selects by logits, which order as their sigmoids do
  return true;
}
inline const Way kChosenByLogits[] = {{"UNARY.SIGMOID(selection)", sigmoid_after_choice}};

template <uint32_t Score>
bool score(moe_layer_desc& desc, const Found& found) {
  desc.score = Score;
  return Score != MOE_SCORE_SOFTMAX || plain_softmax(found);
}
inline const Way kScores[] = {
    {"SOFT_MAX(logits)", score<MOE_SCORE_SOFTMAX>},
    {"UNARY.SIGMOID(logits)", score<MOE_SCORE_SIGMOID>},
    {"SQRT(UNARY.SOFTPLUS(logits))", score<MOE_SCORE_SQRT_SOFTPLUS>},
    {"logits", score<MOE_SCORE_IDENTITY>},
};

inline const Way kLogits[] = {
    {"ADD(MUL_MAT(#router.weight, router_x), #router.bias)",
     [](moe_layer_desc& desc, const Found&) {
       desc.flags |= MOE_LAYER_ROUTER_BIAS;
       return true;
     }},
    {"MUL_MAT(#router.weight, router_x)", nothing},
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_BLOCK_STEPS_H_
