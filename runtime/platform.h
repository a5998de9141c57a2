// SPDX-License-Identifier: MIT
//
// The little that the library asks of the operating system by name: environment variables and paths. Both are UTF-8
// here, on every system; Windows' narrow functions would read them in the user's code page.
#pragma once

#include <filesystem>
#include <string>

namespace moevk {

// Empty if it is not set.
std::string environment_variable(const char* name);
// Empty if the system cannot have a file of that name (on Windows, one that is not UTF-8).
std::filesystem::path path_from_utf8(const std::string& text);

}  // namespace moevk
