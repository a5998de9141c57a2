// SPDX-License-Identifier: MIT
//
// In:  the name of a preset.
// Out: on stdout, what it sets in the descriptor, how the family departs from the canonical form, and its figures.
// Why: moevk info --preset; it needs neither a file nor a device.
#pragma once

#include <string>

namespace moevk::cli {

// "list" prints the names. Throws UsageError, with the names, for one that is unknown.
void print_preset(const std::string& name);

}  // namespace moevk::cli
