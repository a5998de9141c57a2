// SPDX-License-Identifier: MIT
//
// Scales and zero points of affine matrices between add_tensor of them and add_tensor of the codes: they are a few per
// cent of the weights, so they wait on the host, and rows are then stored whole.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "runtime/tensor_catalogue.h"

namespace moevk {

class SharedState;
class HostMemory;

class AffineParts {
 public:
  explicit AffineParts(std::shared_ptr<SharedState> state);
  ~AffineParts();

  // All scales, or zero points, of one expert's matrix, as the host has them; copied.
  Status hold(const TensorSpec& part, uint32_t expert, const std::byte* data);
  // MOE_ERROR_STATE where `matrix` needs a part that has not come.
  Status check_held(const TensorSpec& matrix, uint32_t expert) const;
  // Rows of codes -> rows as they are stored, row_bytes(format) apart. Valid until the next call.
  Result<const std::byte*> assemble(const TensorSpec& matrix, uint32_t expert, uint32_t first_row, uint32_t rows,
                                    const std::byte* codes);
  // The matrix is stored.
  void release(const TensorSpec& matrix, uint32_t expert);

 private:
  using Key = std::pair<std::string, uint32_t>;  // a part's tensor, expert
  std::shared_ptr<SharedState> state_;
  std::map<Key, HostMemory> held_;
  std::unique_ptr<HostMemory> rows_;
};

}  // namespace moevk
