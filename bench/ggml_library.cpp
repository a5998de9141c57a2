// SPDX-License-Identifier: MIT
//
// In:  paths.
// Out: function pointers (see ggml_library.h).
// Why: ggml finds its backends by a path that only the caller knows.
#include "bench/ggml_library.h"

#include <stdexcept>

#include "bench/ggml_log.h"

namespace moevk::bench {

GgmlLibrary::GgmlLibrary(const std::string& folder, const std::string& backends)
    : SharedLibrary(folder + "/libggml.so.0", "ggml_version", MOEVK_GGML_VERSION) {
  log_set(only_errors, nullptr);
  load_all_from_path(backends.c_str());
  if (dev_count() == 0) throw std::runtime_error(backends + " holds no backend that ggml loads");
}

}  // namespace moevk::bench
