// SPDX-License-Identifier: MIT
//
// In:  paths.
// Out: function pointers (see llama_library.h).
// Why: llama.cpp computes on the CPU backend that it is given, and on no other.
#include "tests/peers/llama_library.h"

#include <stdexcept>

#include "bench/ggml_log.h"

namespace moevk::peers {

LlamaLibrary::LlamaLibrary(const std::string& folder, const std::string& cpu_backend)
    : SharedLibrary(folder + "/libllama.so.0", "llama_version", MOEVK_LLAMA_VERSION) {
  log_set(bench::only_errors, nullptr);
  backend_init();
  if (backend_load(cpu_backend.c_str()) == nullptr) throw std::runtime_error(cpu_backend + " does not load");
}

}  // namespace moevk::peers
