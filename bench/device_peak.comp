// SPDX-License-Identifier: MIT
//
// What a device can do at most, for device_peak.cpp. Mode 0: every invocation reads UNROLL vectors of 16 bytes, the
// workgroups one after the other through the buffer. Mode 1: multiply-adds of f32 in registers, UNROLL chains of vec4.
// The target is written only if a sum hits a value that it never has, so that no compiler may drop the work.
#version 450
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint MODE = 0;
layout(constant_id = 1) const uint UNROLL = 8;
layout(constant_id = 2) const uint LOOPS = 64;
layout(set = 0, binding = 0) readonly buffer Source { uvec4 source[]; };
layout(set = 0, binding = 1) buffer Target { uint target[]; };
layout(push_constant) uniform Push {
  uint vectors;  // in the source
  float factor;  // 1.0: known when it runs alone
} push;

const uint kMost = 16;  // UNROLL at most

uint read_stream() {
  const uint first = gl_WorkGroupID.x * (256 * UNROLL) + gl_LocalInvocationID.x;
  uvec4 parts[kMost];
  [[unroll]] for (uint i = 0; i < UNROLL; ++i) parts[i] = source[min(first + i * 256, push.vectors - 1)];
  uvec4 sum = uvec4(0);
  [[unroll]] for (uint i = 0; i < UNROLL; ++i) sum ^= parts[i];
  return sum.x ^ sum.y ^ sum.z ^ sum.w;
}

float multiply_add() {
  vec4 chains[kMost];
  [[unroll]] for (uint i = 0; i < UNROLL; ++i) chains[i] = vec4(gl_LocalInvocationID.x + i, 1, 2, 3);
  for (uint loop = 0; loop < LOOPS; ++loop) {
    [[unroll]] for (uint i = 0; i < UNROLL; ++i) chains[i] = fma(chains[i], vec4(push.factor), vec4(push.factor));
  }
  vec4 sum = vec4(0);
  [[unroll]] for (uint i = 0; i < UNROLL; ++i) sum += chains[i];
  return sum.x + sum.y + sum.z + sum.w;
}

void main() {
  // All words of the source are the same, and the sum of the chains is positive.
  if (MODE == 0) {
    if (read_stream() == 1) target[0] = gl_WorkGroupID.x;
  } else {
    if (multiply_add() < 0) target[0] = gl_WorkGroupID.x;
  }
}
