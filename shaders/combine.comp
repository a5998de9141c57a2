// SPDX-License-Identifier: MIT
//
// Weighted expert outputs [tokens * slots, hidden] -> y: the sum over a token's slots in slot order, scaled, plus
// beta times the residual. One invocation two columns; grid: column blocks, tokens.
// In a latent layer: -> the routed experts' sum in the latent space, and what stands beside it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { CombinePush p; };
layout(set = 0, binding = 0, std430) readonly buffer ExpertOut { float expert_out[]; };
layout(set = 0, binding = 1, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 2, std430) readonly buffer Residual { uint residual_words[]; };
layout(set = 0, binding = 3, std430) buffer Y { uint y_words[]; };
layout(set = 0, binding = 4, std430) readonly buffer X { float x[]; };
layout(set = 0, binding = 5, std430) readonly buffer Weights { float weights[]; };
layout(set = 0, binding = 6, std430) writeonly buffer Beside { float beside[]; };  // [tokens, hidden]

#include "numerics.glsl"
#define Y_WORDS y_words
#define RESIDUAL_WORDS residual_words
#include "activations_out.glsl"
#include "identity.glsl"

void main() {
  uint token = gl_WorkGroupID.y;
  uint column = gl_GlobalInvocationID.x * 2u;
  bool second = column + 1u < p.hidden;
  precise vec2 z = vec2(0.0);
  precise vec2 others = vec2(0.0);  // shared and identity experts, where they do not add to z
  for (uint slot = 0u; slot < p.slots; ++slot) {
    uint route = token * p.slots + slot;
    int id = ids[route];
    if (id < 0) continue;
    bool routed = uint(id) < p.routed_experts;
    uint width = routed ? p.routed_width : p.hidden;
    if (column >= width) continue;
    precise vec2 value;
    if (uint(id) >= p.identity_first) {
      value = identity_output(p.x_offset + route / p.token_slots * p.x_stride + column, second, weights[route]);
    } else {
      uint at = p.in_offset + route * p.in_stride + column;
      value = vec2(expert_out[at], column + 1u < width ? expert_out[at + 1u] : 0.0);
    }
    if (LATENT != 0u && !routed) {
      others = others + value;
    } else {
      z = z + value;
    }
  }
  if (LATENT != 0u) {
    for (uint j = 0u; j < 2u; ++j) {
      if (column + j < p.latent_stride) y_words[token * p.latent_stride + column + j] = floatBitsToUint(z[j]);
      if (column + j < p.hidden) beside[token * p.hidden + column + j] = others[j];
    }
    return;
  }
  if (column >= p.hidden) return;
  store_pair(p.y_offset + token * p.y_stride, p.residual_offset + token * p.residual_stride, column, p.hidden, z,
             p.out_scale, p.beta);
}
