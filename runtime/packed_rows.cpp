// SPDX-License-Identifier: MIT
//
// Plain rows keep their order and are padded to whole chunks of columns, block rows are packed and padded to 16 bytes.
#include "runtime/packed_rows.h"

#include <cstring>

#include "kernel_table.h"
#include "runtime/block_format.h"

namespace moevk {

PackedRow packed_row(WeightFormat format, uint64_t columns) {
  const uint64_t padded = (columns + kNumberPadColumns - 1) / kNumberPadColumns * kNumberPadColumns;
  return {format, columns, row_bytes(format, columns), stored_row_bytes(format, columns, padded)};
}

void PackedRow::pack(const std::byte* row, std::byte* packed) const {
  if (const BlockFormat* const blocks = find_block_format(format); blocks != nullptr) {
    pack_row(*blocks, columns, row, packed);
  } else {
    std::memcpy(packed, row, host_bytes);
  }
  std::memset(packed + host_bytes, 0, bytes - host_bytes);
}

void PackedRow::unpack(const std::byte* packed, std::byte* row) const {
  if (const BlockFormat* const blocks = find_block_format(format); blocks != nullptr) {
    unpack_row(*blocks, columns, packed, row);
  } else {
    std::memcpy(row, packed, host_bytes);
  }
}

}  // namespace moevk
