// SPDX-License-Identifier: MIT
//
// The layers that models have, as descriptors: the table of docs/semantics.md.
#pragma once

#include <string>
#include <vector>

#include "runtime/layer_spec.h"

namespace moevk {

struct LayerShape {
  std::string name;
  uint32_t hidden = 0;
  uint32_t intermediate = 0;
  uint32_t experts = 0;
  uint32_t top_k = 0;
  uint32_t shared = 0;  // width of all shared experts together
  uint32_t shared_gate = MOE_SHARED_GATE_ONE;
  uint32_t flags = 0;
  uint32_t activation = MOE_ACTIVATION_SILU;
  uint32_t latent = 0;
  uint32_t identity = 0;
};

const std::vector<LayerShape>& layer_shapes();
const LayerShape& layer_shape(const std::string& name);

moe_layer_desc describe(const LayerShape& shape, WeightFormat format);
// Throws where the descriptor is refused.
LayerSpec make_spec(const moe_layer_desc& desc);
LayerSpec make_spec(const LayerShape& shape, WeightFormat format);

}  // namespace moevk
