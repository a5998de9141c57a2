// SPDX-License-Identifier: MIT
//
// In:  any bytes: two 16-bit lengths, a config.json and an index of those lengths, and a safetensors file.
// Out: true if they are a checkpoint with MoE layers, after every view of it has been read.
// Why: under the address sanitizer this shows a view that leaves the file. Used by tests and fuzzer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/model/touch_gguf.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

constexpr size_t kSeedPrefix = 4;
constexpr char kSeedFile[] = "model.safetensors";

// The bytes that touch_checkpoint takes apart.
inline std::vector<std::byte> checkpoint_seed(const std::string& config, const std::string& index,
                                              const std::vector<std::byte>& file) {
  const uint16_t lengths[2] = {static_cast<uint16_t>(config.size()), static_cast<uint16_t>(index.size())};
  std::vector<std::byte> out(kSeedPrefix);
  std::memcpy(out.data(), lengths, kSeedPrefix);
  for (const char c : config + index) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), file.begin(), file.end());
  return out;
}

inline void require_reason(const ParseError& error) {
  require(!error.field.empty() && !error.message.empty() && error.text().size() < 2000);
}

inline bool touch_checkpoint(std::span<const std::byte> bytes) {
  if (bytes.size() < kSeedPrefix) return false;
  uint16_t lengths[2];
  std::memcpy(lengths, bytes.data(), kSeedPrefix);
  bytes = bytes.subspan(kSeedPrefix);
  const auto config = bytes.first(std::min<size_t>(lengths[0], bytes.size()));
  bytes = bytes.subspan(config.size());
  const auto index = bytes.first(std::min<size_t>(lengths[1], bytes.size()));
  const auto checkpoint = Checkpoint::parse(config, index, {{kSeedFile, bytes.subspan(index.size())}});
  if (!checkpoint) {
    require_reason(checkpoint.error());
    return false;
  }
  volatile uint64_t sink = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    require(checkpoint->find_tensor(tensor.name) == &tensor);
    require(checkpoint->tensor_bytes(tensor).size() == tensor.bytes);
    sink = sink + sum_of(checkpoint->tensor_bytes(tensor));
  }
  const auto model = find_moe_layers(*checkpoint);
  if (!model) {
    require_reason(model.error());
    return false;
  }
  require(!model->layers.empty() && model->totals.bytes >= model->totals.moe_bytes);
  for (const MoeLayer& layer : model->layers) {
    for (const TensorSource& source : layer.tensors) {
      std::vector<std::byte> own;
      const auto handed = upload_source(*checkpoint, source, own);
      if (!handed) {
        require_reason(handed.error());
        continue;
      }
      const bool as_stored = source.repacking.order == WordOrder::as_stored;
      require(handed->bytes == (as_stored ? source.tensor->bytes : source.repacking.bytes()));
      require(as_stored || handed->memory == own.data());
    }
  }
  return true;
}

}  // namespace moevk::model
