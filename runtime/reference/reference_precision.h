// SPDX-License-Identifier: MIT
//
// Activations as a layer's precision has them (docs/semantics.md, Precision): what a matmul reads.
#pragma once

#include <cstdint>
#include <vector>

namespace moevk {

// precision: MOE_PRECISION_*. Each value is rounded to f32 first, since that is what lies between two matmuls.
std::vector<double> rounded_activations(uint32_t precision, std::vector<double> x);

}  // namespace moevk
