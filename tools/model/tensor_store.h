// SPDX-License-Identifier: MIT
//
// In:  nothing; a GGUF file or a checkpoint of safetensors files gives what is declared here.
// Out: its tensors: name, shape, type, and where the bytes lie.
// Why: what finds MoE layers, counts bytes and hands weights over asks for tensors, and not for a file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/model/ggml_type.h"

namespace moevk::model {

struct TensorInfo {
  std::string_view name;
  uint32_t dimensions = 0;         // 0 to 4; a safetensors file may have more, folded into ne[3]
  uint64_t ne[4] = {1, 1, 1, 1};   // ne[0] is the fastest axis; unused ones are 1.
  const GgmlType* type = nullptr;  // Never null.
  uint64_t offset = 0;             // First byte in the file.
  uint64_t bytes = 0;              // Size in the file.
  uint64_t numbers = 0;            // Weights in it: ne[0]*ne[1]*ne[2]*ne[3]; scales of others' weights count none.
  uint64_t header_offset = 0;      // Where its entry starts in the file, for error messages; 0: not known.
  uint32_t part = 0;               // Which of a checkpoint's files it is in.

  std::string shape_text() const;  // "[256, 256, 8]", ne[0] first
};

// Outlives the layers that are found in it.
class TensorStore {
 public:
  virtual ~TensorStore() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual const TensorInfo* find_tensor(std::string_view name) const = 0;  // Null where absent.
  virtual std::span<const std::byte> tensor_bytes(const TensorInfo& tensor) const = 0;
  // Of the file that holds it; empty where the bytes are the caller's.
  virtual const std::string& tensor_path(const TensorInfo& tensor) const = 0;
};

// For messages: at most 80 characters, unprintable bytes as \xNN.
std::string printable(std::string_view text);
// The same in single quotes.
std::string quoted(std::string_view text);

}  // namespace moevk::model
