// SPDX-License-Identifier: MIT
//
// Judges one case on one device: routing by the three-part rule, outputs against the reference
// device, the reference against the oracle, and the promises that hold for every call
// (invariants.cpp).
#ifndef MOE_TESTS_CONFORMANCE_JUDGE_H_
#define MOE_TESTS_CONFORMANCE_JUDGE_H_

#include <cstdio>

#include "tests/conformance/conformance.h"
#include "tests/conformance/device_runner.h"
#include "tests/conformance/layer_case.h"
#include "tests/conformance/session.h"

namespace moe_conformance {

// Runs and judges; what goes wrong is added to result.failures, exceptions of the library included.
void judge_case(Session& session, const LayerCase& layer_case, CaseResult& result);

// Bounds of the suite; see docs and issue tracker before touching one.
inline constexpr double kOutputBound = 1e-5;     // of max|y_ref|, whatever the weights' format is
inline constexpr double kReferenceBound = 1e-6;  // of max|y|, the reference against the oracle

// invariants.cpp: the same bits twice, staged and alone; counts, order and offsets; memory around
// the rows.
void check_invariants(DeviceRunner& runner, const LayerCase& layer_case, const CallResult& first, CaseResult& result);

#if defined(__MINGW_PRINTF_FORMAT)
#define MOEVK_PRINTF __MINGW_PRINTF_FORMAT  // the printf that <cstdio> gives there, not Microsoft's
#else
#define MOEVK_PRINTF printf
#endif

// printf into a failure; at most a few of one kind are kept.
void fail(CaseResult& result, const char* format, ...) __attribute__((format(MOEVK_PRINTF, 2, 3)));

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_JUDGE_H_
