// SPDX-License-Identifier: MIT
//
// In:  MOEVK_GGML_LIBRARY, the path of a libggml-base.so.
// Out: that library, or nothing where the variable is not set: tests that compare with ggml are then skipped.
// Why: ggml may want a newer C library than this machine has, so scripts/test decides what these tests run beside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "tests/support/shared_library.h"

namespace moe_tests {

inline constexpr const char* kNoGgmlBase =
    "MOEVK_GGML_LIBRARY does not name a libggml-base.so (scripts/lab hosts has one)";

// ggml_quantize_chunk as ggml.h 0.27 declares it.
using GgmlQuantise = size_t (*)(int, const float*, void*, int64_t, int64_t, int64_t, const float*);

// What ggml_get_type_traits gives, as ggml.h 0.27 declares it.
struct GgmlTraits {
  const char* type_name;
  int64_t block_elements;
  int64_t block_elements_interleaved;
  size_t block_bytes;
  bool is_quantised;
  void (*to_float)(const void*, float*, int64_t);
  void (*from_float)(const float*, void*, int64_t);
};

// Throws std::runtime_error where the variable names no library.
inline std::optional<SharedLibrary> ggml_base() {
  const char* path = std::getenv("MOEVK_GGML_LIBRARY");
  if (path == nullptr || *path == '\0') return std::nullopt;
  return SharedLibrary(path);
}

}  // namespace moe_tests
