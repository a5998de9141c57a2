// SPDX-License-Identifier: MIT
//
// Seeded random layers over the whole space that a device must support, with weights, inputs and an
// arrangement of memory. The same seed and index give the same case on every machine.
#ifndef MOE_TESTS_CONFORMANCE_RANDOM_LAYER_H_
#define MOE_TESTS_CONFORMANCE_RANDOM_LAYER_H_

#include <cstdint>

#include "tests/conformance/layer_case.h"
#include "tests/conformance/numbers.h"

namespace moe_conformance {

// A legal layer of at most 0.016 GFLOP a call (100 times that if long_run). Draws whose whole
// output is the difference of far larger terms are drawn again: for them no relative bound means
// anything.
LayerCase random_layer(uint64_t seed, uint32_t index, bool long_run);

// The plainest layer of this shape: softmax router, silu, no biases; weights of `dtype`, x of f32.
LayerCase softmax_layer(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate, uint64_t tokens,
                        Random random, uint32_t dtype = MOE_DTYPE_F32);

// Weights that c.desc asks for, of size 1 / sqrt(inputs), rounded to the formats of c.desc and to
// c.weights.router_dtype.
void draw_weights(LayerCase& c, Random& random);

// x, residual (if beta is not 0) and whatever the route source takes, rounded to the types of
// c.inputs.
void draw_inputs(LayerCase& c, Random& random, float x_scale);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_RANDOM_LAYER_H_
