// SPDX-License-Identifier: MIT
//
// Block formats of GGUF files as data: what a block holds, and in which order its bits stand on a device. A packed row
// is one plane after the other, each with the row's blocks in order, so that neighbouring invocations read neighbouring
// words. Packing only moves bits: unpacking gives a file's bytes back.
#pragma once

#include <cstddef>

#include "runtime/weight_format.h"

namespace moevk {

// A run of numbers of equal width that goes to one plane. In the file number n has the low bits of byte
// `byte` + n / (stride * per) * stride + n % stride, shifted by n / stride % per numbers, where per = 8 / bits. In the
// plane numbers follow each other, low bits first.
struct BlockField {
  uint32_t plane;
  uint32_t byte;  // in the block
  uint32_t bits;  // of a number: 1, 2, 4 or 8
  uint32_t stride;
  uint32_t count;  // of numbers; 0 ends the list

  uint32_t bytes() const { return count * bits / 8; }
};

inline constexpr uint32_t kMaxBlockFields = 6;

struct BlockFormat {
  WeightFormat format;
  uint32_t ggml_type;  // number in a GGUF file; a preset is 1 more
  const char* name;
  uint32_t elements;  // of a block
  uint32_t bytes;     // of a block
  BlockField fields[kMaxBlockFields];

  uint64_t blocks(uint64_t columns) const { return columns / elements; }
};

// Null for f32, f16 and bf16.
const BlockFormat* find_block_format(WeightFormat format);
// Null where the type is no block format that is known.
const BlockFormat* find_ggml_block_format(uint32_t ggml_type);

// Rows of `columns` elements, a multiple of the block. `packed` has exactly the bytes of `row`.
void pack_row(const BlockFormat& format, uint64_t columns, const std::byte* row, std::byte* packed);
void unpack_row(const BlockFormat& format, uint64_t columns, const std::byte* packed, std::byte* row);

// Elements of one block as ggml's own to_float computes them, bit for bit (NaNs aside): in float32, each operation
// rounded. A scale that is infinite or NaN gives infinities and NaNs as the formula has them.
void decode_block(const BlockFormat& format, const std::byte* block, float* values);

}  // namespace moevk
