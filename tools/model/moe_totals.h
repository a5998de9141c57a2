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

// `embedding` and `output`: names of the tables that turn tokens into rows and back.
ModelTotals count_totals(const TensorStore& store, const std::vector<MoeLayer>& layers, std::string_view embedding,
                         std::string_view output);

}  // namespace moevk::model
