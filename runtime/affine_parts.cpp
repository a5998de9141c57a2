// SPDX-License-Identifier: MIT
//
// Rows of codes, scales and zero points -> stored rows.
#include "runtime/affine_parts.h"

#include <cstring>

#include "runtime/affine_format.h"
#include "runtime/shared_state.h"

namespace moevk {

AffineParts::AffineParts(std::shared_ptr<SharedState> state)
    : state_(std::move(state)), rows_(std::make_unique<HostMemory>()) {}
AffineParts::~AffineParts() = default;

Status AffineParts::hold(const TensorSpec& part, uint32_t expert, const std::byte* data) {
  const uint64_t bytes = part.bytes_per_expert(part.dtype);
  MOE_ASSIGN_OR_RETURN(HostMemory memory, HostMemory::allocate(state_, bytes));
  std::memcpy(memory.data(), data, bytes);
  held_[{part.name, expert}] = std::move(memory);
  return {};
}

Status AffineParts::check_held(const TensorSpec& matrix, uint32_t expert) const {
  const auto missing = [&](const char* suffix) { return held_.count({matrix.name + suffix, expert}) == 0; };
  const AffineFormat format = *find_affine_format(matrix.format);
  const char* const suffix = missing(kScaleSuffix)                           ? kScaleSuffix
                             : format.stores_zeros() && missing(kZeroSuffix) ? kZeroSuffix
                                                                             : nullptr;
  if (suffix == nullptr) return {};
  return {MOE_ERROR_STATE, "source.name",
          matrix.name + (matrix.experts != 0 ? " of expert " + std::to_string(expert) : std::string()) +
              " came before its " + matrix.name + suffix + ": scales and zero points go first"};
}

Result<const std::byte*> AffineParts::assemble(const TensorSpec& matrix, uint32_t expert, uint32_t first_row,
                                               uint32_t rows, const std::byte* codes) {
  const AffineFormat f = *find_affine_format(matrix.format);
  const uint64_t columns = matrix.columns, stride = f.row_bytes(columns), code_bytes = f.code_bytes(columns);
  if (rows_->bytes() < rows * stride) {
    MOE_ASSIGN_OR_RETURN(*rows_, HostMemory::allocate(state_, rows * stride));
  }
  const std::byte* const scales = held_.at({matrix.name + kScaleSuffix, expert}).data();
  const std::byte* const zeros = f.stores_zeros() ? held_.at({matrix.name + kZeroSuffix, expert}).data() : nullptr;
  std::memset(rows_->data(), 0, rows * stride);  // what fills up words
  for (uint32_t i = 0; i < rows; ++i) {
    const uint64_t row = first_row + i;
    std::byte* const to = rows_->data() + i * stride;
    std::memcpy(to, codes + i * code_bytes, code_bytes);
    const uint64_t scale_row = f.block_rows == AffineFormat::kAllRows ? 0 : row / f.block_rows;
    std::memcpy(to + f.scales_at(columns), scales + scale_row * f.scale_bytes(columns), f.scale_bytes(columns));
    if (zeros == nullptr) continue;
    if (f.group == 0) {  // packed along the rows
      to[f.zeros_at(columns)] = static_cast<std::byte>(packed_number(zeros, f.bits, row));
    } else {
      std::memcpy(to + f.zeros_at(columns), zeros + row * f.zero_bytes(columns), f.zero_bytes(columns));
    }
  }
  return static_cast<const std::byte*>(rows_->data());
}

void AffineParts::release(const TensorSpec& matrix, uint32_t expert) {
  for (const char* suffix : {kScaleSuffix, kZeroSuffix}) held_.erase({matrix.name + suffix, expert});
}

}  // namespace moevk
