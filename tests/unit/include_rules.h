// SPDX-License-Identifier: MIT
//
// The rules of the source tree: what each part may include, the SPDX line, the length of files. In: a folder.
// Out: what breaks a rule, one sentence each. The table is here, as data.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace moevk::unit {

// One file by its path in the tree, "/" between parts.
std::vector<std::string> check_source(const std::string& path, const std::string& text);
// Every source below root, less build folders and what begins with a dot. files: how many were looked at.
std::vector<std::string> check_tree(const std::filesystem::path& root, size_t* files);

}  // namespace moevk::unit
