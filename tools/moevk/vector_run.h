// SPDX-License-Identifier: MIT
//
// In:  a test vector, a device.
// Out: whether the device gives what the vector says, and where it does not.
// Why: `vectors` judges any library with the ABI of moe_plugin.h, so no extension is asked for here.
#pragma once

#include <string>
#include <vector>

#include "tools/model/vector_file.h"
#include "tools/moevk/host.h"

namespace moevk::cli {

enum class Outcome { kPass, kFail, kSkip };

struct VectorResult {
  Outcome outcome = Outcome::kPass;
  std::vector<std::string> problems;  // of a failure: what differs, and where
  std::string refused;                // of a skip: the argument that the library refuses, "desc.capacity"
  std::string reason;                 // of a skip: why, in the library's words
  double largest_error = 0;           // of weights and y, over what is allowed
};

// Uploads the vector's layer and calls forward once. What the library says against it is a problem, not an exception.
VectorResult run_vector(const Host& host, moe_device* device, const model::VectorFile& file);

}  // namespace moevk::cli
