// SPDX-License-Identifier: MIT
//
// Formats of expert matrices: what the kernels know by number, bytes of a row, and scalar decoding for the
// reference. A format arrives as data (moe_weight_format); one that is not done yet is refused with its name.
// block_format.h has what is particular to formats of blocks, affine_format.h what is to those with scales apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernel_table.h"
#include "runtime/status.h"

namespace moevk {

// The numbers are those that kernels know.
enum class WeightFormat : uint32_t {
  kF32 = kNumberFormatF32,
  kF16 = kNumberFormatF16,
  kBf16 = kNumberFormatBf16,
  // Block formats, by ggml's names.
  kQ4_0 = kNumberFormatQ40,
  kQ4_1 = kNumberFormatQ41,
  kQ5_0 = kNumberFormatQ50,
  kQ5_1 = kNumberFormatQ51,
  kQ8_0 = kNumberFormatQ80,
  kQ2K = kNumberFormatQ2K,
  kQ3K = kNumberFormatQ3K,
  kQ4K = kNumberFormatQ4K,
  kQ5K = kNumberFormatQ5K,
  kQ6K = kNumberFormatQ6K,
  kIq2Xxs = kNumberFormatIq2Xxs,
  kIq2Xs = kNumberFormatIq2Xs,
  kIq3Xxs = kNumberFormatIq3Xxs,
  kIq1S = kNumberFormatIq1S,
  kIq4Nl = kNumberFormatIq4Nl,
  kIq3S = kNumberFormatIq3S,
  kIq2S = kNumberFormatIq2S,
  kIq4Xs = kNumberFormatIq4Xs,
  kIq1M = kNumberFormatIq1M,
  kTq1_0 = kNumberFormatTq10,
  kTq2_0 = kNumberFormatTq20,
  kMxfp4 = kNumberFormatMxfp4,
  kNvfp4 = kNumberFormatNvfp4,
  kQ1_0 = kNumberFormatQ10,
  kQ2_0 = kNumberFormatQ20,
  // Affine formats: each the first of a range of numbers, see affine_format.h.
  kInt2 = kNumberRangeInt2 * kNumberFormatRange,
  kInt4 = kNumberRangeInt4 * kNumberFormatRange,
  kInt8 = kNumberRangeInt8 * kNumberFormatRange,
  kE4m3 = kNumberRangeE4m3 * kNumberFormatRange,
  kE5m2 = kNumberRangeE5m2 * kNumberFormatRange,
  kE2m1 = kNumberRangeE2m1 * kNumberFormatRange,
};
inline constexpr uint32_t kWeightFormats = kNumberFormatQ20 + 1;  // without affine ones

// `argument` is the descriptor's field, for the message.
Result<WeightFormat> weight_format(const moe_weight_format& format, const std::string& argument);
std::string format_name(WeightFormat format);
inline bool is_plain(WeightFormat format) { return format <= WeightFormat::kBf16; }
uint32_t dtype_of(WeightFormat format);  // MOE_DTYPE_*; of a format that is not plain MOE_DTYPE_BLOCKS
// The number as a specialization constant: without what only upload needs to know.
uint32_t kernel_format(WeightFormat format);

// Columns of a matrix are a multiple: a block, whose elements must not be cut; 1 of a plain format.
uint32_t block_elements(WeightFormat format);
// Bytes of `columns` elements as a host has them; of an affine format with their scales and zero points.
uint64_t row_bytes(WeightFormat format, uint64_t columns);
// In a host's tensor, where scales and zero points are others.
uint64_t tensor_row_bytes(WeightFormat format, uint64_t columns);
// The same row in a device's memory: padded with zeros, of plain formats to `padded` columns, of others to 16 bytes.
uint64_t stored_row_bytes(WeightFormat format, uint64_t columns, uint64_t padded);
// Of an element, scales included.
double element_bytes(WeightFormat format);
// Does decoding need the codebooks?
bool uses_codebook(WeightFormat format);
// Integers times scales, one or two for each 32 columns: what integer_dots.glsl knows to multiply.
bool has_integer_codes(WeightFormat format);
bool has_half_scales(WeightFormat format);        // of those: two scales for each 32 columns
bool has_interleaved_codes(WeightFormat format);  // of those: codes of 6 bits and less come apart in that order
// A row of row_bytes -> float32.
void decode_row(WeightFormat format, const std::byte* row, uint64_t columns, float* values);

float half_to_float(uint16_t half);
float bfloat_to_float(uint16_t bfloat);
uint16_t float_to_half(float value);    // to nearest even
uint16_t float_to_bfloat(float value);  // to nearest even
// Element `index` of packed elements of an activation type or plain format (MOE_DTYPE_* or WeightFormat number).
float load_element(uint32_t dtype, const void* data, uint64_t index);
void store_element(uint32_t dtype, void* data, uint64_t index, float value);
inline uint64_t dtype_bytes(uint32_t dtype) { return dtype == MOE_DTYPE_F32 || dtype == MOE_DTYPE_I32 ? 4 : 2; }
const char* dtype_name(uint32_t dtype);

}  // namespace moevk
