// SPDX-License-Identifier: MIT
//
// ids [routes] -> routes per expert [experts], for hosts that ask for them. One invocation an expert.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { CountsPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 1, std430) buffer Counts { uint counts[]; };

void main() {
  uint expert = gl_GlobalInvocationID.x;
  if (expert >= p.experts) return;
  uint count = p.accumulate != 0u ? counts[p.out_offset + expert] : 0u;
  int id = int(expert < p.routed_experts ? expert : expert + p.shared_slots);
  for (uint i = 0u; i < p.routes; ++i) count += ids[i] == id ? 1u : 0u;
  counts[p.out_offset + expert] = count;
}
