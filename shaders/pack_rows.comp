// SPDX-License-Identifier: MIT
//
// In:  rows of a block format as a host has them, one after another from any byte on; the format's fields as data.
// Out: the same rows as kernels read them (runtime/block_format.h): a plane after the other, then zeros to 16 bytes.
// Why: moving bits is the larger part of an upload on the host. An invocation makes a word of a packed row; one kernel
//      serves all formats. It reads and writes whole words alone, and only words that hold bytes of the rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { PackRowsPush p; };
layout(set = 0, binding = 0, std430) readonly buffer From { uint from[]; };
layout(set = 0, binding = 1, std430) writeonly buffer To { uint to[]; };

// 1 to 4 bytes from byte `at` on, the first lowest.
uint fetch(uint at, uint bytes) {
  uint skip = at & 3u;
  uint word = from[at >> 2] >> (8u * skip);
  if (skip + bytes > 4u) word |= from[(at >> 2) + 1u] << (32u - 8u * skip);
  return bitfieldExtract(word, 0, int(8u * bytes));
}

// Four numbers of 1, 2 or 4 bits, which stand lowest in a word's bytes, next to each other.
uint squeeze(uint word, uint bits) {
  word &= 0x01010101u * ((1u << bits) - 1u);
  word = (word | word >> (8u - bits)) & (0x00010001u * ((1u << 2u * bits) - 1u));
  return (word | word >> (16u - 2u * bits)) & ((1u << 4u * bits) - 1u);
}

// The word of numbers narrower than a byte that begins with number `first` of a field. `stride` numbers in a run have
// one shift, and four of them stand in neighbouring bytes.
uint numbers(uint field_byte, uint first, uint bits, uint stride) {
  uint per = 8u / bits;
  uint word = 0u;
  for (uint n = 0u; n < 4u * per; n += 4u) {
    uint number = first + n;
    uint run = number / stride;
    uint at = field_byte + run / per * stride + (number - run * stride);
    word |= squeeze(fetch(at, 4u) >> (run % per * bits), bits) << (n * bits);
  }
  return word;
}

void main() {
  uint index = gl_GlobalInvocationID.x;
  uint row = index / p.row_words;
  if (row >= p.rows) return;
  uint row_begin = p.from_offset + row * p.host_bytes;
  uint first = 4u * (index - row * p.row_words);  // byte in the packed row
  uint last = min(first + 4u, p.host_bytes);
  uint word = 0u;
  for (uint at = first; at < last;) {
    uint taken = last - at;
    for (uint i = 0u; i < p.fields; ++i) {
      uint place = p.field[i].place, shape = p.field[i].shape;
      uint plane = p.blocks * (place & 255u), width = place >> 16;
      if (at < plane || at >= plane + p.blocks * width) continue;
      uint block = (at - plane) / width;
      uint inside = at - plane - block * width - (place >> 8 & 255u);  // of the field; wraps where it comes later
      uint bytes = shape >> 24, bits = shape >> 8 & 255u;
      if (inside >= bytes) continue;
      uint field_byte = row_begin + block * p.block_bytes + (shape & 255u);
      if (bits == 8u) {
        taken = min(taken, bytes - inside);
        word |= fetch(field_byte + inside, taken) << (8u * (at - first));
      } else {  // has whole words
        word = numbers(field_byte, inside * 8u / bits, bits, shape >> 16 & 255u);
      }
      break;
    }
    at += taken;
  }
  to[p.to_offset + index] = word;
}
