// SPDX-License-Identifier: MIT
//
// What a chosen expert's output is multiplied by: score, weight function, renormalisation, scale, in the order of
// docs/semantics.md. Needs best_id[], lane_value[], logit_of, score_of, and the host's weights in input_b[].

// Routing weight of slot `lane`; the sums run over the slots in order. Skipped routes weigh nothing.
float routing_weight(uint token, int id, bool used, float largest, float exp_sum) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  precise float w = 0.0;
  if (used) {
    w = 1.0;
    if (ROUTE_SOURCE <= kLogits) w = score_of(logit_of(token, uint(id)), largest, exp_sum);
    if (ROUTE_SOURCE == kScores) w = input_b[p.b_offset + token * p.b_stride + uint(id)];
    if (ROUTE_SOURCE == kIds) w = input_b[p.b_offset + token * p.b_stride + lane];
  }
  best_id[gl_LocalInvocationIndex] = used ? 1u : 0u;
  lane_value[gl_LocalInvocationIndex] = w;
  barrier();
  uint kind = mode(4u, 4u);
  if (kind == 1u) {
    float most = -kInfinity;
    for (uint i = group_first; i < group_first + p.top_k; ++i) {
      if (best_id[i] != 0u && lane_value[i] > most) most = lane_value[i];
    }
    precise float sum = 0.0;
    for (uint i = group_first; i < group_first + p.top_k; ++i) {
      if (best_id[i] != 0u) sum = sum + accurate_exp(lane_value[i] - most);
    }
    if (used) w = accurate_exp(w - most) / sum;
  } else if (kind == 2u && used) {
    w = sigmoid(w);
  }
  barrier();
  lane_value[gl_LocalInvocationIndex] = w;
  barrier();
  uint normalize = mode(8u, 4u);
  if (normalize != 0u && (p.top_k > 1u || mode(12u, 1u) != 0u)) {
    precise float sum = 0.0;
    for (uint i = group_first; i < group_first + p.top_k; ++i) {
      if (best_id[i] != 0u) sum = sum + lane_value[i];
    }
    if (normalize == 1u) sum = sum + p.normalize_eps;
    if (normalize == 2u && sum < p.normalize_eps) sum = p.normalize_eps;
    if (used) w = w / sum;
  }
  barrier();
  return used ? w * p.routed_scale : 0.0;
}
