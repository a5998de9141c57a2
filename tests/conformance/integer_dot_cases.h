// SPDX-License-Identifier: MIT
//
// Fixed cases of int8 precision with weights that are integers times scales, which a device may multiply as integers:
// each format, and blocks of activations that are not rounded.
#ifndef MOE_TESTS_CONFORMANCE_INTEGER_DOT_CASES_H_
#define MOE_TESTS_CONFORMANCE_INTEGER_DOT_CASES_H_

#include <vector>

#include "tests/conformance/fixed_cases.h"

namespace moe_conformance {

std::vector<FixedCase> integer_dot_cases();

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_INTEGER_DOT_CASES_H_
