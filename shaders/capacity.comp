// SPDX-License-Identifier: MIT
//
// Chosen ids [tokens, slots] -> ids, with -1 for the routes that find their expert full. All first choices are
// served before any second, tokens in order. One invocation an expert, and one for ids that have no limit: those of
// identity and shared experts, and of none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { CapacityPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Chosen { int chosen[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Ids { int ids[]; };

void main() {
  uint expert = gl_GlobalInvocationID.x;
  if (expert > p.experts) return;
  bool unlimited = expert == p.experts;
  uint served = 0u;
  for (uint slot = 0u; slot < p.slots; ++slot) {
    for (uint token = 0u; token < p.tokens; ++token) {
      uint route = token * p.slots + slot;
      uint id = uint(chosen[route]);
      if (unlimited) {
        if (id >= p.experts) ids[route] = int(id);
      } else if (id == expert) {
        ids[route] = served < p.capacity ? int(id) : -1;
        ++served;
      }
    }
  }
}
