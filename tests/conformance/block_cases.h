// SPDX-License-Identifier: MIT
//
// Fixed cases of quantised layers: every block format, as gate, up or down, for few tokens and for many.
#ifndef MOE_TESTS_CONFORMANCE_BLOCK_CASES_H_
#define MOE_TESTS_CONFORMANCE_BLOCK_CASES_H_

#include <vector>

#include "tests/conformance/fixed_cases.h"

namespace moe_conformance {

std::vector<FixedCase> block_cases();

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_BLOCK_CASES_H_
