// SPDX-License-Identifier: MIT
//
// In:  .npy files (version 1 or 2; little-endian f2, f4, f8 or i4; C order; 1 or 2 dimensions).
// Out: their numbers.
// Why: inputs of `moevk run` and the oracles of tests come in this format. The same care for
//      hostile files as in gguf.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/model/result.h"

namespace moevk::model {

enum class NpyType : uint32_t { f2, f4, f8, i4 };

struct NpyArray {
  NpyType type = NpyType::f4;
  uint32_t dimensions = 2;  // 1 or 2; one dimension is one row.
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::vector<std::byte> data;  // rows * columns numbers as in the file.

  // f8 is rounded; i4 is converted.
  std::vector<float> to_f32() const;
  std::vector<double> to_f64() const;
  // Empty unless the type is i4.
  std::vector<int32_t> to_i32() const;
};

Result<NpyArray> parse_npy(std::span<const std::byte> bytes);
Result<NpyArray> read_npy(const std::string& path);

}  // namespace moevk::model
