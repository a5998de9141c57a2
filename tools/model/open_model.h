// SPDX-License-Identifier: MIT
//
// In:  a path to a GGUF file or to a checkpoint of safetensors files.
// Out: its tensors and the MoE layers found in them.
// Why: nobody else has to know which of the two it is.
#pragma once

#include <memory>
#include <string>

#include "tools/model/moe_model.h"

namespace moevk::model {

struct OpenModel {
  std::unique_ptr<const TensorStore> store;  // owns the mappings
  MoeModel model;                            // points into it
  bool is_gguf = true;
};

// A folder, and what ends in .safetensors or .json, is a checkpoint. Errors in what was found name the file by `path`
// unless they name another; the message of one that could not be opened holds its path (field "file").
Result<OpenModel> open_model(const std::string& path);

}  // namespace moevk::model
