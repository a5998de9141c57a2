// SPDX-License-Identifier: MIT
//
// Affine formats as data: weight = (code - zero point) * scale. Codes are integers of 2, 4 or 8 bits, fp8 or fp4;
// scales and zero points are tensors of their own, as ONNX QMoE, GPTQ, AWQ, DeepSeek-V3's fp8 and gpt-oss's MXFP4 have
// them. Upload puts them behind a row's codes, each plane in whole words, so that one row is all that a kernel reads:
//
//   codes, low bits first | scales of the row's groups | zero points of the groups, low bits first | zeros to a word
#pragma once

#include <optional>

#include "runtime/weight_format.h"

namespace moevk {

enum class ZeroPoint : uint32_t { kSigned, kCentre, kStored };  // kSigned: codes are two's complement; floats have none

struct AffineFormat {
  static constexpr uint32_t kAllRows = UINT32_MAX;

  WeightFormat range = WeightFormat::kInt4;  // the first number of its element's range
  uint32_t bits = 4;
  uint32_t group = 0;       // columns that share a scale, a power of two; 0: the whole row
  uint32_t block_rows = 1;  // rows of a host's tensor that share a scale, a power of two, or kAllRows
  uint32_t scale = MOE_SCALE_F32;
  ZeroPoint zero = ZeroPoint::kCentre;

  bool is_integer() const { return range <= WeightFormat::kInt8; }
  // Of one scale, as a host's tensor has it: E8M0 in MOE_DTYPE_BLOCKS.
  uint32_t scale_dtype() const { return scale == MOE_SCALE_E8M0 ? MOE_DTYPE_BLOCKS : scale - MOE_SCALE_F32; }
  uint64_t scale_size() const { return scale == MOE_SCALE_E8M0 ? 1 : dtype_bytes(scale_dtype()); }
  bool stores_zeros() const { return zero == ZeroPoint::kStored; }
  uint64_t groups(uint64_t columns) const { return group == 0 ? 1 : (columns + group - 1) / group; }
  // Of a host's tensors: rows of scales for `rows` rows of codes, bytes of a row of codes.
  uint64_t scale_rows(uint64_t rows) const { return block_rows == kAllRows ? 1 : (rows + block_rows - 1) / block_rows; }
  uint64_t code_bytes(uint64_t columns) const { return columns * bits / 8; }
  // Of a row as it is stored, with scales and zero points.
  uint64_t scale_bytes(uint64_t columns) const { return groups(columns) * scale_size(); }
  uint64_t zero_bytes(uint64_t columns) const { return stores_zeros() ? (groups(columns) * bits + 7) / 8 : 0; }
  uint64_t scales_at(uint64_t columns) const { return code_bytes(columns); }
  uint64_t zeros_at(uint64_t columns) const { return (scales_at(columns) + scale_bytes(columns) + 3) / 4 * 4; }
  uint64_t row_bytes(uint64_t columns) const { return (zeros_at(columns) + zero_bytes(columns) + 3) / 4 * 4; }
  std::string name() const;
};

// A row is a multiple of this many columns.
inline constexpr uint32_t kAffineColumns = 16;

inline bool is_affine(WeightFormat format) { return format >= WeightFormat::kInt2; }
std::optional<AffineFormat> find_affine_format(WeightFormat format);
WeightFormat number_of(const AffineFormat& format);
// A descriptor's format with an integer, fp8 or fp4 element and no preset.
Result<WeightFormat> read_affine_format(const moe_weight_format& format, const std::string& argument);

// Number `index` of `bits` bits each, low bits first.
inline uint32_t packed_number(const std::byte* data, uint32_t bits, uint64_t index) {
  const uint64_t at = index * bits;
  return static_cast<uint32_t>(data[at / 8]) >> (at % 8) & ((1u << bits) - 1);
}

// A stored row -> float32: the difference is exact, the product rounded once. A scale that is infinite or NaN gives
// infinities and NaNs as the formula has them.
void decode_affine_row(const AffineFormat& format, const std::byte* row, uint64_t columns, float* values);

float e4m3_to_float(uint8_t code);  // e4m3fn: no infinities, 0x7F and 0xFF are NaN
float e5m2_to_float(uint8_t code);  // the upper half of an f16

}  // namespace moevk
