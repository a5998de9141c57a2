// SPDX-License-Identifier: MIT
//
// The host's own work in vulkan_host.cpp, before and behind the layers: step 0 makes activations out of a seed,
// step 1 doubles what the layers gave.
#version 450
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint kStep = 0;
layout(set = 0, binding = 0) readonly buffer Seed { uint seed; };
layout(set = 0, binding = 1) buffer In { float source[]; };
layout(set = 0, binding = 2) buffer Out { float target[]; };

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (i >= target.length()) return;
  if (kStep == 1) {
    target[i] = 2.0 * source[i];
    return;
  }
  uint bits = (i + seed * 7919u) * 747796405u + 2891336453u;  // PCG's output permutation
  bits = ((bits >> ((bits >> 28u) + 4u)) ^ bits) * 277803737u;
  bits = (bits >> 22u) ^ bits;
  target[i] = float(bits >> 8) * exp2(-23.0) - 1.0;  // exact: -1 to 1
}
