// SPDX-License-Identifier: MIT
//
// Affine formats: weight = (code - zero point) * scale. Codes are integers of 2, 4 or 8 bits, fp8 or fp4; scales and zero
// points came as tensors of their own and stand behind a row's codes (runtime/affine_format.h): codes, scales, zero
// points, each plane in whole words. In and out as in block_formats.glsl; the format's number holds the parameters.

const bool kUsesInt2 = USES_RANGE(RANGE_INT2);
const bool kUsesInt4 = USES_RANGE(RANGE_INT4);
const bool kUsesInt8 = USES_RANGE(RANGE_INT8);
const bool kUsesE4m3 = USES_RANGE(RANGE_E4M3);
const bool kUsesE5m2 = USES_RANGE(RANGE_E5M2);
const bool kUsesE2m1 = USES_RANGE(RANGE_E2M1);

#define IS_INT2 (kUsesInt2 && range == RANGE_INT2)
#define IS_INT4 (kUsesInt4 && range == RANGE_INT4)
#define IS_E4M3 (kUsesE4m3 && range == RANGE_E4M3)
#define IS_E5M2 (kUsesE5m2 && range == RANGE_E5M2)
#define IS_E2M1 (kUsesE2m1 && range == RANGE_E2M1)

const bool kUsesAffine = kUsesInt2 || kUsesInt4 || kUsesInt8 || kUsesE4m3 || kUsesE5m2 || kUsesE2m1;
bool is_affine_format(uint format) { return kUsesAffine && format >= FORMAT_RANGE; }

const uint kScaleE8m0 = 0u;  // of fp4 alone
const uint kScaleF32 = 1u;
const uint kScaleF16 = 2u;  // else bf16
const uint kZeroSigned = 0u;  // integers are two's complement
const uint kZeroStored = 2u;  // 1: the middle of the codes

uint affine_bits(uint format) {
  uint range = format / FORMAT_RANGE;
  return IS_INT2 ? 2u : IS_INT4 || IS_E2M1 ? 4u : 8u;
}

// The group of a chunk; a row may be one group.
uint affine_group(uint format, uint chunk) {
  uint log2_group = format & 15u;
  return log2_group == 0u ? 0u : chunk >> (log2_group - 3u);
}

uint affine_scale_words(uint format, uint groups) {
  uint type = format >> 4 & 3u;
  return type == kScaleF32 ? groups : type == kScaleE8m0 ? (groups + 3u) / 4u : (groups + 1u) / 2u;
}

uint affine_row_words(uint format, uint chunks) {
  uint bits = affine_bits(format), groups = affine_group(format, chunks - 1u) + 1u;
  uint zeros = (format >> 6 & 3u) == kZeroStored ? (groups * bits + 31u) / 32u : 0u;
  return chunks * bits / 4u + affine_scale_words(format, groups) + zeros;
}

float e4m3(uint x) {
  uint magnitude = x & 127u;
  float value = magnitude < 8u ? float(magnitude) * 1.953125e-3 : uintBitsToFloat((magnitude << 20) + (120u << 23));
  if (magnitude == 127u) value = uintBitsToFloat(0x7FC00000u);
  return (x & 128u) != 0u ? -value : value;
}

vec4 fp8_values(uint range, uint word) {
  uvec4 codes = bits_of(word, 0u, 8u);
  vec4 values;
  for (uint i = 0u; i < 4u; ++i) values[i] = IS_E4M3 ? e4m3(codes[i]) : half_to_float(codes[i] << 8);
  return values;
}

// Of integers: what code stands for 0, where two's complement has its sign bit turned over.
uint affine_zero(uint format, uvec2 piece, uint scales, uint chunks, uint group) {
  uint bits = affine_bits(format);
  if ((format >> 6 & 3u) != kZeroStored) return 1u << (bits - 1u);
  uint at = scales + affine_scale_words(format, affine_group(format, chunks - 1u) + 1u), bit = group * bits;
  return weight_word(piece, at + bit / 32u) >> (bit % 32u) & ((1u << bits) - 1u);
}

float affine_scale(uint format, uvec2 piece, uint scales, uint group) {
  uint type = format >> 4 & 3u;
  if (type == kScaleF32) return uintBitsToFloat(weight_word(piece, scales + group));
  if (type == kScaleF16) return half_at(piece, scales, group);
  return uintBitsToFloat(half_word(piece, scales, group) << 16);
}

void load_affine(uint format, uvec2 piece, uint row, uint chunks, uint chunk, inout BlockChunk k) {
  uint bits = affine_bits(format), group = affine_group(format, chunk);
  uint scales = row + chunks * bits / 4u;
  uint range = format / FORMAT_RANGE;
  if (IS_E2M1) {
    uint word = weight_word(piece, row + chunk);
    k.a = look_up(kFp4Doubled, bits_of(word, 0u, 4u));
    k.b = look_up(kFp4Doubled, bits_of(word, 16u, 4u));
    set_e8m0(byte_at(piece, scales, group), k);
    return;
  }
  k.d = affine_scale(format, piece, scales, group);
  if (IS_E4M3 || IS_E5M2) {
    k.a = fp8_values(range, weight_word(piece, row + 2u * chunk));
    k.b = fp8_values(range, weight_word(piece, row + 2u * chunk + 1u));
    return;
  }
  uvec4 a, b;
  if (IS_INT2) {
    uint word = half_word(piece, row, chunk);
    a = bits_of(word, 0u, 2u);
    b = bits_of(word, 8u, 2u);
  } else if (IS_INT4) {
    uint word = weight_word(piece, row + chunk);
    a = bits_of(word, 0u, 4u);
    b = bits_of(word, 16u, 4u);
  } else {
    a = bits_of(weight_word(piece, row + 2u * chunk), 0u, 8u);
    b = bits_of(weight_word(piece, row + 2u * chunk + 1u), 0u, 8u);
  }
  uint zero = affine_zero(format, piece, scales, chunks, group);
  if ((format >> 6 & 3u) == kZeroSigned) {
    a ^= zero;
    b ^= zero;
  }
  k.a = vec4(a) - float(zero);
  k.b = vec4(b) - float(zero);
}
