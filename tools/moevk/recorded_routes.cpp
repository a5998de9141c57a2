// SPDX-License-Identifier: MIT
//
// In:  see recorded_routes.h.
// Out: see recorded_routes.h.
// Why: a replayed call is a whole layer, routing included, so that its time stands beside that of other routings.
#include "tools/moevk/recorded_routes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "tools/model/mapped_file.h"
#include "tools/moevk/host.h"
#include "tools/moevk/random_data.h"

namespace moevk::cli {

RecordedRoutes::RecordedRoutes(const std::string& path) {
  const auto file = model::MappedFile::open(path);
  if (!file) throw UsageError("FILE", file.error().message);
  std::optional<std::string> problem;
  const auto read = model::read_routes(file->bytes(), [&](const model::RouteRecord& record) {
    if (!problem) problem = loads.add(record);
    if (!problem) records.push_back(record);
  });
  if (!read) throw UsageError(path, read.error().text());
  if (problem) throw UsageError(path, *problem);
  report = *read;
}

std::string damage_text(const model::RoutesReport& report) {
  return std::to_string(report.damaged_bytes) + " bytes in " + std::to_string(report.damaged) +
         (report.damaged == 1 ? " place" : " places") + " are no whole record, first at " +
         std::to_string(report.first_damage) + ": " + report.why + "; the other " + std::to_string(report.records) +
         " records are used";
}

std::vector<std::vector<int32_t>> calls_to_replay(const RecordedRoutes& routes, uint64_t tokens, size_t most) {
  // Runs of tokens that follow each other, by layer, stream and first token; of layers like the first.
  const model::LayerLoad& layer = routes.loads.layers().begin()->second;
  std::map<std::tuple<uint32_t, uint64_t, uint64_t>, std::vector<int32_t>> lists;
  struct Run {
    std::vector<int32_t>* list = nullptr;
    uint64_t next = 0;  // token
  };
  std::map<std::pair<uint32_t, uint64_t>, Run> runs;
  for (const model::RouteRecord& record : routes.records) {
    const moe::RoutesHeader& header = record.header;
    if (header.experts != layer.experts || header.top_k != layer.top_k) continue;
    Run& run = runs[{header.layer, header.stream}];
    if (run.list == nullptr || header.first_token != run.next) {
      run.list = &lists[{header.layer, header.stream, header.first_token}];
      run.list->clear();  // seen before: a file that was appended to itself
    }
    run.list->insert(run.list->end(), record.ids.begin(), record.ids.end());
    run.next = header.first_token + header.tokens;
  }
  const size_t per_call = tokens * layer.top_k;
  size_t longest = 0, calls = 0;
  for (const auto& [key, list] : lists) {
    longest = std::max(longest, list.size());
    calls += list.size() / per_call;
  }
  if (calls == 0) {
    throw UsageError("--tokens", std::to_string(tokens) + " is more than the " + std::to_string(longest / layer.top_k) +
                                     " consecutive tokens that a layer has in the file of routes");
  }
  // Call number i of every list, then i + 1; evenly thinned out.
  std::vector<std::vector<int32_t>> all;
  for (size_t i = 0; all.size() < calls; ++i) {
    for (const auto& [key, list] : lists) {
      if ((i + 1) * per_call > list.size()) continue;
      all.emplace_back(list.begin() + static_cast<std::ptrdiff_t>(i * per_call),
                       list.begin() + static_cast<std::ptrdiff_t>((i + 1) * per_call));
    }
  }
  std::vector<std::vector<int32_t>> chosen;
  for (size_t i = 0; i < std::min(most, calls); ++i) {
    chosen.push_back(std::move(all[i * calls / std::min(most, calls)]));
    const std::vector<int32_t>& ids = chosen.back();
    for (size_t at = 0; at < ids.size(); ++at) {
      const size_t token = at / layer.top_k * layer.top_k;
      const bool again = std::find(&ids[token], &ids[at], ids[at]) != &ids[at];
      if (ids[at] < 0 || static_cast<uint32_t>(ids[at]) >= layer.experts || again) {
        throw UsageError("--routes", "has a token whose routes are not " + std::to_string(layer.top_k) +
                                         " different experts, which this command cannot replay");
      }
    }
  }
  return chosen;
}

std::vector<float> replayed_tokens(const std::vector<std::vector<int32_t>>& calls, const moe_layer_desc& desc,
                                   uint64_t seed) {
  const size_t k = desc.top_k, tokens = calls.front().size() / k;
  std::vector<float> x = random_tokens(calls.size() * tokens, desc.hidden, seed);
  for (size_t call = 0; call < calls.size(); ++call) {
    for (size_t token = 0; token < tokens; ++token) {
      float* row = x.data() + (call * tokens + token) * desc.hidden;
      // Others stay below 3; the chosen are 4 to 5, a step of their own apart.
      for (uint32_t expert = 0; expert < desc.experts; ++expert) row[expert] = std::clamp(row[expert], -3.0f, 3.0f);
      for (size_t slot = 0; slot < k; ++slot) {
        row[calls[call][token * k + slot]] = 5.0f - static_cast<float>(slot) / static_cast<float>(k);
      }
    }
  }
  return x;
}

std::vector<float> replaying_router(const moe_layer_desc& desc) {
  std::vector<float> router(size_t{desc.experts} * desc.hidden);
  for (size_t expert = 0; expert < desc.experts; ++expert) router[expert * desc.hidden + expert] = 1;
  return router;
}

}  // namespace moevk::cli
