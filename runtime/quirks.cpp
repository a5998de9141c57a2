// SPDX-License-Identifier: MIT
//
// The table, and how an entry is applied.
#include "runtime/quirks.h"

namespace moevk {

const std::vector<Quirk>& known_quirks() {
  // No driver tried so far needs one: lavapipe 22.3 and 25.0, SwiftShader.
  static const std::vector<Quirk> quirks = {};
  return quirks;
}

Result<std::vector<std::string>> apply_quirks(const std::vector<Quirk>& quirks, uint32_t driver_version,
                                              DeviceCaps* caps) {
  std::vector<std::string> reasons;
  for (const Quirk& quirk : quirks) {
    const std::string names = caps->driver + "\n" + caps->name;
    if (names.find(quirk.driver_part) == std::string::npos) continue;
    if (quirk.vendor_id != 0 && quirk.vendor_id != caps->vendor_id) continue;
    if (driver_version < quirk.first_version || driver_version > quirk.last_version) continue;
    MOE_RETURN_IF_ERROR(lower_caps(quirk.limits, caps));
    reasons.push_back(std::string(quirk.limits) + ": " + quirk.reason);
  }
  return reasons;
}

}  // namespace moevk
