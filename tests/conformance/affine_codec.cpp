// SPDX-License-Identifier: MIT
//
// weight = (code - zero point) * scale, in float64 and rounded once. fp8: e4m3fn has a bias of 7 and one NaN of each
// sign in the place of infinities, e5m2 a bias of 15 and IEEE's infinities and NaNs.
#include "tests/conformance/affine_codec.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moe_conformance {
namespace {

bool is_fp4(const moe_weight_format& f) { return f.element == MOE_ELEMENT_FP4_E2M1; }
bool is_fp8(const moe_weight_format& f) { return f.element != MOE_ELEMENT_INT && !is_fp4(f); }
uint32_t bits_of(const moe_weight_format& f) { return is_fp8(f) ? 8 : is_fp4(f) ? 4 : f.bits; }

double load_scale(const moe_weight_format& f, const std::byte* at) {
  if (f.scale == MOE_SCALE_E8M0) return std::ldexp(1, static_cast<int>(*at) - 127);
  return static_cast<double>(load(affine_scale_dtype(f), at));
}

double fp8_value(bool e4m3, uint32_t code) {
  const int mantissa_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const int exponent = static_cast<int>(code & 127) >> mantissa_bits;
  const double mantissa = std::ldexp(code & ((1u << mantissa_bits) - 1), -mantissa_bits);
  double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias) : std::ldexp(1 + mantissa, exponent - bias);
  if (e4m3 ? (code & 127) == 127 : exponent == 31 && mantissa > 0) {
    magnitude = std::numeric_limits<double>::quiet_NaN();
  } else if (!e4m3 && exponent == 31) {
    magnitude = std::numeric_limits<double>::infinity();
  }
  return (code & 128) != 0 ? -magnitude : magnitude;
}

// Element `index` of [E * rows, columns], without its scale.
double code_value(const moe_weight_format& f, const std::vector<std::byte>& codes, size_t index, double zero) {
  const uint32_t bits = bits_of(f), per = 8 / bits;
  const uint32_t code = static_cast<uint32_t>(codes[index / per]) >> (index % per * bits) & ((1u << bits) - 1);
  if (is_fp8(f)) return fp8_value(f.element == MOE_ELEMENT_FP8_E4M3, code);
  if (is_fp4(f)) {
    static constexpr double kMagnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    return (code & 8) != 0 ? -kMagnitudes[code & 7] : kMagnitudes[code];
  }
  if (f.zero_point != MOE_ZERO_POINT_NONE) return code - zero;
  const int number = static_cast<int>(code), range = 1 << bits;  // two's complement
  return number >= range / 2 ? number - range : number;
}

double zero_of(const moe_weight_format& f, const AffineParts& parts, size_t index) {
  if (f.zero_point == MOE_ZERO_POINT_STORED) return parts.zeros[index];
  return f.zero_point == MOE_ZERO_POINT_CENTRE ? std::ldexp(1, static_cast<int>(f.bits) - 1) : 0;
}

// Calls visit(code's value, index of the weight, index of its scale) for every weight.
template <class Visit>
void each_weight(const moe_weight_format& f, const AffineShape& s, const std::vector<std::byte>& codes,
                 const AffineParts& parts, Visit visit) {
  const size_t groups = affine_groups(f, s.columns), scale_rows = affine_scale_rows(f, s.rows);
  const size_t width = f.block_columns == 0 ? s.columns : f.block_columns;
  const size_t height = f.block_rows == 0 ? 1 : f.block_rows;
  for (size_t row = 0; row < s.experts * s.rows; ++row) {
    const size_t scale_row = row / s.rows * scale_rows + row % s.rows / height;
    for (size_t c = 0; c < s.columns; ++c) {
      const size_t group = c / width, index = row * s.columns + c;
      visit(code_value(f, codes, index, zero_of(f, parts, row * groups + group)), index, scale_row * groups + group);
    }
  }
}

}  // namespace

const std::vector<moe_weight_format>& affine_formats() {
  constexpr uint32_t kInt = MOE_ELEMENT_INT, kE4m3 = MOE_ELEMENT_FP8_E4M3, kE5m2 = MOE_ELEMENT_FP8_E5M2;
  constexpr uint32_t kSigned = MOE_ZERO_POINT_NONE, kCentre = MOE_ZERO_POINT_CENTRE, kStored = MOE_ZERO_POINT_STORED;
  constexpr uint32_t kF32 = MOE_SCALE_F32, kF16 = MOE_SCALE_F16, kBf16 = MOE_SCALE_BF16;
  static const std::vector<moe_weight_format> all = {
      // ONNX QMoE: a scale for a row, or for a block of it
      {kInt, 4, 0, 0, kF32, kCentre, 0, 0},
      {kInt, 8, 0, 1, kF32, kCentre, 0, 0},
      {kInt, 4, 0, 0, kF16, kStored, 0, 0},
      {kInt, 4, 32, 0, kF32, kCentre, 0, 0},
      {kInt, 8, 64, 0, kF16, kStored, 0, 0},
      {kInt, 4, 16, 0, kF32, kStored, 0, 0},
      {kInt, 2, 32, 0, kF16, kStored, 0, 0},
      {kInt, 2, 0, 0, kF32, kStored, 0, 0},
      {kInt, 2, 256, 0, kBf16, kCentre, 0, 0},
      // GPTQ and AWQ, and signed integers
      {kInt, 4, 128, 0, kF16, kStored, 0, 0},
      {kInt, 4, 64, 0, kBf16, kStored, 0, 0},
      {kInt, 8, 0, 0, kF32, kStored, 0, 0},
      {kInt, 8, 0, 0, kBf16, kSigned, 0, 0},
      {kInt, 4, 32, 0, kF16, kSigned, 0, 0},
      {kInt, 2, 16, 2, kF32, kSigned, 0, 0},
      // fp8: DeepSeek-V3's blocks, a scale for a row, one for all
      {kE4m3, 8, 128, 128, kF32, kSigned, 0, 0},
      {kE4m3, 0, 0, 0, kF32, kSigned, 0, 0},
      {kE4m3, 0, 0, MOE_BLOCK_ALL_ROWS, kF32, kSigned, 0, 0},
      {kE5m2, 0, 128, 128, kF32, kSigned, 0, 0},
      {kE5m2, 0, 0, 0, kBf16, kSigned, 0, 0},
      {kE5m2, 8, 0, MOE_BLOCK_ALL_ROWS, kF16, kSigned, 0, 0},
      // gpt-oss's MXFP4, and blocks of another size
      {MOE_ELEMENT_FP4_E2M1, 0, 32, 0, MOE_SCALE_E8M0, kSigned, 0, 0},
      {MOE_ELEMENT_FP4_E2M1, 4, 128, 0, MOE_SCALE_E8M0, kSigned, 0, 0},
  };
  return all;
}

bool is_affine(const moe_weight_format& f) {
  return f.preset == 0 && f.element >= MOE_ELEMENT_FP8_E4M3 && f.element <= MOE_ELEMENT_INT;
}

std::string affine_text(const moe_weight_format& f) {
  std::string text = f.element == MOE_ELEMENT_FP8_E4M3   ? "e4m3"
                     : f.element == MOE_ELEMENT_FP8_E5M2 ? "e5m2"
                     : is_fp4(f)                         ? "e2m1"
                                                         : "int" + std::to_string(f.bits);
  static constexpr const char* kZeros[] = {"", "centre", "zeros"};
  text += "(" + (f.block_columns == 0 ? "row" : std::to_string(f.block_columns));
  if (f.block_rows > 1) text += "x" + (f.block_rows == MOE_BLOCK_ALL_ROWS ? "all" : std::to_string(f.block_rows));
  return text + " " + (f.scale == MOE_SCALE_E8M0 ? "e8m0" : dtype_name(affine_scale_dtype(f))) +
         (f.zero_point == 0 ? "" : " ") + kZeros[f.zero_point] + ")";
}

size_t affine_groups(const moe_weight_format& f, size_t columns) {
  return f.block_columns == 0 ? 1 : (columns + f.block_columns - 1) / f.block_columns;
}

size_t affine_scale_rows(const moe_weight_format& f, size_t rows) {
  return f.block_rows <= 1 ? rows : (rows + f.block_rows - 1) / f.block_rows;
}

uint32_t affine_scale_dtype(const moe_weight_format& f) {
  if (f.scale == MOE_SCALE_E8M0) return MOE_DTYPE_BLOCKS;
  return f.scale == MOE_SCALE_F32 ? MOE_DTYPE_F32 : f.scale == MOE_SCALE_F16 ? MOE_DTYPE_F16 : MOE_DTYPE_BF16;
}

size_t affine_scale_bytes(const moe_weight_format& f) {
  return f.scale == MOE_SCALE_E8M0 ? 1 : dtype_bytes(affine_scale_dtype(f));
}

void store_scale(const moe_weight_format& f, std::byte* at, double value) {
  if (f.scale != MOE_SCALE_E8M0) return store(affine_scale_dtype(f), at, static_cast<float>(value));
  *at = static_cast<std::byte>(127 + std::lround(std::log2(std::fabs(value))));
}

std::vector<std::byte> draw_affine(Random& random, const moe_weight_format& f, const AffineShape& s, float scale,
                                   AffineParts& parts) {
  const uint32_t bits = bits_of(f);
  const size_t groups = affine_groups(f, s.columns);
  std::vector<std::byte> codes(s.experts * s.rows * s.columns * bits / 8);
  // Of fp8 most have one of a few neighbouring exponents, some any below: else few large weights are all there is.
  const bool e4m3 = f.element == MOE_ELEMENT_FP8_E4M3;
  const uint32_t mantissa_bits = e4m3 ? 3 : 2, top = e4m3 ? 8 : 18;
  for (std::byte& byte : codes) {
    uint32_t code = static_cast<uint32_t>(random.next() >> 32) & 255u;
    if (is_fp8(f)) {
      const uint32_t exponent = random.chance(0.9) ? top - random.below(4) : random.below(top + 1);
      code = (code & 128u) | exponent << mantissa_bits | (code & ((1u << mantissa_bits) - 1));
    }
    byte = static_cast<std::byte>(code);
  }
  parts = {};
  if (f.zero_point == MOE_ZERO_POINT_STORED) {
    parts.zeros.resize(s.experts * s.rows * groups);
    for (uint8_t& zero : parts.zeros) zero = static_cast<uint8_t>(random.below(1u << bits));
  }
  double squares = 0;
  each_weight(f, s, codes, parts, [&](double value, size_t, size_t) { squares += value * value; });
  const double rms = std::max(std::sqrt(squares / static_cast<double>(s.experts * s.rows * s.columns)), 1e-9);
  const size_t scales = s.experts * affine_scale_rows(f, s.rows) * groups;
  const size_t size = affine_scale_bytes(f);
  parts.scales.resize(scales * size);
  for (size_t i = 0; i < scales; ++i) {
    const double sign = random.chance(0.5) ? -1 : 1;
    const double value = sign * (0.5 + random.uniform()) * static_cast<double>(scale) / rms;
    store_scale(f, parts.scales.data() + i * size, value);
  }
  return codes;
}

std::vector<float> decode_affine(const moe_weight_format& f, const AffineShape& s, const std::vector<std::byte>& codes,
                                 const AffineParts& parts) {
  std::vector<float> values(s.experts * s.rows * s.columns);
  each_weight(f, s, codes, parts, [&](double value, size_t index, size_t scale) {
    values[index] = static_cast<float>(value * load_scale(f, parts.scales.data() + scale * affine_scale_bytes(f)));
  });
  return values;
}

std::vector<std::byte> pack_zeros(const moe_weight_format& f, const AffineShape& s, const std::vector<uint8_t>& zeros) {
  const bool along_rows = f.block_columns == 0;
  const size_t runs = along_rows ? s.experts : s.experts * s.rows;  // each begins at a byte
  const size_t run = along_rows ? s.rows : affine_groups(f, s.columns), per = 8 / f.bits, bytes = (run + per - 1) / per;
  std::vector<std::byte> packed(runs * bytes);
  for (size_t r = 0; r < runs; ++r) {
    for (size_t i = 0; i < run; ++i) {
      packed[r * bytes + i / per] |= static_cast<std::byte>(zeros[r * run + i] << (i % per * f.bits));
    }
  }
  return packed;
}

}  // namespace moe_conformance
