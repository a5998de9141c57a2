// SPDX-License-Identifier: MIT
//
// In:  bytes from libFuzzer, taken apart as tests/model/touch_checkpoint.h says.
// Out: nothing, or an abort, a sanitizer's report, a timeout.
// Why: searches for checkpoints that break the promise of tools/model/checkpoint.h. Only with clang and
//      -DMOEVK_FUZZ=ON; run it as
//      fuzz_safetensors -max_len=16384 -malloc_limit_mb=64 -timeout=5 NEW_FOLDER tests/corpus/safetensors
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/model/touch_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)moevk::model::touch_checkpoint(std::as_bytes(std::span(data, size)));
  return 0;
}
