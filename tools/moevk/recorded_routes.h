// SPDX-License-Identifier: MIT
//
// In:  a path to a file of routes.
// Out: its records and loads; routes of calls of a given size, to be replayed.
// Why: `moevk routes` and `moevk bench` read the same file the same way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tools/model/route_load.h"
#include "tools/model/routes_file.h"

namespace moevk::cli {

struct RecordedRoutes {
  // Throws UsageError where the file cannot be read or has no whole record, or has two layers of one number.
  explicit RecordedRoutes(const std::string& path);

  std::vector<model::RouteRecord> records;
  model::RoutesReport report;
  model::RouteLoads loads;
};

// "in 1 place, 37 bytes at 1024: it ends within a record; the rest is used"
std::string damage_text(const model::RoutesReport& report);

// Calls of `tokens` consecutive tokens of one layer in one stream, by slot. At most `most`, taken evenly from the
// layers of the file in turn that have as many experts, and as many a token, as the first. Throws UsageError where no
// layer has so many, or where a token's routes are not k different experts below E.
std::vector<std::vector<int32_t>> calls_to_replay(const RecordedRoutes& routes, uint64_t tokens, size_t most);

// Tokens [calls * T, H] and a router [E, H] that send each token to just these experts, in this order: the router
// copies the first E numbers of a token, whose k largest they are. H >= E.
std::vector<float> replayed_tokens(const std::vector<std::vector<int32_t>>& calls, const moe_layer_desc& desc,
                                   uint64_t seed);
std::vector<float> replaying_router(const moe_layer_desc& desc);

}  // namespace moevk::cli
