// SPDX-License-Identifier: MIT
//
// Formats of expert matrices: what the kernels know by number, bytes of a row, and scalar decoding for the
// reference. A format arrives as data (moe_weight_format); one that is not done yet is refused with its name.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/status.h"

namespace moevk {

enum class WeightFormat : uint32_t { kF32 = 0, kF16 = 1, kBf16 = 2 };  // the numbers are those of weights.glsl

// `argument` is the descriptor's field, for the message.
Result<WeightFormat> weight_format(const moe_weight_format& format, const std::string& argument);
const char* format_name(WeightFormat format);
uint32_t dtype_of(WeightFormat format);  // MOE_DTYPE_*

// Bytes of `columns` elements, without padding.
uint64_t row_bytes(WeightFormat format, uint64_t columns);
inline uint64_t element_bytes(WeightFormat format) { return format == WeightFormat::kF32 ? 4 : 2; }

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
