// SPDX-License-Identifier: MIT
//
// In:  the bytes of a file of routes (docs/routes.md), which a stranger may have made.
// Out: its whole records, in order, and what was damaged.
// Why: a file whose writer was killed ends in the middle of a record, and all that is whole before is good.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "plugin_api/moe_routes.hpp"
#include "tools/model/result.h"

namespace moevk::model {

// Some consecutive tokens of one layer in one stream.
struct RouteRecord {
  moe::RoutesHeader header;
  std::vector<int32_t> ids;    // [tokens, k]; E..E+Z-1: identity experts; else not in 0..E+Z-1: skipped
  std::vector<float> weights;  // [tokens, k]
};

struct RoutesReport {
  uint64_t records = 0;        // whole ones
  uint64_t damaged = 0;        // places where something else stood
  uint64_t damaged_bytes = 0;  // together
  uint64_t first_damage = 0;   // offset
  std::string why;             // of the first
};

// Calls `take` for each whole record, whose fields are within the format's bounds. An error where none is whole, where
// the file has another version, or where more than 1000 places are damaged.
Result<RoutesReport> read_routes(std::span<const std::byte> bytes,
                                 const std::function<void(const RouteRecord& record)>& take);

}  // namespace moevk::model
