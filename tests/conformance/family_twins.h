// SPDX-License-Identifier: MIT
//
// Small twins of what families ship: the routing, activation and shared experts of docs/semantics.md, section 3, at
// sizes that a test can afford.
#ifndef MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_
#define MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_

#include <string>
#include <vector>

#include "tests/conformance/layer_case.h"

namespace moe_conformance {

std::vector<std::string> family_names();
// Shape and descriptor; weights and inputs are not drawn yet.
LayerCase family_twin(const std::string& name);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_
