// SPDX-License-Identifier: MIT
//
// Block formats as they stand on a device (runtime/block_format.cpp packs them): a row is one plane after the other,
// each with all the row's blocks; codes first, scales last. In: the word at which a row begins, its chunks of 8
// elements, and a chunk. Out: 8 weights, in the operations and the order of runtime/block_decode.cpp. Reads words only.

struct BlockChunk {
  vec4 a, b;  // codes as numbers
  float d;    // weight = code * d + m
  float m;
  float last_factor;  // not 1: a further factor, where d alone might be subnormal
};

uint half_word(uvec2 piece, uint at, uint index) {
  return weight_word(piece, at + index / 2u) >> (index % 2u * 16u) & 0xFFFFu;
}
float half_at(uvec2 piece, uint at, uint index) { return half_to_float(half_word(piece, at, index)); }
uint byte_at(uvec2 piece, uint at, uint index) {
  return weight_word(piece, at + index / 4u) >> (index % 4u * 8u) & 255u;
}
uint nibble_at(uvec2 piece, uint at, uint index) {
  return weight_word(piece, at + index / 8u) >> (index % 8u * 4u) & 15u;
}
uvec4 bits_of(uint word, uint first, uint bits) {
  return uvec4(word) >> (uvec4(0u, bits, 2u * bits, 3u * bits) + first) & ((1u << bits) - 1u);
}

// Of four bits; the levels are in bytes, for code 0 lowest in x.
vec4 look_up(uvec4 levels, uvec4 code) {
  ivec4 value;
  for (uint i = 0u; i < 4u; ++i) value[i] = int(levels[code[i] / 4u] << (24u - code[i] % 4u * 8u)) >> 24;
  return vec4(value);
}

// Half of a power of two, since the levels of fp4 are doubled: 2^(x - 128) in two factors, neither of them subnormal.
void set_e8m0(uint x, inout BlockChunk k) {
  int exponent = int(x) - 128;
  int first = exponent >> 1;
  k.d = uintBitsToFloat(uint(first + 127) << 23);
  k.last_factor = uintBitsToFloat(uint(exponent - first + 127) << 23);
}
const uvec4 kFp4Doubled = uvec4(0x03020100u, 0x0C080604u, 0xFDFEFF00u, 0xF4F8FAFCu);

#include "codebook_formats.glsl"
#include "affine_formats.glsl"

#define ANY_OF(x, y) (HAS_FORMAT(x) || HAS_FORMAT(y))

uint block_row_bytes(uint format, uint chunks) {
  if (is_affine_format(format)) return affine_row_words(format, chunks) * 4u;
  if (ANY_OF(FORMAT_Q4_0, FORMAT_IQ4_NL)) return chunks / 4u * 18u;
  if (HAS_FORMAT(FORMAT_Q4_1)) return chunks / 4u * 20u;
  if (HAS_FORMAT(FORMAT_Q5_0)) return chunks / 4u * 22u;
  if (HAS_FORMAT(FORMAT_Q5_1)) return chunks / 4u * 24u;
  if (HAS_FORMAT(FORMAT_Q8_0)) return chunks / 4u * 34u;
  if (HAS_FORMAT(FORMAT_MXFP4)) return chunks / 4u * 17u;
  if (HAS_FORMAT(FORMAT_NVFP4)) return chunks / 8u * 36u;
  if (HAS_FORMAT(FORMAT_Q1_0)) return chunks / 16u * 18u;
  if (HAS_FORMAT(FORMAT_Q2_0)) return chunks / 8u * 18u;
  uint bytes = 0u;
  if (HAS_FORMAT(FORMAT_Q2_K)) bytes = 84u;
  if (ANY_OF(FORMAT_Q3_K, FORMAT_IQ3_S)) bytes = 110u;
  if (HAS_FORMAT(FORMAT_Q4_K)) bytes = 144u;
  if (HAS_FORMAT(FORMAT_Q5_K)) bytes = 176u;
  if (HAS_FORMAT(FORMAT_Q6_K)) bytes = 210u;
  if (HAS_FORMAT(FORMAT_IQ4_XS)) bytes = 136u;
  if (HAS_FORMAT(FORMAT_IQ2_XS)) bytes = 74u;
  if (HAS_FORMAT(FORMAT_IQ2_S)) bytes = 82u;
  if (HAS_FORMAT(FORMAT_IQ3_XXS)) bytes = 98u;
  if (HAS_FORMAT(FORMAT_IQ1_S)) bytes = 50u;
  if (HAS_FORMAT(FORMAT_IQ1_M)) bytes = 56u;
  if (HAS_FORMAT(FORMAT_TQ1_0)) bytes = 54u;
  if (ANY_OF(FORMAT_TQ2_0, FORMAT_IQ2_XXS)) bytes = 66u;
  return chunks / 32u * bytes;
}

float q6_k_scale(uvec2 piece, uint rest, uint chunks, uint chunk) {
  int scale = int(byte_at(piece, rest, chunk / 2u) << 24) >> 24;
  precise float d = half_at(piece, rest + chunks / 8u, chunk / 32u) * float(scale);
  return d;
}

// What stands behind the codes of load_four_bits, at `rest`.
void load_four_bit_scales(uint format, uvec2 piece, uint rest, uint chunks, uint chunk, inout BlockChunk k) {
  uint block = chunk / 4u;
  if (HAS_FORMAT(FORMAT_Q4_0) || HAS_FORMAT(FORMAT_Q5_0) || HAS_FORMAT(FORMAT_IQ4_NL)) k.d = half_at(piece, rest, block);
  if (ANY_OF(FORMAT_Q4_1, FORMAT_Q5_1)) {
    uint pair = weight_word(piece, rest + block);
    k.d = half_to_float(pair & 0xFFFFu);
    k.m = half_to_float(pair >> 16);
  }
  if (HAS_FORMAT(FORMAT_MXFP4)) set_e8m0(byte_at(piece, rest, block), k);
  if (HAS_FORMAT(FORMAT_NVFP4)) {  // half of an unsigned e4m3; its NaN is 0
    uint x = byte_at(piece, rest, chunk / 2u);
    uint exponent = x >> 3 & 15u;
    float d = exponent == 0u ? float(x & 7u) * 9.765625e-4
                             : uintBitsToFloat((exponent + 119u) << 23 | (x & 7u) << 20);
    k.d = x == 127u ? 0.0 : d;
  }
  if (ANY_OF(FORMAT_Q4_K, FORMAT_Q5_K)) {  // scales and minima of 6 bits, d and dmin: 16 bytes
    uint at = rest + chunk / 32u * 4u;
    uint low = weight_word(piece, at), middle = weight_word(piece, at + 1u);
    uint pair = weight_word(piece, at + 3u);
    uint run = block % 8u, shift = run % 4u * 8u;
    uint scale = low >> shift & 63u, minimum = middle >> shift & 63u;
    if (run >= 4u) {
      uint high = weight_word(piece, at + 2u) >> shift;
      scale = (high & 15u) | (low >> shift >> 6u & 3u) << 4;
      minimum = (high >> 4u & 15u) | (middle >> shift >> 6u & 3u) << 4;
    }
    precise float d = half_to_float(pair & 0xFFFFu) * float(scale);
    precise float m = half_to_float(pair >> 16) * float(minimum);
    k.d = d;
    k.m = -m;
  }
  if (HAS_FORMAT(FORMAT_Q6_K)) k.d = q6_k_scale(piece, rest, chunks, chunk);
  if (HAS_FORMAT(FORMAT_IQ4_XS)) {
    uint at = rest + chunk / 32u * 2u, run = block % 8u;
    uint word = weight_word(piece, at + 1u);
    uint six = nibble_at(piece, at, run) | (word >> (2u * run) & 3u) << 4;
    precise float d = half_to_float(word >> 16) * float(int(six) - 32);
    k.d = d;
  }
}

// Codes of 4 bits, with 1 or 2 further bits in a plane of their own.
void load_four_bits(uint format, uvec2 piece, uint row, uint chunks, uint chunk, inout BlockChunk k) {
  uint word = weight_word(piece, row + chunk);
  uint rest = row + chunks;  // the next plane
  uvec4 a = bits_of(word, 0u, 4u), b = bits_of(word, 16u, 4u);
  if (HAS_FORMAT(FORMAT_Q5_0) || HAS_FORMAT(FORMAT_Q5_1) || HAS_FORMAT(FORMAT_Q5_K)) {
    uint high = byte_at(piece, rest, chunk);
    a |= bits_of(high, 0u, 1u) << 4u;
    b |= bits_of(high, 4u, 1u) << 4u;
    rest += chunks / 4u;
  }
  if (HAS_FORMAT(FORMAT_Q6_K)) {
    uint high = half_word(piece, rest, chunk);
    a |= bits_of(high, 0u, 2u) << 4u;
    b |= bits_of(high, 8u, 2u) << 4u;
    rest += chunks / 2u;
  }
  float centre = HAS_FORMAT(FORMAT_Q4_0) ? 8.0 : HAS_FORMAT(FORMAT_Q5_0) ? 16.0 : HAS_FORMAT(FORMAT_Q6_K) ? 32.0 : 0.0;
  k.a = vec4(a) - centre;
  k.b = vec4(b) - centre;
  if (ANY_OF(FORMAT_IQ4_NL, FORMAT_IQ4_XS)) {
    const uvec4 levels = uvec4(0xBFAD9881u, 0xF6EADDCFu, 0x26190D01u, 0x71594535u);
    k.a = look_up(levels, a);
    k.b = look_up(levels, b);
  }
  if (ANY_OF(FORMAT_MXFP4, FORMAT_NVFP4)) {
    k.a = look_up(kFp4Doubled, a);
    k.b = look_up(kFp4Doubled, b);
  }
  load_four_bit_scales(format, piece, rest, chunks, chunk, k);
}

void q2_k_scales(uvec2 piece, uint rest, uint chunks, uint chunk, inout BlockChunk k) {
  uint scales = byte_at(piece, rest, chunk / 2u);
  uint pair = weight_word(piece, rest + chunks / 8u + chunk / 32u);
  precise float d = half_to_float(pair & 0xFFFFu) * float(scales & 15u);
  precise float m = half_to_float(pair >> 16) * float(scales >> 4);
  k.d = d;
  k.m = -m;
}
float q3_k_scale(uvec2 piece, uint rest, uint chunks, uint chunk) {
  uint at = rest + chunk / 32u * 3u, run = chunk / 2u % 16u;
  uint six = nibble_at(piece, at, run) | (weight_word(piece, at + 2u) >> (2u * run) & 3u) << 4;
  precise float d = half_at(piece, rest + chunks / 32u * 3u, chunk / 32u) * float(int(six) - 32);
  return d;
}

void load_two_bits(uint format, uvec2 piece, uint row, uint chunks, uint chunk, inout BlockChunk k) {
  uint word = half_word(piece, row, chunk);
  uint rest = row + chunks / 2u;
  uvec4 a = bits_of(word, 0u, 2u), b = bits_of(word, 8u, 2u);
  float centre = HAS_FORMAT(FORMAT_Q2_K) ? 0.0 : 1.0;
  if (HAS_FORMAT(FORMAT_Q2_K)) {
    q2_k_scales(piece, rest, chunks, chunk, k);
  }
  if (HAS_FORMAT(FORMAT_Q3_K)) {
    uint high = byte_at(piece, rest, chunk);
    a |= bits_of(high, 0u, 1u) << 2u;
    b |= bits_of(high, 4u, 1u) << 2u;
    centre = 4.0;
    rest += chunks / 4u;
    k.d = q3_k_scale(piece, rest, chunks, chunk);
  }
  if (HAS_FORMAT(FORMAT_TQ2_0)) k.d = half_at(piece, rest, chunk / 32u);
  if (HAS_FORMAT(FORMAT_Q2_0)) k.d = half_at(piece, rest, chunk / 8u);
  k.a = vec4(a) - centre;
  k.b = vec4(b) - centre;
}

// Five digits in base 3 a byte; a block has 48 bytes of five and 4 of four.
void load_ternary(uvec2 piece, uint row, uint chunks, uint chunk, inout BlockChunk k) {
  uint c = chunk % 32u, at = row + chunk / 32u * 13u;
  uint digit = c < 20u ? c / 4u : c < 30u ? (c - 20u) / 2u : (c - 30u) * 2u;
  uint word = c < 20u ? c % 4u * 2u : c < 30u ? 8u + c % 2u * 2u : 12u;
  const uint powers[6] = uint[6](1u, 3u, 9u, 27u, 81u, 243u);
  uvec4 a = bits_of(weight_word(piece, at + word), 0u, 8u);
  uvec4 b = bits_of(weight_word(piece, at + (c < 30u ? word + 1u : word)), 0u, 8u);
  a = (a * powers[digit] & 255u) * 3u >> 8u;
  b = (b * powers[c < 30u ? digit : digit + 1u] & 255u) * 3u >> 8u;
  k.a = vec4(a) - 1.0;
  k.b = vec4(b) - 1.0;
  k.d = half_at(piece, row + chunks / 32u * 13u, chunk / 32u);
}

void load_blocks(uint format, uvec2 piece, uint row, uint chunks, uint chunk, out vec4 a, out vec4 b) {
  BlockChunk k = BlockChunk(vec4(0.0), vec4(0.0), 0.0, 0.0, 1.0);
  if (HAS_FORMAT(FORMAT_Q8_0)) {
    uint at = row + 2u * chunk;
    k.a = vec4(ivec4(bits_of(weight_word(piece, at), 0u, 8u) << 24u) >> 24);
    k.b = vec4(ivec4(bits_of(weight_word(piece, at + 1u), 0u, 8u) << 24u) >> 24);
    k.d = half_at(piece, row + 2u * chunks, chunk / 4u);
  } else if (HAS_FORMAT(FORMAT_Q1_0)) {
    uint word = byte_at(piece, row, chunk);
    k.a = 2.0 * vec4(bits_of(word, 0u, 1u)) - 1.0;
    k.b = 2.0 * vec4(bits_of(word, 4u, 1u)) - 1.0;
    k.d = half_at(piece, row + chunks / 4u, chunk / 16u);
  } else if (HAS_FORMAT(FORMAT_TQ1_0)) {
    load_ternary(piece, row, chunks, chunk, k);
  } else if (HAS_FORMAT(FORMAT_Q2_K) || HAS_FORMAT(FORMAT_Q3_K) || HAS_FORMAT(FORMAT_TQ2_0) ||
             HAS_FORMAT(FORMAT_Q2_0)) {
    load_two_bits(format, piece, row, chunks, chunk, k);
  } else if (is_affine_format(format)) {
    load_affine(format, piece, row, chunks, chunk, k);
  } else if (is_codebook_format(format)) {
    load_code_vectors(format, piece, row, chunks, chunk, k);
  } else {
    load_four_bits(format, piece, row, chunks, chunk, k);
  }
  precise vec4 product_a = k.a * k.d;
  precise vec4 product_b = k.b * k.d;
  if (HAS_FORMAT(FORMAT_MXFP4) || (kUsesE2m1 && format / FORMAT_RANGE == RANGE_E2M1)) {
    product_a = product_a * k.last_factor;
    product_b = product_b * k.last_factor;
  }
  if (ANY_OF(FORMAT_Q4_1, FORMAT_Q5_1) || ANY_OF(FORMAT_Q4_K, FORMAT_Q5_K) || HAS_FORMAT(FORMAT_Q2_K)) {
    product_a = product_a + k.m;
    product_b = product_b + k.m;
  }
  a = product_a;
  b = product_b;
}
