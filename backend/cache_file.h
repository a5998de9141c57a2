// SPDX-License-Identifier: MIT
//
// The pipeline cache on disk: one file per device and driver, with a checksum, since drivers trust what they are
// given. A damaged or foreign file is as good as none.
#pragma once

#include <string>
#include <vector>

#include "backend/probe_caps.h"

namespace moevk {

std::string cache_file_name(const ProbedDevice& device);
std::vector<char> read_cache_file(const std::string& path);
// Returns what went wrong, empty if nothing did. Written beside and renamed: a reader never sees half a file.
std::string write_cache_file(const std::string& path, const std::vector<char>& data);

}  // namespace moevk
