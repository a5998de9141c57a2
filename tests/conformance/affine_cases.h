// SPDX-License-Identifier: MIT
//
// Fixed cases of layers whose weights have scales, and zero points, as tensors of their own: every affine format as
// gate, up or down, for few tokens and for many; joined layouts, shared and latent matrices, callbacks, ragged groups.
#ifndef MOE_TESTS_CONFORMANCE_AFFINE_CASES_H_
#define MOE_TESTS_CONFORMANCE_AFFINE_CASES_H_

#include <vector>

#include "tests/conformance/fixed_cases.h"

namespace moe_conformance {

std::vector<FixedCase> affine_cases();

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_AFFINE_CASES_H_
