// SPDX-License-Identifier: MIT
//
// Layers that every run includes, by name: the edges that random draws may miss.
// special_cases.h has those that need more than one layer, or an instance of their own.
#ifndef MOE_TESTS_CONFORMANCE_FIXED_CASES_H_
#define MOE_TESTS_CONFORMANCE_FIXED_CASES_H_

#include <functional>
#include <string>
#include <vector>

#include "tests/conformance/judge.h"
#include "tests/conformance/layer_case.h"

namespace moe_conformance {

struct FixedCase {
  std::string name;
  bool long_only = false;
  std::function<LayerCase()> make;
};
const std::vector<FixedCase>& fixed_cases();

struct SpecialCase {
  std::string name;
  bool long_only = false;
  std::function<void(Session&, CaseResult&)> run;
};
const std::vector<SpecialCase>& special_cases();

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_FIXED_CASES_H_
