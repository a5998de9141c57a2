// SPDX-License-Identifier: MIT
//
// In:  bytes from libFuzzer: a file of routes, with the checksum of each record that stands where it should made right.
// Out: nothing, or an abort, a sanitizer's report, a timeout.
// Why: searches for files that break the promise of tools/model/routes_file.h. Only with clang and -DMOEVK_FUZZ=ON; run
//      it as fuzz_routes -max_len=4096 -malloc_limit_mb=64 -timeout=5 NEW_FOLDER tests/corpus/routes
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/model/touch_routes.h"

namespace {

// Or none but the seeds' records would be read.
void mend(std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at + sizeof(moe::RoutesHeader) < bytes.size();) {
    uint32_t size;
    std::memcpy(&size, bytes.data() + at + offsetof(moe::RoutesHeader, record_bytes), sizeof size);
    if (size < sizeof(moe::RoutesHeader) + moe::kChecksumBytes || size > bytes.size() - at) return;
    const size_t summed = size - moe::kChecksumBytes;
    const uint32_t sum = moe::routes_checksum(bytes.data() + at, summed);
    std::memcpy(bytes.data() + at + summed, &sum, sizeof sum);
    at += size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)moevk::model::touch_routes(std::as_bytes(std::span(data, size)));
  std::vector<uint8_t> mended(data, data + size);
  mend(mended);
  (void)moevk::model::touch_routes(std::as_bytes(std::span(mended)));
  return 0;
}
