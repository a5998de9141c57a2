// SPDX-License-Identifier: MIT
//
// Affine formats: from the descriptor's fields to the number that kernels know, and decoding for the reference. fp8 is
// that of "FP8 Formats for Deep Learning" (arXiv:2209.05433), fp4 and its scales those
// of OCP's Microscaling Formats v1.0.
#include "runtime/affine_format.h"

#include <bit>

namespace moevk {
namespace {

constexpr uint32_t kSmallestGroup = 16;
constexpr uint32_t kLargestGroup = 1024;
constexpr uint32_t kScaleShift = 4, kZeroShift = 6, kRowsShift = 8;
constexpr uint32_t kAllRowsCode = 31;
constexpr uint32_t kScaleMask = 3;  // E8M0, whose number is 4, becomes 0

uint32_t log2_of(uint32_t power) { return static_cast<uint32_t>(std::countr_zero(power)); }

Status check_integer(const moe_weight_format& f, const std::string& argument) {
  if (f.bits != 2 && f.bits != 4 && f.bits != 8) {
    const std::string is = "is " + std::to_string(f.bits);
    return f.bits == 0 || f.bits > 8 ? invalid(argument + ".bits", is + "; integers have 2, 4 or 8")
                                     : unsupported(argument + ".bits", is + "; integers of 2, 4 and 8 are done");
  }
  if (f.zero_point == MOE_ZERO_POINT_MINIMUM) {
    return unsupported(argument + ".zero_point", "a stored offset is not done for integers, only a zero point");
  }
  if (f.zero_point == MOE_ZERO_POINT_STORED && f.block_rows > 1) {
    return unsupported(argument + ".block_rows", "rows that share a stored zero point are not done");
  }
  return {};
}

Status check_float(const moe_weight_format& f, const std::string& argument) {
  const uint32_t bits = f.element == MOE_ELEMENT_FP4_E2M1 ? 4 : 8;
  if (f.bits != 0 && f.bits != bits) {
    return invalid(argument + ".bits",
                   "is " + std::to_string(f.bits) + " where the element type has " + std::to_string(bits));
  }
  if (f.zero_point != MOE_ZERO_POINT_NONE) return invalid(argument + ".zero_point", "is set, but floats have none");
  return {};
}

Status check_scales(const moe_weight_format& f, const std::string& argument) {
  if (f.scale == MOE_SCALE_NONE) {
    return unsupported(argument + ".scale", "integers, fp8 and fp4 without scales are not done");
  }
  if (f.element == MOE_ELEMENT_FP4_E2M1) {
    if (f.scale != MOE_SCALE_E8M0) return unsupported(argument + ".scale", "is not done; of fp4 E8M0 scales are");
  } else if (f.scale > MOE_SCALE_BF16) {
    return unsupported(argument + ".scale", "is not done; f32, f16 and bf16 scales are");
  }
  if (f.block_columns != 0 &&
      (!std::has_single_bit(f.block_columns) || f.block_columns < kSmallestGroup || f.block_columns > kLargestGroup)) {
    return unsupported(argument + ".block_columns",
                       "is " + std::to_string(f.block_columns) + "; powers of two from 16 to 1024, or 0, are done");
  }
  if (f.block_rows > 1 && f.block_rows != MOE_BLOCK_ALL_ROWS && !std::has_single_bit(f.block_rows)) {
    return unsupported(argument + ".block_rows",
                       "is " + std::to_string(f.block_rows) + "; powers of two, and MOE_BLOCK_ALL_ROWS, are done");
  }
  if (f.packing != 0) return unsupported(argument + ".packing", "is not done: low bits first along the input is");
  return {};
}

}  // namespace

Result<WeightFormat> read_affine_format(const moe_weight_format& f, const std::string& argument) {
  const bool integer = f.element == MOE_ELEMENT_INT;
  MOE_RETURN_IF_ERROR(integer ? check_integer(f, argument) : check_float(f, argument));
  MOE_RETURN_IF_ERROR(check_scales(f, argument));
  AffineFormat format;
  format.range = f.element == MOE_ELEMENT_FP8_E4M3   ? WeightFormat::kE4m3
                 : f.element == MOE_ELEMENT_FP8_E5M2 ? WeightFormat::kE5m2
                 : f.element == MOE_ELEMENT_FP4_E2M1 ? WeightFormat::kE2m1
                 : f.bits == 2                       ? WeightFormat::kInt2
                 : f.bits == 4                       ? WeightFormat::kInt4
                                                     : WeightFormat::kInt8;
  format.group = f.block_columns;
  format.block_rows = f.block_rows == 0 ? 1 : f.block_rows;
  format.scale = f.scale;
  format.zero = f.zero_point == MOE_ZERO_POINT_STORED   ? ZeroPoint::kStored
                : f.zero_point == MOE_ZERO_POINT_CENTRE ? ZeroPoint::kCentre
                                                        : ZeroPoint::kSigned;
  return number_of(format);
}

WeightFormat number_of(const AffineFormat& f) {
  const uint32_t rows = f.block_rows == AffineFormat::kAllRows ? kAllRowsCode : log2_of(f.block_rows);
  return static_cast<WeightFormat>(static_cast<uint32_t>(f.range) + (f.group == 0 ? 0 : log2_of(f.group)) +
                                   ((f.scale & kScaleMask) << kScaleShift) +
                                   (static_cast<uint32_t>(f.zero) << kZeroShift) + (rows << kRowsShift));
}

std::optional<AffineFormat> find_affine_format(WeightFormat format) {
  if (!is_affine(format)) return std::nullopt;
  const uint32_t number = static_cast<uint32_t>(format);
  AffineFormat f;
  f.range = static_cast<WeightFormat>(number / kNumberFormatRange * kNumberFormatRange);
  const bool four = f.range == WeightFormat::kInt4 || f.range == WeightFormat::kE2m1;
  f.bits = f.range == WeightFormat::kInt2 ? 2 : four ? 4 : 8;
  const uint32_t group = number & 15, rows = number >> kRowsShift & 31;
  f.group = group == 0 ? 0 : 1u << group;
  f.block_rows = rows == kAllRowsCode ? AffineFormat::kAllRows : 1u << rows;
  const uint32_t scale = number >> kScaleShift & kScaleMask;
  f.scale = scale == 0 ? MOE_SCALE_E8M0 : scale;
  f.zero = static_cast<ZeroPoint>(number >> kZeroShift & 3);
  return f;
}

std::string AffineFormat::name() const {
  const std::string integer = (zero == ZeroPoint::kSigned ? "int" : "uint") + std::to_string(bits);
  std::string text = range == WeightFormat::kE4m3   ? "e4m3"
                     : range == WeightFormat::kE5m2 ? "e5m2"
                     : range == WeightFormat::kE2m1 ? "e2m1"
                                                    : integer;
  text += group == 0 ? ":row" : ":" + std::to_string(group);
  if (block_rows != 1) text += "x" + (block_rows == kAllRows ? "all" : std::to_string(block_rows));
  text += scale == MOE_SCALE_E8M0 ? ":e8m0" : std::string(":") + dtype_name(scale_dtype());
  return stores_zeros() ? text + ":zero" : text;
}

namespace {

// fp4: sign, two bits of exponent, one of mantissa; 0, 0.5, 1, 1.5, 2, 3, 4, 6.
float e2m1_doubled(uint32_t code) {
  const uint32_t exponent = code >> 1 & 3, mantissa = code & 1;
  const auto magnitude = static_cast<float>(exponent == 0 ? mantissa : (2 + mantissa) << (exponent - 1));
  return (code & 8) != 0 ? -magnitude : magnitude;
}

// 2^(x - 128): half of the scale that the byte stands for. No byte is a NaN, as in GGUF's MXFP4.
float e8m0_half(uint32_t x) { return std::bit_cast<float>(x < 2 ? 0x00200000u << x : (x - 1) << 23); }

}  // namespace

void decode_affine_row(const AffineFormat& f, const std::byte* row, uint64_t columns, float* values) {
  const std::byte* const scales = row + f.scales_at(columns);
  const std::byte* const zeros = row + f.zeros_at(columns);
  const uint32_t centre = 1u << (f.bits - 1);
  for (uint64_t c = 0; c < columns; ++c) {
    const uint64_t group = f.group == 0 ? 0 : c / f.group;
    const uint32_t code = packed_number(row, f.bits, c);
    if (f.range == WeightFormat::kE2m1) {
      values[c] = e2m1_doubled(code) * e8m0_half(static_cast<uint32_t>(scales[group]));
      continue;
    }
    const float scale = load_element(f.scale_dtype(), scales, group);
    if (!f.is_integer()) {
      const auto byte = static_cast<uint8_t>(code);
      values[c] = (f.range == WeightFormat::kE4m3 ? e4m3_to_float(byte) : e5m2_to_float(byte)) * scale;
      continue;
    }
    const uint32_t number = f.zero == ZeroPoint::kSigned ? code ^ centre : code;
    const uint32_t zero = f.stores_zeros() ? packed_number(zeros, f.bits, group) : centre;
    values[c] = (static_cast<float>(number) - static_cast<float>(zero)) * scale;
  }
}

float e4m3_to_float(uint8_t code) {
  const uint32_t magnitude = code & 127u, sign = (code & 128u) << 24;
  if (magnitude == 127) return std::bit_cast<float>(sign | 0x7FC00000u);
  if (magnitude >= 8) return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  const float subnormal = static_cast<float>(magnitude) * 0x1p-9f;
  return sign != 0 ? -subnormal : subnormal;
}

float e5m2_to_float(uint8_t code) { return half_to_float(static_cast<uint16_t>(code << 8)); }

}  // namespace moevk
