// SPDX-License-Identifier: MIT
//
// In:  bytes of a file of routes.
// Out: how many records were whole; 0 where the file is refused.
// Why: tests and the fuzzer read a file the same way, down to every figure.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <span>

#include "tools/model/route_load.h"
#include "tools/model/routes_file.h"

namespace moevk::model {

// Aborts where a figure leaves its range.
inline uint64_t touch_routes(std::span<const std::byte> bytes) {
  RouteLoads loads;
  uint64_t seen = 0;
  const auto report = read_routes(bytes, [&](const RouteRecord& record) {
    if (record.ids.size() != size_t{record.header.tokens} * record.header.top_k) std::abort();
    if (record.weights.size() != record.ids.size()) std::abort();
    loads.add(record);
    ++seen;
  });
  for (const auto& [number, layer] : loads.layers()) {
    const Balance b = balance_of(layer.routes, layer.experts);
    if (!(b.entropy >= -1e-9 && b.entropy <= 1 + 1e-9) || !(b.top_tenth_share <= 1 + 1e-9)) std::abort();
    if (b.unused > layer.experts || b.effective_experts > layer.experts * (1 + 1e-9)) std::abort();
  }
  if (!report) return 0;
  if (report->records != seen || report->damaged_bytes > bytes.size()) std::abort();
  return report->records;
}

}  // namespace moevk::model
