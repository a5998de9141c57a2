// SPDX-License-Identifier: MIT
//
// Router logits: LANES invocations share one expert and TOKENS_PER_GROUP tokens; lane j sums the columns
// 4(j + LANES i) .. + 3 for rising i, then the lanes are added in order. This tree is the same for every batch
// and for both kernels that use it, so a token's route never depends on the tokens beside it.
// Needs router[] (rows p.router_stride floats apart), aux[], input_norm.glsl. ROUTER_SCALE: 1 a factor for the whole
// input, 2 a vector of factors as well.

shared float lane_sums[TOKENS_PER_GROUP * (WORKGROUP + 1)];

// What the router's input row is multiplied by: RMSNorm of the layer, RMSNorm of the router, the multiplier.
// Called by the whole workgroup.
float router_row_scale(uint row) {
  float scale = INPUT_NORM != 0u ? inverse_rms(row, p.hidden, p.norm_eps) : 1.0;
  if (ROUTER_NORM != 0u) {
    float sum = 0.0;
    for (uint column = gl_LocalInvocationIndex; column < p.hidden; column += WORKGROUP) {
      float x = normalised(row, column, scale, p.norm_offset);
      sum = fma(x, x, sum);
    }
    precise float again = scale / sqrt(sum_of_squares(sum) / float(p.hidden) + p.norm_eps);
    scale = again;
  }
  return scale * p.router_multiplier;
}

float router_input(uint row, uint column, float scale) {
  float x = x_element(X_DTYPE, row, column);
  if (INPUT_NORM != 0u || ROUTER_NORM != 0u || ROUTER_SCALE != 0u) x *= scale;
  if (INPUT_NORM != 0u) x *= aux[p.norm_offset + column];
  return ROUTER_SCALE == 2u ? x * aux[p.router_scale + column] : x;
}

// Called by the whole workgroup; groups may have different rows. On return lane i < TOKENS_PER_GROUP of each
// group holds the logit of token i.
float router_logit(uint router_row, uint rows[TOKENS_PER_GROUP], float scales[TOKENS_PER_GROUP]) {
  uint lane = gl_LocalInvocationIndex % LANES;
  float sums[TOKENS_PER_GROUP];
  for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) sums[i] = 0.0;
  for (uint column = 4u * lane; column < p.hidden; column += 4u * LANES) {
    uint last = min(column + 4u, p.hidden);
    for (uint c = column; c < last; ++c) {
      float w = router[router_row + c];
      for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
        sums[i] = fma(w, router_input(rows[i], c, scales[i]), sums[i]);
      }
    }
  }
  barrier();  // the sums of the expert before may still be read
  for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) lane_sums[i * (WORKGROUP + 1u) + gl_LocalInvocationIndex] = sums[i];
  barrier();
  float logit = 0.0;
  if (lane < TOKENS_PER_GROUP) {
    uint first = lane * (WORKGROUP + 1u) + gl_LocalInvocationIndex - lane;
    for (uint i = 0u; i < LANES; ++i) logit += lane_sums[first + i];
  }
  return logit;
}
