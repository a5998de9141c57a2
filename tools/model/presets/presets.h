// SPDX-License-Identifier: MIT
//
// In:  a family's name.
// Out: the descriptor of a released model's MoE layer, where the family departs from the canonical form, and the
//      model's figures.
// Why: what a family computes is written once, beside its function (*_families.h), and shown by `moevk info --preset`.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tools/model/presets/figures.h"

namespace moevk::model {

struct Preset {
  const char* name = "";            // "mixtral"
  const char* model = "";           // "Mixtral-8x7B"
  moe_layer_desc desc = {};         // Weights in bf16, gate and up apart: storage is a file's matter.
  const char* divergences = "";     // From softmax over all experts, top k, weighted sum.
  std::optional<ModelParts> parts;  // Absent: figures of one layer only.
  const char* published = "";       // What the model's makers say; "" where nothing is compared.
  const char* family = "";          // The name of the family's first preset: its own, or another model's.

  LayerFigures layer_figures() const { return count_layer_figures(desc); }
};

// In the order in which `moevk info --preset list` prints them.
const std::vector<Preset>& all_presets();
// Null where there is no such name.
const Preset* find_preset(std::string_view name);

}  // namespace moevk::model
