// SPDX-License-Identifier: MIT
//
// A special case (fixed_cases.h): every block format's weights as a device decodes them, against the reference's.
#ifndef MOE_TESTS_CONFORMANCE_BLOCK_DECODE_CASE_H_
#define MOE_TESTS_CONFORMANCE_BLOCK_DECODE_CASE_H_

#include "tests/conformance/judge.h"

namespace moe_conformance {

void block_decode(Session& session, CaseResult& result);
// Likewise of every affine format.
void affine_decode(Session& session, CaseResult& result);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_BLOCK_DECODE_CASE_H_
