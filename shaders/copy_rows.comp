// SPDX-License-Identifier: MIT
//
// A matrix of words from one offset and stride to another: between a host's views and the workspace.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { CopyRowsPush p; };
layout(set = 0, binding = 0, std430) readonly buffer From { uint from[]; };
layout(set = 0, binding = 1, std430) writeonly buffer To { uint to[]; };

void main() {
  uint column = gl_GlobalInvocationID.x;
  uint row = gl_GlobalInvocationID.y;
  if (column >= p.columns) return;
  uint word = from[p.from_offset + row * p.from_stride + column];
  if (p.id_limit != 0u) {
    if (word >= p.id_limit) word = NONE;  // -1: a route that is skipped
    else if (word >= p.id_first) word = p.id_first + (word - p.id_first + p.id_shift) % (p.id_limit - p.id_first);
  }
  to[p.to_offset + row * p.to_stride + column] = word;
}
