// SPDX-License-Identifier: MIT
//
// Known driver defects, in one table: which driver, which fact it makes untrue, why, when seen, how to retest.
// The probe applies them to the caps, so that planning never meets a driver by name. docs/adding-a-device-quirk.md.
#pragma once

#include <string>
#include <vector>

#include "runtime/device_caps.h"

namespace moevk {

struct Quirk {
  const char* driver_part;  // of DeviceCaps::driver or name, as the driver spells it
  uint32_t vendor_id;       // 0: any
  uint32_t first_version;   // driverVersion as Vulkan reports it, inclusive
  uint32_t last_version;
  const char* limits;  // "fact=value,...": facts lowered, as in MOEVK_LIMITS
  const char* reason;
  const char* seen;    // date
  const char* retest;  // a command, and what it prints when the defect is gone
};

const std::vector<Quirk>& known_quirks();
// Lowers the facts of every quirk that matches and returns their reasons.
Result<std::vector<std::string>> apply_quirks(const std::vector<Quirk>& quirks, uint32_t driver_version,
                                              DeviceCaps* caps);

}  // namespace moevk
