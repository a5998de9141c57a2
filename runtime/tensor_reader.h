// SPDX-License-Identifier: MIT
//
// Bytes of one tensor that a host hands over: from memory, a file or a callback. Files are read, not mapped: a file
// that shrinks under us is then an error, not a signal that kills the host.
#pragma once

#include <fstream>
#include <memory>

#include "runtime/shared_state.h"

namespace moevk {

class TensorReader {
 public:
  // The source must outlive it.
  TensorReader(const moe_tensor_source& source, std::shared_ptr<SharedState> state)
      : source_(source), state_(std::move(state)) {}

  Status open();
  // A pointer to `bytes` bytes from `offset` of the tensor; valid until the next call.
  Result<const std::byte*> bytes(uint64_t offset, uint64_t bytes);

 private:
  const moe_tensor_source& source_;
  std::shared_ptr<SharedState> state_;
  std::ifstream file_;
  HostMemory scratch_;
};

}  // namespace moevk
