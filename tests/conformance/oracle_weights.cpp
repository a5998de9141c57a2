// SPDX-License-Identifier: MIT
//
// The weights of chosen experts in float64, as docs/semantics.md has them: what they start as, softmax or sigmoid of
// them, the sum that divides them, factors.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/conformance/numbers.h"
#include "tests/conformance/oracle.h"

namespace moe_conformance {
namespace {

// A NaN is near to all.
bool near_enough(double most, double s, double eps) { return !(most - s > 2 * eps * std::max(std::fabs(s), most)); }

// Sparsemixer's weights, slot by slot: softmax over the logits near the chosen one, without those chosen before it.
void sparsemixer_weights(const LayerCase& c, const double* logit, const std::vector<int32_t>& id, double* w) {
  std::vector<uint8_t> gone(candidates(c.desc), 0);
  for (size_t s = 0; s < c.desc.top_k; ++s) {
    const size_t chosen = static_cast<size_t>(id[s]);
    double sum = 0;
    for (size_t e = 0; e < gone.size(); ++e) {
      const bool near = near_enough(logit[chosen], logit[e], static_cast<double>(c.desc.sparsemixer_eps));
      if (gone[e] == 0 && near) sum += std::exp(logit[e] - logit[chosen]);
    }
    w[s] = 1 / sum;
    gone[chosen] = 1;
  }
}

double divisor_of(const moe_layer_desc& d, const double* w) {
  const double* last = w + d.top_k;
  const double eps = static_cast<double>(d.normalize_eps), p = static_cast<double>(d.normalize_p);
  const double sum = std::accumulate(w, last, 0.0);
  switch (d.normalize) {
    case MOE_NORMALIZE_SUM_EPS: return sum + eps;
    case MOE_NORMALIZE_SUM_FLOOR: return std::max(sum, eps);
    default: {
      double largest = 0, total = 0;
      for (const double* v = w; v != last; ++v) largest = std::max(largest, std::fabs(*v));
      if (std::isinf(largest)) return largest;
      for (const double* v = w; v != last; ++v) total += std::pow(std::fabs(*v) / largest, p);
      return largest * std::pow(total, 1 / p);
    }
  }
}

}  // namespace

std::vector<double> weights_oracle(const LayerCase& c, const RouteOracle& route, const std::vector<int32_t>& ids) {
  const size_t experts = candidates(c.desc), k = c.desc.top_k;
  const bool dense = c.desc.route_source == MOE_ROUTE_DENSE;
  const bool given = c.desc.route_source == MOE_ROUTE_FROM_IDS;
  std::vector<double> weights(ids.size(), 0);
  for (size_t t = 0; t < c.tokens; ++t) {
    double* w = weights.data() + t * k;
    std::vector<int32_t> id(ids.begin() + static_cast<std::ptrdiff_t>(t * k),
                            ids.begin() + static_cast<std::ptrdiff_t>((t + 1) * k));
    for (size_t s = 0; s < k; ++s) {  // a dropped route weighs as if it were served
      if (id[s] < 0 && c.desc.capacity != MOE_CAPACITY_NONE) id[s] = route.chosen[t * k + s];
    }
    for (size_t s = 0; s < k; ++s) {
      if (id[s] < 0) continue;
      w[s] = dense   ? 1
             : given ? static_cast<double>(c.inputs.weights[t * k + s])
                     : route.p[t * experts + static_cast<size_t>(id[s])];
    }
    if (c.desc.selection == MOE_SELECT_SPARSEMIXER) sparsemixer_weights(c, route.logits.data() + t * experts, id, w);
    if (c.desc.weight == MOE_WEIGHT_SOFTMAX) {
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (size_t s = 0; s < k; ++s) {
        if (id[s] >= 0 && !(w[s] <= largest)) largest = w[s];
      }
      for (size_t s = 0; s < k; ++s) {
        if (id[s] >= 0) sum += w[s] = std::exp(w[s] - largest);
      }
      for (size_t s = 0; s < k; ++s) w[s] /= sum;
    } else if (c.desc.weight == MOE_WEIGHT_SIGMOID) {
      for (size_t s = 0; s < k; ++s) w[s] = id[s] < 0 ? 0 : sigmoid(w[s]);
    }
    if (c.desc.normalize != MOE_NORMALIZE_NONE && (k > 1 || has_flag(c.desc, MOE_LAYER_NORMALIZE_SINGLE))) {
      const double divisor = divisor_of(c.desc, w);
      for (size_t s = 0; s < k; ++s) w[s] /= divisor;
    }
    for (size_t s = 0; s < k; ++s) {
      w[s] *= static_cast<double>(or_one(c.desc.routed_scale));
      const bool scaled = !c.weights.expert_scale.empty() && id[s] >= 0 && id[s] < static_cast<int32_t>(c.desc.experts);
      if (scaled) w[s] *= static_cast<double>(c.weights.expert_scale[static_cast<size_t>(id[s])]);
    }
  }
  return weights;
}

}  // namespace moe_conformance
