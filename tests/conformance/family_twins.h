// SPDX-License-Identifier: MIT
//
// Small twins of what families ship: the routing, activation and shared experts of docs/semantics.md, section 3, at
// sizes that a test can afford.
#ifndef MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_
#define MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_

#include <span>
#include <string>
#include <vector>

#include "tests/conformance/layer_case.h"

namespace moe_conformance {

std::vector<std::string> family_names();

// Which twin stands for a family: its own, or that of another family which computes the same.
struct FamilyTwin {
  const char* family;  // by its preset's name: "qwen3-moe"
  const char* twin;
  const char* lacks;  // what the family has and the twin has not; null: nothing
};
std::span<const FamilyTwin> families();

// Shape and descriptor; weights and inputs are not drawn yet.
LayerCase family_twin(const std::string& name);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_FAMILY_TWINS_H_
