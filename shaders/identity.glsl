// SPDX-License-Identifier: MIT
//
// An identity expert gives its input back: weight * x for two neighbouring columns. Needs x[].

vec2 identity_output(uint at, bool second, float weight) {
  precise vec2 value = vec2(x[at], second ? x[at + 1u] : 0.0) * weight;
  return value;
}
