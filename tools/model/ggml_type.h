// SPDX-License-Identifier: MIT
//
// In:  the type number of a tensor in a GGUF file.
// Out: its name, and how many numbers and bytes one block holds.
// Why: sizes of every known type can be shown and range-checked, whether or not it is one of weights; whoever cannot
//      use a type's data refuses it by this name.
#pragma once

#include <cstdint>

namespace moevk::model {

constexpr uint32_t kGgmlTypes = 43;  // Numbers that ggml 0.27 has, removed ones included.
constexpr uint32_t kGgmlF32 = 0;
constexpr uint32_t kGgmlF16 = 1;
constexpr uint32_t kGgmlI32 = 26;
constexpr uint32_t kGgmlBf16 = 30;

struct GgmlType {
  uint32_t id;             // Number in the file.
  const char* name;        // "f16", "Q4_K", ...
  uint32_t block_numbers;  // Numbers in a block along ne[0]; 0: known by name but no longer readable.
  uint32_t block_bytes;    // Bytes of a block.
};

// Null where the number is unknown.
const GgmlType* find_ggml_type(uint32_t id);

// True for f32, f16 and bf16: rows of plain numbers.
bool is_plain_float(uint32_t id);

// True for formats of quantised weights, which the library takes as they are.
bool is_block_format(uint32_t id);

}  // namespace moevk::model
