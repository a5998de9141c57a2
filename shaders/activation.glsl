// SPDX-License-Identifier: MIT
//
// h = act(gate, up), by the numbers of MOE_ACTIVATION_* (docs/semantics.md). Data, not specialization
// constants: the branch is uniform, and layers that differ only here share their pipelines.

float silu(float x) { return x * sigmoid(x); }

float gelu_tanh(float x) {  // 0.5 (1 + tanh v) = sigmoid(2 v)
  return x * sigmoid(1.59576912 * fma(0.044715 * x * x, x, x));
}

float activate(uint kind, float gate, float up, float alpha, float beta, float limit) {
  if (kind == LINEAR) return up;  // a projection
  if (kind == 8u) {
    if (beta > 0.0) up = beta * accurate_tanh(up / beta);
    return alpha * accurate_tanh(gate / alpha) * sigmoid(gate) * up;
  }
  bool clamps = limit > 0.0;
  if (kind >= 5u && clamps) up = is_nan(up) ? up : clamp(up, -limit, limit);
  if ((kind == 5u || kind == 6u) && clamps) gate = gate > limit ? limit : gate;
  if (kind == 5u) return gate * sigmoid(alpha * gate) * (up + beta);
  float a;
  switch (kind) {
    case 1u: a = gelu_tanh(gate); break;
    case 2u: a = gelu_erf(gate); break;
    case 3u: a = gate < 0.0 ? 0.0 : gate; break;
    case 4u: a = gate < 0.0 ? 0.0 : gate * gate; break;
    default: a = silu(gate); break;
  }
  if (kind == 7u && clamps) a = a > limit ? limit : a;
  return GATED != 0u ? a * up : a;
}
