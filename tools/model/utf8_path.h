// SPDX-License-Identifier: MIT
//
// In:  a path as UTF-8, as everywhere in the tools and the ABI.
// Out: what the operating system opens, and back.
// Why: Windows' narrow functions would read the bytes in the user's code page.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

namespace moevk::model {

// Empty if the system cannot have a file of that name (on Windows, one that is not UTF-8).
inline std::filesystem::path path_of(const std::string& utf8) {
  try {
    return std::filesystem::path(std::u8string(utf8.begin(), utf8.end()));
  } catch (const std::filesystem::filesystem_error&) {
    return {};
  }
}

inline std::string utf8_of(const std::filesystem::path& path) {
  const std::u8string text = path.u8string();
  return std::string(text.begin(), text.end());
}

// A new file to write to, or NULL and errno.
inline std::FILE* create_file(const std::string& utf8) {
#if defined(_WIN32)
  return ::_wfopen(path_of(utf8).c_str(), L"wb");
#else
  return std::fopen(utf8.c_str(), "wb");
#endif
}

}  // namespace moevk::model
