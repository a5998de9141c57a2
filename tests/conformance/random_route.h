// SPDX-License-Identifier: MIT
//
// Draws how a layer of a given shape routes: source, router input, score, groups, selection, weights.
#ifndef MOE_TESTS_CONFORMANCE_RANDOM_ROUTE_H_
#define MOE_TESTS_CONFORMANCE_RANDOM_ROUTE_H_

#include "tests/conformance/layer_case.h"
#include "tests/conformance/numbers.h"

namespace moe_conformance {

void draw_route(LayerCase& c, Random& random);
// For some layers whose experts no near-tie decides.
void draw_capacity(LayerCase& c, Random& random);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_RANDOM_ROUTE_H_
