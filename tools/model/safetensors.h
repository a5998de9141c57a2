// SPDX-License-Identifier: MIT
//
// In:  the bytes of one safetensors file, mapped or in memory.
// Out: its tensor table, ranges checked; or a ParseError.
// Why: files come from strangers. The format: a 64-bit little-endian length, as many bytes of JSON (name to dtype,
//      shape, data_offsets; and __metadata__), then the data, which tensors fill without gap or overlap
//      (github.com/huggingface/safetensors, README, "Format").
// Note: shapes are row-major, so ne[0] is the last axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "tools/model/result.h"
#include "tools/model/tensor_store.h"

namespace moevk::model {

// Numbers of types that GGUF has not; the others have GGUF's. All have blocks of one.
constexpr uint32_t kTypeF8E4M3 = 0x10000;
constexpr uint32_t kTypeF8E5M2 = 0x10001;
constexpr uint32_t kTypeF8E8M0 = 0x10002;
constexpr uint32_t kTypeU8 = 0x10003;

// What the format allows.
constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsHeader {
  std::deque<std::string> names;    // What the tensors' names point to: they stay when the header is moved.
  std::vector<TensorInfo> tensors;  // By offset; offsets are those in the file.
};

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes);

}  // namespace moevk::model
