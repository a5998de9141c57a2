// SPDX-License-Identifier: MIT
//
// In:  bytes from libFuzzer.
// Out: nothing, or an abort, a sanitizer's report, a timeout.
// Why: searches for files that break the promise of tools/model/gguf.h. Only with clang and
//      -DMOEVK_FUZZ=ON; run it as
//      fuzz_gguf -max_len=4096 -malloc_limit_mb=16 -timeout=5 NEW_FOLDER tests/corpus/gguf
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/model/touch_gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)moevk::model::touch_gguf(std::as_bytes(std::span(data, size)));
  return 0;
}
