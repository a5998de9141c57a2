// SPDX-License-Identifier: MIT
//
// Matrices in affine formats (integers, fp8 or fp4, with scales and zero points as tensors of their own): random ones
// of a given size, and their values by the formats' definition in float64. Shares no code with the library.
#ifndef MOE_TESTS_CONFORMANCE_AFFINE_CODEC_H_
#define MOE_TESTS_CONFORMANCE_AFFINE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/numbers.h"

namespace moe_conformance {

// What stands beside a matrix's codes: scales as they are stored, [E, scale rows, groups], and zero points as numbers,
// [E, rows, groups]. Empty where the format has none.
struct AffineParts {
  std::vector<std::byte> scales;
  std::vector<uint8_t> zeros;
};

struct AffineShape {
  size_t experts, rows, columns;  // experts: 1 where there is no such axis
};

// All that the suite draws.
const std::vector<moe_weight_format>& affine_formats();
bool is_affine(const moe_weight_format& format);
std::string affine_text(const moe_weight_format& format);
// Columns a multiple of which every affine format can have.
inline constexpr uint32_t kAffineColumns = 16;

size_t affine_groups(const moe_weight_format& format, size_t columns);
size_t affine_scale_rows(const moe_weight_format& format, size_t rows);
uint32_t affine_scale_dtype(const moe_weight_format& format);  // of E8M0 MOE_DTYPE_BLOCKS
size_t affine_scale_bytes(const moe_weight_format& format);
// A scale as it is stored; of E8M0 a power of two near it.
void store_scale(const moe_weight_format& format, std::byte* at, double value);

// Codes for weights of an RMS near `scale`.
std::vector<std::byte> draw_affine(Random& random, const moe_weight_format& format, const AffineShape& shape,
                                   float scale, AffineParts& parts);
std::vector<float> decode_affine(const moe_weight_format& format, const AffineShape& shape,
                                 const std::vector<std::byte>& codes, const AffineParts& parts);
// Zero points as the tensor has them.
std::vector<std::byte> pack_zeros(const moe_weight_format& format, const AffineShape& shape,
                                  const std::vector<uint8_t>& zeros);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_AFFINE_CODEC_H_
