// SPDX-License-Identifier: MIT
//
// Histograms [blocks, experts] -> where each block's routes of each expert begin (relative to the expert's
// first), expert offsets, tile lists, indirect arguments. One workgroup. With FROM_OFFSETS the offsets are given
// (a host called plan_dispatch earlier) and only tiles and arguments are made.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { SortPush p; };
layout(set = 0, binding = 0, std430) buffer Histogram { uint histogram[]; };
layout(set = 0, binding = 1, std430) buffer Offsets { uint offsets[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Tiles { uvec4 tiles[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Indirect { uint indirect[]; };

shared uint expert_count[MAX_EXPERTS_TOTAL];

#include "tiles.glsl"

void main() {
  for (uint e = gl_LocalInvocationIndex; e < p.experts_total; e += WORKGROUP) {
    uint sum = 0u;
    if (FROM_OFFSETS != 0u) {
      uint begin = min(offsets[e], p.routes);
      sum = max(min(offsets[e + 1u], p.routes), begin) - begin;
    } else {
      for (uint block = 0u; block < p.blocks; ++block) {
        uint count = histogram[block * p.experts_total + e];
        histogram[block * p.experts_total + e] = sum;
        sum += count;
      }
    }
    expert_count[e] = sum;
  }
  memoryBarrierBuffer();
  barrier();
  make_tiles();
}
