// SPDX-License-Identifier: MIT
//
// In:  records of routes.
// Out: each layer's load: routes by expert; figures of how evenly it is spread.
// Why: the figures are those of the literature on load balance, so that they can be held against published ones.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/model/routes_file.h"

namespace moevk::model {

struct LayerLoad {
  uint32_t experts = 0, identity_experts = 0, top_k = 0, hidden = 0, intermediate = 0;
  uint64_t tokens = 0;
  uint64_t skipped = 0;          // routes to no expert
  std::vector<uint64_t> routes;  // [E + Z]
  double weight = 0;             // sum of all finite weights
  double top_weight = 0;         // sum of each token's largest finite weight
};

// Of the routed experts of one layer; n_e routes of expert e, N their sum, p_e = n_e / N.
struct Balance {
  double mean = 0;               // N / E
  uint64_t most = 0;             // max n_e
  uint32_t busiest = 0;          // the first expert that has it
  double max_over_mean = 0;      // the load imbalance factor; 1: even; MaxVio is this less 1
  double variation = 0;          // coefficient of variation: standard deviation / mean
  double entropy = 0;            // -sum p ln p, divided by ln E: 1: even, 0: one expert alone
  double effective_experts = 0;  // exp(-sum p ln p), the perplexity of p
  double top_tenth_share = 0;    // of N, of the ceil(E / 10) busiest experts
  uint32_t unused = 0;           // experts without a route
};

// Of the first `experts` loads; all zero without a route.
Balance balance_of(const std::vector<uint64_t>& routes, uint32_t experts);

class RouteLoads {
 public:
  // The reason why the record does not belong to the same model as those before; then it is not counted.
  std::optional<std::string> add(const RouteRecord& record);
  const std::map<uint32_t, LayerLoad>& layers() const { return layers_; }
  size_t streams() const { return streams_.size(); }

 private:
  std::map<uint32_t, LayerLoad> layers_;
  std::set<uint64_t> streams_;
  uint64_t counters_ = 0;
};

}  // namespace moevk::model
