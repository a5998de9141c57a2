// SPDX-License-Identifier: MIT
//
// In:  rows of weights as a host has them.
// Out: the same rows as a device keeps them, and back.
// Why: an upload packs rows on their way, here or by the kernel pack_rows, and a host that keeps its matrices in device
//      memory does so itself; all must agree. Bits are moved and padding is added, no more.
#pragma once

#include <cstddef>

#include "runtime/weight_format.h"

namespace moevk {

struct PackedRow {
  WeightFormat format = WeightFormat::kF32;
  uint64_t columns = 0;
  uint64_t host_bytes = 0;
  uint64_t bytes = 0;  // packed, padding included

  void pack(const std::byte* row, std::byte* packed) const;
  void unpack(const std::byte* packed, std::byte* row) const;
};

// Of a format that is not affine; `columns` is a multiple of its block.
PackedRow packed_row(WeightFormat format, uint64_t columns);

}  // namespace moevk
