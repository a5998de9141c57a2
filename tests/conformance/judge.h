// SPDX-License-Identifier: MIT
//
// Judges one case on one device: routing by the three-part rule, outputs against the reference
// device, the reference against the oracle, and the promises that hold for every call
// (invariants.cpp).
#ifndef MOE_TESTS_CONFORMANCE_JUDGE_H_
#define MOE_TESTS_CONFORMANCE_JUDGE_H_

#include <cstdio>
#include <string>

#include "plugin_api/moe_plugin.h"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/device_runner.h"
#include "tests/conformance/layer_case.h"
#include "tests/conformance/view_memory.h"

namespace moe_conformance {

// What a run holds open.
struct Session {
  const moe_api* api = nullptr;
  const moe_introspection* introspection = nullptr;  // NULL: the library does not offer it
  Owner<moe_instance> instance;
  Owner<moe_device> device;
  Owner<moe_device> reference;
  uint32_t device_index = 0;
  bool validation = false;  // asked for by the caller; the environment may as well
};

// Opens an instance and two of its devices. Throws moe::Error.
Session open_session(const moe_api* api, uint32_t device_index, bool validation);

uint64_t validation_messages(const Session& session);
// The device's facts as planning sees them; empty without introspection.
std::string caps_text(const Session& session);
// What the library asked of the driver beyond the facts in caps_text, in sentences; empty if nothing.
std::vector<std::string> exceeded_limits(const Session& session);
// Whether a refusal names a limit of the device, by its exact name in the caps text.
bool names_a_limit(const std::string& reason);

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
