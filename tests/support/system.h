// SPDX-License-Identifier: MIT
//
// What tests ask of the operating system and POSIX and Windows spell differently: environment variables of this
// process, a number that no other running process has, paths as UTF-8, aligned memory.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#if defined(_WIN32)
#include <malloc.h>
#include <process.h>
#else
#include <unistd.h>
#endif

namespace moe_tests {

inline std::filesystem::path path_of(const std::string& utf8) {
  return std::filesystem::path(std::u8string(utf8.begin(), utf8.end()));
}

inline std::string utf8_of(const std::filesystem::path& path) {
  const std::u8string text = path.u8string();
  return std::string(text.begin(), text.end());
}

// The value is UTF-8. On Windows an empty one is the same as none.
inline void set_environment(const char* name, const char* value) {
#if defined(_WIN32)
  ::_wputenv_s(path_of(name).c_str(), path_of(value).c_str());
#else
  ::setenv(name, value, 1);
#endif
}

inline void unset_environment(const char* name) {
#if defined(_WIN32)
  set_environment(name, "");
#else
  ::unsetenv(name);
#endif
}

inline int process_id() {
#if defined(_WIN32)
  return ::_getpid();
#else
  return ::getpid();
#endif
}

// By malloc's kin: operator new is left to who replaces it. The alignment is a power of two.
inline void* allocate_aligned(size_t bytes, size_t alignment) {
#if defined(_WIN32)
  return ::_aligned_malloc(bytes, alignment);
#else
  const size_t unit = alignment < sizeof(void*) ? sizeof(void*) : alignment;
  return std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
#endif
}

inline void free_aligned(void* pointer) {
#if defined(_WIN32)
  ::_aligned_free(pointer);
#else
  std::free(pointer);
#endif
}

}  // namespace moe_tests
