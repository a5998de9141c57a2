// SPDX-License-Identifier: MIT
//
// Chosen ids [tokens, slots] -> ids, with -1 for the routes that find their expert full; and, for a block sort, what
// is left as a histogram [blocks, experts]. All first choices are served before any second, tokens in order. One
// invocation an expert, and one for ids that have no limit: those of identity experts, and of none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { CapacityPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Chosen { int chosen[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Ids { int ids[]; };
layout(set = 0, binding = 2, std430) buffer Histogram { uint histogram[]; };

void main() {
  uint expert = gl_GlobalInvocationID.x;
  if (expert > p.experts_total) return;
  bool has_weights = expert < p.experts_total;
  for (uint block = 0u; has_weights && block < p.blocks; ++block) histogram[block * p.experts_total + expert] = 0u;
  uint most = expert < p.limited_experts ? p.capacity : 0xFFFFFFFFu;  // shared experts serve every token
  uint served = 0u;
  for (uint slot = 0u; slot < p.slots; ++slot) {
    for (uint token = 0u; token < p.tokens; ++token) {
      uint route = token * p.slots + slot;
      uint id = uint(chosen[route]);
      if (!has_weights) {
        if (id >= p.experts_total) ids[route] = int(id);
      } else if (id == expert) {
        bool serves = served < most;
        ids[route] = serves ? int(id) : -1;
        if (!serves) continue;
        ++served;
        if (p.blocks != 0u) histogram[token / p.block_tokens * p.experts_total + expert] += 1u;
      }
    }
  }
}
