// SPDX-License-Identifier: MIT
//
// Some random layers are quantised. Two steps: one after the shape is drawn, one after everything else of the
// descriptor is.
#ifndef MOE_TESTS_CONFORMANCE_RANDOM_BLOCKS_H_
#define MOE_TESTS_CONFORMANCE_RANDOM_BLOCKS_H_

#include "tests/conformance/layer_case.h"
#include "tests/conformance/numbers.h"

namespace moe_conformance {

// Decides whether the layer is quantised, and makes its widths multiples of a block if so. Returns the block, or 0.
uint32_t draw_block(LayerCase& layer_case, Random& random);
// Likewise for affine formats: few layers that are not quantised yet get them.
bool draw_affine(LayerCase& layer_case, Random& random);
// Affine formats of all matrices.
void draw_affine_formats(LayerCase& layer_case, Random& random);
// Formats of all matrices, and now and then of the router.
void draw_block_formats(LayerCase& layer_case, Random& random, uint32_t block);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_RANDOM_BLOCKS_H_
