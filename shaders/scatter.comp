// SPDX-License-Identifier: MIT
//
// ids [tokens, slots] -> order: routes sorted by expert, stable in token order. One workgroup a block of the
// histogram; a route's rank in its block is counted, not raced for, so the list is the same every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { SortPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 1, std430) readonly buffer Histogram { uint histogram[]; };
layout(set = 0, binding = 2, std430) readonly buffer Offsets { uint offsets[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Order { uint order[]; };

shared int block_ids[MAX_SORT_ROUTES];

void main() {
  uint first = gl_WorkGroupID.x * p.routes_per_block;
  uint count = min(p.routes_per_block, p.routes - first);
  for (uint i = gl_LocalInvocationIndex; i < count; i += WORKGROUP) block_ids[i] = ids[first + i];
  barrier();
  if (gl_WorkGroupID.x == 0u) {  // skipped routes leave room at the end
    for (uint i = offsets[p.experts_total] + gl_LocalInvocationIndex; i < p.routes; i += WORKGROUP) order[i] = NONE;
  }
  for (uint i = gl_LocalInvocationIndex; i < count; i += WORKGROUP) {
    int expert = block_ids[i];
    if (uint(expert) >= p.experts_total) continue;  // skipped, or an identity expert
    uint rank = 0u;
    for (uint j = 0u; j < i; ++j) rank += block_ids[j] == expert ? 1u : 0u;
    uint begin = offsets[expert] + histogram[gl_WorkGroupID.x * p.experts_total + uint(expert)];
    order[begin + rank] = first + i;
  }
}
