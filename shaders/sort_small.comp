// SPDX-License-Identifier: MIT
//
// ids of at most MAX_SORT_ROUTES routes -> order, offsets, tile lists, indirect arguments: the whole sort in one
// workgroup and one step. Each invocation walks all routes, in order, for its experts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { SortPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 1, std430) coherent buffer Offsets { uint offsets[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Tiles { uvec4 tiles[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Indirect { uint indirect[]; };
layout(set = 0, binding = 4, std430) writeonly buffer Order { uint order[]; };

shared int route_ids[MAX_SORT_ROUTES];
shared uint expert_count[MAX_EXPERTS_TOTAL];

#include "tiles.glsl"

void main() {
  uint me = gl_LocalInvocationIndex;
  for (uint i = me; i < p.routes; i += WORKGROUP) route_ids[i] = ids[i];
  barrier();
  for (uint e = me; e < p.experts_total; e += WORKGROUP) {
    uint count = 0u;
    for (uint i = 0u; i < p.routes; ++i) count += route_ids[i] == int(e) ? 1u : 0u;
    expert_count[e] = count;
  }
  barrier();
  make_tiles();
  memoryBarrierBuffer();
  barrier();
  // Skipped routes leave room at the end.
  for (uint i = offsets[p.experts_total] + me; i < p.routes; i += WORKGROUP) order[i] = NONE;
  for (uint e = me; e < p.experts_total; e += WORKGROUP) {
    if (expert_count[e] == 0u) continue;
    uint position = offsets[e];
    for (uint i = 0u; i < p.routes; ++i) {
      if (route_ids[i] == int(e)) order[position++] = i;
    }
  }
}
