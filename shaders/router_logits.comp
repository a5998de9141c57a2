// SPDX-License-Identifier: MIT
//
// x -> router logits [tokens, experts (+ 1: the shared experts' gate)], the work split over experts and tokens.
// For few tokens, where route.comp alone would leave most of the device idle. Grid: experts / GROUPS, token blocks.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { RoutePush p; };
layout(set = 0, binding = 0, std430) readonly buffer X { uint x_words[]; };
layout(set = 0, binding = 1, std430) readonly buffer Router { float router[]; };
layout(set = 0, binding = 2, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Logits { float logits[]; };

#include "numerics.glsl"
#define X_WORDS x_words
#include "activations_in.glsl"
#include "input_norm.glsl"
#include "router_dot.glsl"

void main() {
  uint group = gl_LocalInvocationIndex / LANES;
  uint lane = gl_LocalInvocationIndex % LANES;
  uint expert = gl_WorkGroupID.x * GROUPS + group;
  uint first_token = gl_WorkGroupID.y * TOKENS_PER_GROUP;
  uint rows[TOKENS_PER_GROUP];
  float scales[TOKENS_PER_GROUP];
  for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
    rows[i] = p.x_offset + min(first_token + i, p.tokens - 1u) * p.x_stride;
    scales[i] = router_row_scale(rows[i]);
  }
  float logit = router_logit(min(expert, p.logit_stride - 1u) * p.router_stride, rows, scales);
  uint token = first_token + lane;
  if (lane < TOKENS_PER_GROUP && token < p.tokens && expert < p.logit_stride) {
    if (p.router_bias != NONE && expert < p.experts) logit += aux[p.router_bias + expert];
    logits[token * p.logit_stride + expert] = canonical(logit);
  }
}
