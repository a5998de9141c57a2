// SPDX-License-Identifier: MIT
//
// In:  bytes that nobody has checked, which should be JSON.
// Out: the document; or an error with the byte and what is wrong there.
// Why: config.json and the headers of safetensors files come from strangers. Depth, size and keys that are there twice
//      are refused while the text is read, before much memory is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "tools/model/result.h"

namespace moevk::model {

struct JsonLimits {
  uint64_t bytes = uint64_t{4} << 20;  // of the text; a document takes several times as much
  int depth = 32;                      // of objects and arrays in each other
};

// `what` names the document in errors. The document is an object.
Result<std::shared_ptr<const nlohmann::json>> read_json(std::span<const std::byte> bytes, const std::string& what,
                                                        const JsonLimits& limits = {});

}  // namespace moevk::model
