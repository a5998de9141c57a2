// SPDX-License-Identifier: MIT
//
// In:  what ggml or llama.cpp logs.
// Out: its errors, on stderr.
// Why: both log a page for each model and device; a table of figures shall stay readable.
#pragma once

#include <cstdio>

#include "ggml.h"

namespace moevk::bench {

inline void only_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace moevk::bench
