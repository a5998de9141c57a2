// SPDX-License-Identifier: MIT
//
// What a chosen expert's output is multiplied by: score, weight function, renormalisation, scales, in the order of
// docs/semantics.md. Needs chosen[], best_id[], lane_value[], aux[], logit_of, score_of, sparsemixer.glsl, and the host's
// weights in input_b[].

// |w|^exponent for |w| <= 1.
float power(float w, float exponent) {
  if (exponent == 1.0) return w;
  if (exponent == 2.0) return w * w;
  return w > 0.0 ? accurate_exp(exponent * accurate_log(w)) : w;
}

// (sum |w|^p)^(1/p) over the slots, as the largest |w| and a factor: their product may overflow where w does not.
vec2 p_norm(uint group_first, float exponent) {
  float largest = 0.0;
  for (uint i = group_first; i < group_first + p.top_k; ++i) {
    if (best_id[i] != 0u && abs(lane_value[i]) > largest) largest = abs(lane_value[i]);
  }
  if (largest == kInfinity) return vec2(largest, 1.0);
  precise float sum = 0.0;
  for (uint i = group_first; i < group_first + p.top_k; ++i) {
    if (best_id[i] != 0u) sum = sum + power(abs(lane_value[i]) / largest, exponent);
  }
  if (exponent == 1.0) return vec2(largest, sum);
  return vec2(largest, exponent == 2.0 ? sqrt(sum) : accurate_exp(accurate_log(sum) / exponent));
}

// Routing weight of slot `lane`, whose expert is `id`, -1 for none; the sums run over the slots in order. Skipped
// routes weigh nothing. Called by the whole workgroup.
float routing_weight(uint token, uint first_slot, int id, float largest, float exp_sum, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  bool used = id >= 0;
  precise float w = 0.0;
  if (p.sparsemixer_eps >= 0.0) {
    w = sparsemixer_weight(token, first_slot, serves);
  } else if (used) {
    w = 1.0;
    if (kHasLogits) w = score_of(logit_of(token, uint(id)), largest, exp_sum);
    if (ROUTE_SOURCE == kScores) w = uintBitsToFloat(input_b[p.b_offset + token * p.b_stride + uint(id)]);
    if (ROUTE_SOURCE == kIds) w = uintBitsToFloat(input_b[p.b_offset + token * p.b_stride + lane]);
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
    if (normalize == 3u) {
      vec2 norm = p_norm(group_first, p.normalize_eps);
      w = w / norm.x;
      sum = norm.y;
    }
    if (used) w = w / sum;
  }
  barrier();
  w = w * p.routed_scale;
  if (used && p.expert_scale != NONE && uint(id) < p.routed_experts) w = w * aux[p.expert_scale + uint(id)];
  return used ? w : 0.0;
}
