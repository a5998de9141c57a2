// SPDX-License-Identifier: MIT
//
// In:  the tensors of a model and the MoE layers found in it.
// Out: parameters and bytes, total and per token.
// Why: the arithmetic of `moevk info`, apart from the naming of tensors.
#pragma once

#include <string_view>
#include <vector>

#include "tools/model/moe_model.h"

namespace moevk::model {

// Fills the four counts of a layer from its tensors.
void count_layer(MoeLayer& layer);

// How the tensors of a kind of file are called.
struct TotalNames {
  std::string_view embedding, output;  // the tables that turn tokens into rows and back
  std::string_view block;              // stands before the number of a block
  uint32_t blocks = 0;                 // of a forward pass; later ones predict further tokens, and are only resident
};

ModelTotals count_totals(const TensorStore& store, const std::vector<MoeLayer>& layers, const TotalNames& names);

}  // namespace moevk::model
