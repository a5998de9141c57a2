// SPDX-License-Identifier: MIT
//
// Files of the repository that tests read: caps, golden plans, sources.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/device_caps.h"

namespace moevk::unit {

std::filesystem::path source_dir();
// Fails the test and returns "" where there is no such file.
std::string read_text(const std::filesystem::path& path);
// tests/devices/NAME.caps.
DeviceCaps device(const std::string& name);
std::vector<std::string> device_names();
// The system's lavapipe as MOEVK_DISABLE=bda leaves it: weights are read through windows of 128 MiB.
DeviceCaps windows_only();

}  // namespace moevk::unit
