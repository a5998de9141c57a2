// SPDX-License-Identifier: MIT
//
// The one file of the runtime that knows which operating system it runs on.
#include "runtime/platform.h"

#include <cstdlib>

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#endif

namespace moevk {

std::string environment_variable(const char* name) {
#if defined(_WIN32)
  // Not getenv: it has lost what the code page lacks, and a DLL's C runtime may be another than the host's.
  const std::wstring wide_name = path_from_utf8(name).wstring();
  std::wstring value(GetEnvironmentVariableW(wide_name.c_str(), nullptr, 0), L'\0');
  const DWORD length = GetEnvironmentVariableW(wide_name.c_str(), value.data(), static_cast<DWORD>(value.size()));
  if (length >= value.size()) return "";  // not set, or it grew meanwhile
  value.resize(length);
  std::string text(value.size() * 3, '\0');  // a UTF-16 unit is at most three bytes
  const int bytes = WideCharToMultiByte(CP_UTF8, 0, value.data(), static_cast<int>(value.size()), text.data(),
                                        static_cast<int>(text.size()), nullptr, nullptr);
  text.resize(static_cast<size_t>(bytes));
  return text;
#else
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
#endif
}

std::filesystem::path path_from_utf8(const std::string& text) {
  try {
    return std::filesystem::path(std::u8string(text.begin(), text.end()));
  } catch (const std::filesystem::filesystem_error&) {
    return {};
  }
}

}  // namespace moevk
