// SPDX-License-Identifier: MIT
//
// In:  a GGUF file and the MoE layers found in it.
// Out: parameters and bytes, total and per token.
// Why: the arithmetic of `moevk info`, apart from the naming of tensors.
#pragma once

#include <vector>

#include "tools/model/moe_model.h"

namespace moevk::model {

// Fills the four counts of a layer from its tensors.
void count_layer(MoeLayer& layer);

ModelTotals count_totals(const GgufFile& file, const std::vector<MoeLayer>& layers);

}  // namespace moevk::model
