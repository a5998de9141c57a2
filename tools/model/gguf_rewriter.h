// SPDX-License-Identifier: MIT
//
// In:  a GGUF file, and which of its tensors get another type.
// Out: a file with the same metadata and tensors, those encoded anew.
// Why: `moevk quantize`. Everything else is copied byte for byte; the new file appears under its name when it is whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/model/gguf.h"

namespace moevk::model {

struct Rewrite {
  std::vector<const TensorInfo*> tensors;  // of the file, f32, f16 or bf16, rows of whole blocks of `type`
  uint32_t type = 0;                       // can_encode
  std::function<bool(uint64_t done, uint64_t total)> progress;  // bytes read; false: stop, nothing is left behind
};

// Bytes of the new file. Refuses a path that exists, a tensor that cannot be encoded, weights that are not finite or
// larger than an f16 (a block's scale) may be, a full disk.
Result<uint64_t> rewrite_gguf(const GgufFile& file, const std::string& path, const Rewrite& rewrite);

}  // namespace moevk::model
