// SPDX-License-Identifier: MIT
//
// What a run of the suite holds open: a device to judge, and the reference beside it.
#ifndef MOE_TESTS_CONFORMANCE_SESSION_H_
#define MOE_TESTS_CONFORMANCE_SESSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/conformance/conformance.h"
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
  bool is_reference = false;  // the device is a second reference
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

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_SESSION_H_
