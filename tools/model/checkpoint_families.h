// SPDX-License-Identifier: MIT
//
// In:  model_type of a checkpoint's config.json.
// Out: how the family's config describes its MoE layers, and what it calls their tensors.
// Why: one row for each family. What its layers compute is its preset's (tools/model/presets).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "plugin_api/moe_plugin.h"
#include "tools/model/checkpoint_config.h"

namespace moevk::model {

// How the matrices of the routed experts are stored. Names follow PART.
enum class ExpertStorage {
  each,          // experts.N.GATE.weight, UP, DOWN: a tensor for each, [out, in]
  linear,        // input_linear.weight [E, 2F, H], gate before up; output_linear.weight [E, H, F]
  interleaved_t  // experts.gate_up_proj [E, H, 2F], gate in even columns; experts.down_proj [E, F, H]; with biases
};

struct CheckpointFamily {
  const char* model_type;
  moe_layer_desc (*describe)(CheckpointConfig& config);  // Storage is taken from the tensors afterwards.
  const char* part = "mlp.";                             // Between model.layers.N. and the names below.
  const char* router = "gate.weight";
  const char* selection_bias = "gate.e_score_correction_bias";  // where the descriptor has one
  const char* gate = "gate_proj";
  const char* up = "up_proj";
  const char* down = "down_proj";
  const char* shared = "shared_experts.";  // where the descriptor has a width for them
  ExpertStorage storage = ExpertStorage::each;
};

std::span<const CheckpointFamily> checkpoint_families();
// Null where there is none.
const CheckpointFamily* find_checkpoint_family(std::string_view model_type);

}  // namespace moevk::model
