// SPDX-License-Identifier: MIT
//
// ids [routes] -> routes per block and expert [blocks, experts], where the ids come from a host and not from
// route.comp. One workgroup a block.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { SortPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Histogram { uint histogram[]; };

void main() {
  uint first = gl_WorkGroupID.x * p.routes_per_block;
  uint last = min(first + p.routes_per_block, p.routes);
  for (uint e = gl_LocalInvocationIndex; e < p.experts_total; e += WORKGROUP) {
    uint count = 0u;
    for (uint i = first; i < last; ++i) count += ids[i] == int(e) ? 1u : 0u;
    histogram[gl_WorkGroupID.x * p.experts_total + e] = count;
  }
}
