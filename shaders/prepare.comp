// SPDX-License-Identifier: MIT
//
// x of the host (f32, f16, bf16; any stride) -> f32 rows padded with zeros, optionally RMS-normalised.
// One workgroup a token. The plan leaves this out where the host's rows already look like that.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { PreparePush p; };
layout(set = 0, binding = 0, std430) readonly buffer X { uint x_words[]; };
layout(set = 0, binding = 1, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Out { float prepared[]; };

#include "numerics.glsl"
#define X_WORDS x_words
#include "activations_in.glsl"
#include "input_norm.glsl"

void main() {
  uint token = gl_WorkGroupID.x;
  uint row = p.x_offset + token * p.x_stride;
  float scale = INPUT_NORM != 0u ? inverse_rms(row, p.hidden, p.norm_eps) : 1.0;
  for (uint column = gl_LocalInvocationIndex; column < p.hidden_padded; column += WORKGROUP) {
    float value = 0.0;
    if (column < p.hidden) value = normalised(row, column, scale, p.norm_offset);
    prepared[token * p.hidden_padded + column] = value;
  }
}
