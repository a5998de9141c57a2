// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor.
// Out: its fields by name, with their values in words.
// Why: a preset is shown as what it writes into the descriptor, so that a host can write the same.
#pragma once

#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moevk::cli {

struct FieldText {
  std::string name;   // Of the descriptor: "routed_scale".
  std::string value;  // A number, or the constant's name without its prefix, in small letters.
};

// The fields that are not zero, and those whose zero is a choice: where routes come from, score, weight,
// normalisation, activation.
std::vector<FieldText> set_fields(const moe_layer_desc& desc);

}  // namespace moevk::cli
