// SPDX-License-Identifier: MIT
//
// In:  a layer's sizes.
// Out: the canonical descriptor, and the few forms that many families share.
// Why: a family's function then says only what differs.
#pragma once

#include <cstdint>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

// Softmax over all experts in fp32, the top k, weights as scored; experts with silu and a gate.
inline moe_layer_desc canonical_layer(uint32_t hidden, uint32_t intermediate, uint32_t experts, uint32_t top_k) {
  moe_layer_desc desc = MOE_INIT(moe_layer_desc);
  desc.hidden = hidden;
  desc.intermediate = intermediate;
  desc.experts = experts;
  desc.top_k = top_k;
  desc.route_source = MOE_ROUTE_FROM_ROUTER;
  desc.score = MOE_SCORE_SOFTMAX;
  desc.selection = MOE_SELECT_TOP_K;
  desc.weight = MOE_WEIGHT_IDENTITY;
  desc.activation = MOE_ACTIVATION_SILU;
  desc.gate_up_layout = MOE_GATE_UP_SEPARATE;
  desc.matrix_order = MOE_MATRIX_OUT_IN;
  desc.precision = MOE_PRECISION_EXACT;
  return desc;
}

// w / (sum + eps), for k = 1 too. The top k of a softmax sum to at least k/E: they need no eps.
inline void normalize_by_sum(moe_layer_desc& desc, float eps = 0) {
  desc.normalize = MOE_NORMALIZE_SUM_EPS;
  desc.normalize_eps = eps;
  if (desc.top_k == 1) desc.flags |= MOE_LAYER_NORMALIZE_SINGLE;
}

// 1 is written as 0, the descriptor's word for it.
inline void scale_routed(moe_layer_desc& desc, float scale) { desc.routed_scale = scale == 1 ? 0 : scale; }

// Sigmoid scores, a bias that selects but never weighs, w / (sum + 1e-20): DeepSeek-V3 and those that follow it.
inline void sigmoid_with_selection_bias(moe_layer_desc& desc, bool normalize, float scale) {
  desc.score = MOE_SCORE_SIGMOID;
  desc.flags |= MOE_LAYER_SELECTION_BIAS;
  if (normalize) normalize_by_sum(desc, 1e-20f);
  scale_routed(desc, scale);
}

}  // namespace moevk::model
