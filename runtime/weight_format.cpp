// SPDX-License-Identifier: MIT
//
// Formats as data -> the formats that kernels know; exact conversions of 16-bit floats.
#include "runtime/weight_format.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/affine_format.h"
#include "runtime/block_format.h"

namespace moevk {
namespace {

// A preset says everything: what stands beside it would contradict it, or repeat it.
Result<WeightFormat> preset_format(const moe_weight_format& format, const std::string& argument) {
  const struct {
    const char* field;
    uint32_t value;
  } others[] = {{".element", format.element},       {".bits", format.bits},   {".block_columns", format.block_columns},
                {".block_rows", format.block_rows}, {".scale", format.scale}, {".zero_point", format.zero_point},
                {".packing", format.packing}};
  for (const auto& other : others) {
    if (other.value != 0) return invalid(argument + other.field, "must be 0 beside a preset, which says it all");
  }
  const BlockFormat* block = find_ggml_block_format(format.preset - 1);
  if (block != nullptr) return block->format;
  return unsupported(argument + ".preset", "is " + std::to_string(format.preset) + ": GGUF type " +
                                               std::to_string(format.preset - 1) + " is no block format that is read");
}

}  // namespace

Result<WeightFormat> weight_format(const moe_weight_format& format, const std::string& argument) {
  if (format.element > MOE_ELEMENT_CODEBOOK) return invalid(argument + ".element", "is no MOE_ELEMENT_* value");
  if (format.scale > MOE_SCALE_E4M3) return invalid(argument + ".scale", "is no MOE_SCALE_* value");
  if (format.zero_point > MOE_ZERO_POINT_MINIMUM)
    return invalid(argument + ".zero_point", "is no MOE_ZERO_POINT_* value");
  if (format.preset != 0) return preset_format(format, argument);
  if (format.element >= MOE_ELEMENT_FP8_E4M3 && format.element <= MOE_ELEMENT_INT)
    return read_affine_format(format, argument);
  const bool plain = format.element <= MOE_ELEMENT_BF16;
  const bool blocks = format.block_columns != 0 || format.block_rows > 1 || format.scale != MOE_SCALE_NONE ||
                      format.zero_point != MOE_ZERO_POINT_NONE || format.packing != 0;
  if (!plain || blocks)
    return unsupported(argument,
                       "these quantised weights are done by preset only (1 + the number of a GGUF block format)");
  const uint32_t bits = format.element == MOE_ELEMENT_F32 ? 32 : 16;
  if (format.bits != 0 && format.bits != bits) {
    return invalid(argument + ".bits",
                   "is " + std::to_string(format.bits) + " where the element type has " + std::to_string(bits));
  }
  return static_cast<WeightFormat>(format.element);
}

std::string format_name(WeightFormat format) {
  if (is_affine(format)) return find_affine_format(format)->name();
  return is_plain(format) ? dtype_name(dtype_of(format)) : find_block_format(format)->name;
}

uint32_t dtype_of(WeightFormat format) { return is_plain(format) ? static_cast<uint32_t>(format) : MOE_DTYPE_BLOCKS; }

uint32_t kernel_format(WeightFormat format) {
  std::optional<AffineFormat> affine = find_affine_format(format);
  if (!affine) return static_cast<uint32_t>(format);
  affine->block_rows = 1;
  return static_cast<uint32_t>(number_of(*affine));
}

uint32_t block_elements(WeightFormat format) {
  if (is_affine(format)) return kAffineColumns;
  return is_plain(format) ? 1 : find_block_format(format)->elements;
}

uint64_t row_bytes(WeightFormat format, uint64_t columns) {
  if (is_plain(format)) return columns * dtype_bytes(dtype_of(format));
  if (is_affine(format)) return find_affine_format(format)->row_bytes(columns);
  const BlockFormat* block = find_block_format(format);
  return block->blocks(columns) * block->bytes;
}

uint64_t tensor_row_bytes(WeightFormat format, uint64_t columns) {
  return is_affine(format) ? find_affine_format(format)->code_bytes(columns) : row_bytes(format, columns);
}

uint64_t stored_row_bytes(WeightFormat format, uint64_t columns, uint64_t padded) {
  return is_plain(format) ? row_bytes(format, padded) : (row_bytes(format, columns) + 15) / 16 * 16;
}

double element_bytes(WeightFormat format) {
  if (is_plain(format)) return static_cast<double>(dtype_bytes(dtype_of(format)));
  if (const std::optional<AffineFormat> affine = find_affine_format(format); affine) {
    const double bits = affine->bits, zero_bits = affine->stores_zeros() ? bits : 0;
    const double beside = 8.0 * static_cast<double>(affine->scale_size()) + zero_bits;
    return (bits + (affine->group == 0 ? 0 : beside / affine->group)) / 8;
  }
  const BlockFormat* block = find_block_format(format);
  return static_cast<double>(block->bytes) / block->elements;
}

bool uses_codebook(WeightFormat format) {
  switch (format) {
    case WeightFormat::kIq2Xxs:
    case WeightFormat::kIq2Xs:
    case WeightFormat::kIq2S:
    case WeightFormat::kIq3Xxs:
    case WeightFormat::kIq3S:
    case WeightFormat::kIq1S:
    case WeightFormat::kIq1M: return true;
    default: return false;
  }
}

bool has_integer_codes(WeightFormat format) {
  if (const std::optional<AffineFormat> affine = find_affine_format(format)) {
    return affine->is_integer() && affine->bits >= 4 && (affine->group == 0 || affine->group >= 32);
  }
  switch (format) {
    case WeightFormat::kQ4_0:
    case WeightFormat::kQ4_1:
    case WeightFormat::kQ5_0:
    case WeightFormat::kQ5_1:
    case WeightFormat::kQ8_0:
    case WeightFormat::kQ2K:
    case WeightFormat::kQ3K:
    case WeightFormat::kQ4K:
    case WeightFormat::kQ5K:
    case WeightFormat::kQ6K: return true;
    default: return false;
  }
}

bool has_half_scales(WeightFormat format) {
  return format == WeightFormat::kQ2K || format == WeightFormat::kQ3K || format == WeightFormat::kQ6K;
}

bool has_interleaved_codes(WeightFormat format) {
  const std::optional<AffineFormat> affine = find_affine_format(format);
  return affine ? affine->bits != 8 : format != WeightFormat::kQ8_0;
}

void decode_row(WeightFormat format, const std::byte* row, uint64_t columns, float* values) {
  if (is_affine(format)) return decode_affine_row(*find_affine_format(format), row, columns, values);
  const BlockFormat* block = find_block_format(format);
  if (block == nullptr) {
    for (uint64_t c = 0; c < columns; ++c) values[c] = load_element(dtype_of(format), row, c);
    return;
  }
  for (uint64_t b = 0; b < block->blocks(columns); ++b) {
    decode_block(*block, row + b * block->bytes, values + b * block->elements);
  }
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t mantissa = half & 1023u;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t bits = exponent == 31 ? 0x7F800000u | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | bits);
}

float bfloat_to_float(uint16_t bfloat) { return std::bit_cast<float>(static_cast<uint32_t>(bfloat) << 16); }

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    return static_cast<uint16_t>(sign |
                                 static_cast<uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f)));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

uint16_t float_to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

float load_element(uint32_t dtype, const void* data, uint64_t index) {
  if (dtype == MOE_DTYPE_F32) {
    float value;
    std::memcpy(&value, static_cast<const char*>(data) + index * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, static_cast<const char*>(data) + index * 2, 2);
  return dtype == MOE_DTYPE_F16 ? half_to_float(half) : bfloat_to_float(half);
}

void store_element(uint32_t dtype, void* data, uint64_t index, float value) {
  if (dtype == MOE_DTYPE_F32) {
    std::memcpy(static_cast<char*>(data) + index * 4, &value, 4);
    return;
  }
  const uint16_t half = dtype == MOE_DTYPE_F16 ? float_to_half(value) : float_to_bfloat(value);
  std::memcpy(static_cast<char*>(data) + index * 2, &half, 2);
}

const char* dtype_name(uint32_t dtype) {
  switch (dtype) {
    case MOE_DTYPE_F32: return "f32";
    case MOE_DTYPE_F16: return "f16";
    case MOE_DTYPE_BF16: return "bf16";
    case MOE_DTYPE_I32: return "i32";
    case MOE_DTYPE_BLOCKS: return "blocks";
    default: return "unknown";
  }
}

}  // namespace moevk
