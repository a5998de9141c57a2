// SPDX-License-Identifier: MIT
//
// Blocks of 32 columns as integers: codes of weights times codes of activations (quantise.comp), four products an
// instruction, exact in 32 bits, then scaled. In: what weights.glsl needs, and code_units[] and code_pairs[], both the
// rows of codes. Out: 32 columns' share of a sum. A sum that is not finite says that a block stays as it is, or that a
// scale is no number: then the caller adds it up once more in floats. Only formats of has_integer_codes
// (runtime/weight_format.cpp) come here.
#include "code_rows.glsl"

spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int signed_dot(uint a, uint b, spirv_literal int packed);  // OpSDot of packed 4 x 8 bits
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4452)
int mixed_dot(uint a, uint b, spirv_literal int packed);  // OpSUDot: a is signed, b is not

// Some devices multiply signed bytes in hardware, others only those with unsigned ones: then weights are unsigned.
const bool kUnsignedWeights = INTEGER_DOT == 2u;

struct CodeBlock {
  uvec4 low, high;  // codes of 16 columns each
  int low_sum, high_sum;
  float unit;
};

// Whether codes of 4 bits and less come apart as columns 0 2 4 6 1 3 5 7.
bool is_interleaved(uint format) {
  return !HAS_FORMAT(FORMAT_Q8_0) && !(kUsesInt8 && format / FORMAT_RANGE == RANGE_INT8);
}

CodeBlock load_codes(uint row_words, uint blocks, uint block, bool interleaved) {
  uint at = row_words / 4u + (interleaved ? 2u * blocks : 0u) + 2u * block;
  uvec2 pair = code_pairs[row_words / 2u + 8u * blocks + block];
  CodeBlock x;
  x.low = code_units[at];
  x.high = code_units[at + 1u];
  x.low_sum = int(pair.y << 16) >> 16;
  x.high_sum = int(pair.y) >> 16;
  x.unit = uintBitsToFloat(pair.x);
  return x;
}

// 4 pairs of bits, at 0 4 8 12, to 4 bytes; 4 bits, at 0 2 4 6, likewise.
uint spread_pairs(uint bits) {
  bits &= 0x3333u;
  bits = (bits | bits << 8) & 0x00330033u;
  return (bits | bits << 4) & 0x03030303u;
}
uint spread_bits(uint bits) {
  bits &= 0x55u;
  bits = (bits | bits << 12) & 0x00050005u;
  return (bits | bits << 6) & 0x01010101u;
}
uvec4 from_nibbles(uint first, uint second) {
  return uvec4(first, first >> 4, second, second >> 4) & 0x0F0F0F0Fu;
}
uvec4 from_pairs(uint word) {
  return uvec4(spread_pairs(word), spread_pairs(word >> 2), spread_pairs(word >> 16), spread_pairs(word >> 18));
}
uvec4 from_bits(uint bits) {
  return uvec4(spread_bits(bits), spread_bits(bits >> 1), spread_bits(bits >> 8), spread_bits(bits >> 9));
}

struct WeightBlock {
  uvec4 low, high;
  int centre;  // weight = (code - centre) * d + m
  float low_d, high_d, low_m, high_m;
};

// Scales of a half, of formats that have them for 16 columns.
bool has_half_scales(uint format) {
  return HAS_FORMAT(FORMAT_Q2_K) || HAS_FORMAT(FORMAT_Q3_K) || HAS_FORMAT(FORMAT_Q6_K);
}
bool has_minima(uint format) {
  return ANY_OF(FORMAT_Q4_1, FORMAT_Q5_1) || ANY_OF(FORMAT_Q4_K, FORMAT_Q5_K) || HAS_FORMAT(FORMAT_Q2_K);
}

// Of the row that begins at 16-byte unit `row`.
WeightBlock load_weight_block(uint format, uvec2 piece, uint row, uint chunks, uint block) {
  WeightBlock w;
  w.centre = 0;
  BlockChunk low = BlockChunk(vec4(0.0), vec4(0.0), 0.0, 0.0, 1.0), high = low;
  if (HAS_FORMAT(FORMAT_Q8_0)) {
    w.low = weight_unit(piece, row + 2u * block);
    w.high = weight_unit(piece, row + 2u * block + 1u);
    if (kUnsignedWeights) {
      w.low ^= 0x80808080u;
      w.high ^= 0x80808080u;
      w.centre = 128;
    }
    low.d = half_at(piece, 4u * row + 2u * chunks, block);
  } else if (is_affine_format(format)) {
    uint scales = 4u * row + chunks * affine_bits(format) / 4u, group = affine_group(format, 4u * block);
    low.d = affine_scale(format, piece, scales, group);
    w.centre = int(affine_zero(format, piece, scales, chunks, group));
    uint turn = (format >> 6 & 3u) == kZeroSigned ? 1u : 0u;
    if (affine_bits(format) == 4u) {
      uvec4 words = weight_unit(piece, row + block) ^ turn * 0x88888888u;
      w.low = from_nibbles(words.x, words.y);
      w.high = from_nibbles(words.z, words.w);
    } else {
      if (!kUnsignedWeights) {
        turn = 1u - turn;
        w.centre -= 128;
      }
      w.low = weight_unit(piece, row + 2u * block) ^ turn * 0x80808080u;
      w.high = weight_unit(piece, row + 2u * block + 1u) ^ turn * 0x80808080u;
    }
  } else if (HAS_FORMAT(FORMAT_Q2_K) || HAS_FORMAT(FORMAT_Q3_K)) {
    w.low = from_pairs(weight_word(piece, 4u * row + 2u * block));
    w.high = from_pairs(weight_word(piece, 4u * row + 2u * block + 1u));
    uint rest = 4u * row + chunks / 2u;
    if (HAS_FORMAT(FORMAT_Q3_K)) {
      uint bits = weight_word(piece, rest + block);
      w.low |= from_bits(bits) << 2u;
      w.high |= from_bits(bits >> 16) << 2u;
      w.centre = 4;
      rest += chunks / 4u;
      low.d = q3_k_scale(piece, rest, chunks, 4u * block);
      high.d = q3_k_scale(piece, rest, chunks, 4u * block + 2u);
    } else {
      q2_k_scales(piece, rest, chunks, 4u * block, low);
      q2_k_scales(piece, rest, chunks, 4u * block + 2u, high);
    }
  } else {
    uvec4 words = weight_unit(piece, row + block);
    w.low = from_nibbles(words.x, words.y);
    w.high = from_nibbles(words.z, words.w);
    uint rest = 4u * row + chunks;
    if (HAS_FORMAT(FORMAT_Q4_0)) w.centre = 8;
    if (ANY_OF(FORMAT_Q5_0, FORMAT_Q5_1) || HAS_FORMAT(FORMAT_Q5_K)) {
      uint bits = weight_word(piece, rest + block);
      rest += chunks / 4u;
      w.low |= from_bits(bits) << 4u;
      w.high |= from_bits(bits >> 16) << 4u;
      if (HAS_FORMAT(FORMAT_Q5_0)) w.centre = 16;
    }
    if (HAS_FORMAT(FORMAT_Q6_K)) {
      w.low |= from_pairs(weight_word(piece, rest + 2u * block)) << 4u;
      w.high |= from_pairs(weight_word(piece, rest + 2u * block + 1u)) << 4u;
      w.centre = 32;
      rest += chunks / 2u;
      low.d = q6_k_scale(piece, rest, chunks, 4u * block);
      high.d = q6_k_scale(piece, rest, chunks, 4u * block + 2u);
    } else {
      load_four_bit_scales(format, piece, rest, chunks, 4u * block, low);
    }
  }
  w.low_d = low.d;
  w.low_m = low.m;
  w.high_d = high.d;
  w.high_m = high.m;
  return w;
}

int dot16(uvec4 w, uvec4 x) {
  if (kUnsignedWeights) {
    return mixed_dot(x.x, w.x, 0) + mixed_dot(x.y, w.y, 0) + mixed_dot(x.z, w.z, 0) + mixed_dot(x.w, w.w, 0);
  }
  return signed_dot(w.x, x.x, 0) + signed_dot(w.y, x.y, 0) + signed_dot(w.z, x.z, 0) + signed_dot(w.w, x.w, 0);
}

// acc + the block's share; in the same operations for every number of tokens a pass.
float dot_block(float acc, uint format, WeightBlock w, CodeBlock x) {
  int low = dot16(w.low, x.low) - w.centre * x.low_sum;
  int high = dot16(w.high, x.high) - w.centre * x.high_sum;
  precise float sum;
  if (has_half_scales(format)) {
    sum = fma(float(high), w.high_d, float(low) * w.low_d);
    if (has_minima(format)) sum = fma(float(x.low_sum), w.low_m, fma(float(x.high_sum), w.high_m, sum));
  } else {
    sum = float(low + high) * w.low_d;
    if (has_minima(format)) sum = fma(float(x.low_sum + x.high_sum), w.low_m, sum);
  }
  return fma(sum, x.unit, acc);
}

bool is_finite(float x) { return (floatBitsToUint(x) & 0x7F800000u) != 0x7F800000u; }

// The lane's sum of one row of weights with one row of activations, in floats, over the blocks that the lane has.
#define ADD_IN_FLOATS(sum, format, piece, row, chunks, x_row)                            \
  for (uint af_first = 4u * lane; af_first < chunks; af_first += 4u * kLanes) {          \
    for (uint af_chunk = af_first; af_chunk < min(af_first + 4u, chunks); ++af_chunk) {  \
      vec4 af_wa, af_wb, af_xa, af_xb;                                                   \
      load_weights(format, piece, row, chunks, af_chunk, af_wa, af_wb);                  \
      LOAD_ACTIVATIONS(x_row, af_chunk, chunks, af_xa, af_xb)                            \
      sum = dot8(sum, af_wa, af_wb, af_xa, af_xb);                                       \
    }                                                                                    \
  }
