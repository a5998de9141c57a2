// SPDX-License-Identifier: MIT
//
// A kernel whose accesses can be counted by hand: N invocations in groups of 64, nothing computed. What is expected
// stands in count_accesses_test.cpp. REFUSED_*: variants that cannot be counted.
#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require

layout(local_size_x = 64) in;
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint data[]; };
struct Row {
  uint head[3];
  uvec2 pairs[2];  // at byte 16
};
layout(push_constant) uniform Push { uvec2 address; };
layout(set = 0, binding = 0, std430) readonly buffer Own { uvec4 own[]; };
layout(set = 0, binding = 1, std430) readonly buffer Same { uint pad[5]; uint same; };
layout(set = 0, binding = 2, std430) readonly buffer Rows { Row rows[]; };
layout(set = 0, binding = 3, std430) buffer Out { uint result[]; };
#ifdef REFUSED_ARRAY
layout(set = 0, binding = 4, std430) readonly buffer Many { uint many[]; } all[2];
#endif

void main() {
  uint i = gl_GlobalInvocationID.x;
  uint sum = own[i].y;                       // one component of each element
  sum += same;                               // one word for all
  if (i % 2u == 0u) sum += rows[i].pairs[1].y;  // of every other row
  sum += Words(address).data[i / 2u];        // a word for two
  result[16u * i] = sum;                     // a line for each
#ifdef REFUSED_ATOMIC
  atomicAdd(result[0], 1u);
#endif
#ifdef REFUSED_ARRAY
  result[16u * i] = all[i % 2u].many[i];
#endif
}
