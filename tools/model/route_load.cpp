// SPDX-License-Identifier: MIT
//
// In:  see route_load.h.
// Out: see route_load.h.
// Why: see route_load.h.
#include "tools/model/route_load.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace moevk::model {
namespace {

constexpr uint64_t kMostCounters = 1u << 24;  // of all layers: a small file must not ask for much memory

}  // namespace

Balance balance_of(const std::vector<uint64_t>& routes, uint32_t experts) {
  Balance balance;
  std::vector<uint64_t> sorted(routes.begin(), routes.begin() + experts);
  double sum = 0, squares = 0;
  for (uint32_t expert = 0; expert < experts; ++expert) {
    const uint64_t load = sorted[expert];
    sum += static_cast<double>(load);
    if (load > balance.most) balance.most = load, balance.busiest = expert;
    if (load == 0) ++balance.unused;
  }
  if (sum == 0) return balance;
  balance.mean = sum / experts;
  double nats = 0;
  for (const uint64_t load : sorted) {
    const double share = static_cast<double>(load) / sum, off = static_cast<double>(load) - balance.mean;
    squares += off * off;
    if (load > 0) nats -= share * std::log(share);
  }
  balance.max_over_mean = static_cast<double>(balance.most) / balance.mean;
  balance.variation = std::sqrt(squares / experts) / balance.mean;
  balance.entropy = experts > 1 ? nats / std::log(experts) : 1;
  balance.effective_experts = std::exp(nats);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const uint32_t tenth = experts / 10 + (experts % 10 != 0 ? 1 : 0);
  for (uint32_t i = 0; i < tenth; ++i) balance.top_tenth_share += static_cast<double>(sorted[i]) / sum;
  return balance;
}

std::optional<std::string> RouteLoads::add(const RouteRecord& record) {
  const moe::RoutesHeader& header = record.header;
  const auto found = layers_.find(header.layer);
  if (found == layers_.end()) {
    const uint64_t choices = uint64_t{header.experts} + header.identity_experts;
    if (counters_ + choices > kMostCounters) return "has too many layers and experts to count";
    counters_ += choices;
    LayerLoad& fresh = layers_[header.layer];
    fresh.experts = header.experts, fresh.identity_experts = header.identity_experts, fresh.top_k = header.top_k;
    fresh.hidden = header.hidden, fresh.intermediate = header.intermediate;
    fresh.routes.resize(choices);
  }
  LayerLoad& layer = layers_[header.layer];
  if (layer.experts != header.experts || layer.identity_experts != header.identity_experts ||
      layer.top_k != header.top_k || layer.hidden != header.hidden || layer.intermediate != header.intermediate) {
    return "holds routes of different models: layer " + std::to_string(header.layer) +
           " has E=" + std::to_string(layer.experts) + " k=" + std::to_string(layer.top_k) +
           " H=" + std::to_string(layer.hidden) + " F=" + std::to_string(layer.intermediate) +
           " and E=" + std::to_string(header.experts) + " k=" + std::to_string(header.top_k) +
           " H=" + std::to_string(header.hidden) + " F=" + std::to_string(header.intermediate);
  }
  streams_.insert(header.stream);
  layer.tokens += header.tokens;
  for (const int32_t id : record.ids) {
    if (id >= 0 && static_cast<uint64_t>(id) < layer.routes.size()) {
      ++layer.routes[static_cast<size_t>(id)];
    } else {
      ++layer.skipped;
    }
  }
  for (size_t token = 0; token < header.tokens; ++token) {
    float most = 0;
    for (size_t slot = 0; slot < header.top_k; ++slot) {
      const float weight = record.weights[token * header.top_k + slot];
      if (!std::isfinite(weight)) continue;
      layer.weight += weight;
      most = std::max(most, weight);
    }
    layer.top_weight += most;
  }
  return std::nullopt;
}

}  // namespace moevk::model
