// SPDX-License-Identifier: MIT
//
// f32 rows -> the codes of int8 precision, once, for the kernels that multiply them as integers: blocks of 32 columns
// in whole units, a unit the 127th of the block's largest (docs/semantics.md, Precision). Out, for each row of n blocks, in
// words: 8n of codes, four a word; 8n of the same with each 8 columns as 0 2 4 6 1 3 5 7, as nibbles come apart; 2n of
// (unit, the sums of the block's halves). A unit that is infinite marks a block that stays as it is. 8 invocations a
// block; grid: blocks of 128, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { QuantisePush p; };
layout(set = 0, binding = 0, std430) readonly buffer Rows { vec4 rows[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Codes { uint codes[]; };

#include "numerics.glsl"
#define ACTIVATION(at) rows[at]
#include "precision.glsl"
#include "code_rows.glsl"

shared uint largest_of[WORKGROUP];
shared uint words[WORKGROUP];
shared int sums[WORKGROUP];

void main() {
  uint quad = gl_GlobalInvocationID.x;  // of 4 columns
  uint blocks = (p.quads + 7u) / 8u;
  uint self = gl_LocalInvocationIndex, first = self & ~7u;
  vec4 value = quad < p.quads ? rows[p.from_offset4 + gl_WorkGroupID.y * p.from_stride4 + quad] : vec4(0.0);
  largest_of[self] = largest_bits(value);
  barrier();
  uint largest = 0u;
  for (uint i = 0u; i < 8u; ++i) largest = max(largest, largest_of[first + i]);
  float unit = uintBitsToFloat(largest) * (1.0 / 127.0);
  uint marker = largest == 0u ? 0u : floatBitsToUint(unit);
  if (largest >= 0x7F800000u || (largest != 0u && largest < 0x0D800000u)) marker = 0x7F800000u;
  uint word = 0u;
  int sum = 0;
  bool lost = false;
  for (uint i = 0u; i < 4u; ++i) {
    lost = lost || is_nan(value[i]);
    int code = marker == 0u || marker == 0x7F800000u || is_nan(value[i]) ? 0 : int(roundEven(value[i] / unit));
    word |= (uint(code) & 255u) << 8u * i;
    sum += code;
  }
  words[self] = word;
  sums[self] = lost ? 0x10000 : sum;
  barrier();
  if (quad >= 8u * blocks) return;
  uint row = gl_WorkGroupID.y * code_row_words(blocks);
  codes[row + quad] = word;
  uint a = words[self & ~1u], b = words[self | 1u], shift = (self & 1u) * 8u;
  a = a >> shift & 0x00FF00FFu;
  b = b >> shift & 0x00FF00FFu;
  codes[row + 8u * blocks + quad] = (a & 255u) | a >> 8 | (b & 255u) << 16 | (b & 0xFF0000u) << 8;
  if (self != first) return;
  int low = 0, high = 0;
  for (uint i = 0u; i < 4u; ++i) {
    lost = lost || sums[first + i] == 0x10000 || sums[first + 4u + i] == 0x10000;
    low += sums[first + i];
    high += sums[first + 4u + i];
  }
  codes[row + 16u * blocks + quad / 4u] = lost ? 0x7F800000u : marker;  // NaNs, too, are met as they are
  codes[row + 16u * blocks + quad / 4u + 1u] = (uint(low) & 0xFFFFu) | uint(high) << 16;
}
