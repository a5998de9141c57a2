// SPDX-License-Identifier: MIT
//
// Sparsemixer's weight of a chosen expert (docs/semantics.md): softmax over the experts whose logit is near that of
// the chosen one, without those chosen before it. Near: m - s <= 2 eps max(|s|, m), as a product, so that every device
// decides alike. Needs chosen[], lane_value[], logit_of.

// Called by the whole workgroup; the weight of slot `lane`.
float sparsemixer_weight(uint token, uint first_slot, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  float weight = 0.0;
  for (uint slot = 0u; slot < p.top_k; ++slot) {
    float most = serves ? logit_of(token, uint(chosen[first_slot + slot])) : 0.0;
    float sum = 0.0;
    for (uint e = lane; serves && e < p.experts; e += LANES) {
      bool before = false;
      for (uint i = 0u; i < slot; ++i) before = before || chosen[first_slot + i] == int(e);
      float s = logit_of(token, e);
      precise float distance = most - s;
      precise float near = p.sparsemixer_eps * max(abs(s), most);
      if (!before && !(distance > near)) sum += accurate_exp(s - most);
    }
    lane_value[gl_LocalInvocationIndex] = sum;
    barrier();
    float total = 0.0;
    for (uint i = 0u; i < LANES; ++i) total += lane_value[group_first + i];
    if (lane == slot) weight = 1.0 / total;
    barrier();
  }
  return weight;
}
