// SPDX-License-Identifier: MIT
//
// In:  outputs and chosen experts, twice.
// Out: OutputError, RouteComparison.
// Why: see compare.h. Sums are in double.
#include "tools/moevk/compare.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moevk::cli {
namespace {

// True if the order of the k best logits of this token could be another after rounding.
bool is_near_tie(const RouteQuestion& question, uint64_t token) {
  const moe_layer_desc& desc = *question.desc;
  // The bound below is that of the logit, from x as it is.
  constexpr uint32_t kOther = MOE_LAYER_SELECTION_BIAS | MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM |
                              MOE_LAYER_ROUTER_INPUT_SCALE;
  const bool key_is_logit = desc.route_source == MOE_ROUTE_FROM_ROUTER && (desc.flags & kOther) == 0 &&
                            desc.groups <= 1 && desc.selection == MOE_SELECT_TOP_K && desc.router_input_multiplier == 0;
  if (!key_is_logit || question.expected_logits->empty() || question.router->empty()) return false;
  const size_t hidden = desc.hidden;
  const size_t experts = size_t{desc.experts} + desc.identity_experts;
  const float* logits = question.expected_logits->data() + token * experts;
  const float* x = question.x->data() + token * hidden;
  const auto bound = [&](size_t expert) {
    const float* row = question.router->data() + expert * hidden;
    double sum = 0;
    for (size_t at = 0; at < hidden; ++at) sum += std::abs(double{x[at]} * double{row[at]});
    return static_cast<double>(hidden) * 0x1p-24 * sum;
  };
  std::vector<size_t> order(experts);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  for (size_t place = 0; place < desc.top_k && place + 1 < experts; ++place) {
    const double gap = double{logits[order[place]]} - double{logits[order[place + 1]]};
    if (gap <= bound(order[place]) + bound(order[place + 1])) return true;
  }
  return false;
}

}  // namespace

OutputError compare_outputs(const std::vector<float>& actual, const std::vector<float>& expected, uint64_t columns,
                            const std::vector<bool>& skip) {
  OutputError error;
  double difference_square = 0;
  double expected_square = 0;
  uint64_t count = 0;
  for (size_t at = 0; at < expected.size(); ++at) {
    if (!skip.empty() && skip[at / columns]) continue;
    const double wanted = expected[at];
    const double difference = double{actual[at]} - wanted;
    if (!std::isfinite(difference)) {
      const bool same = actual[at] == expected[at] || (std::isnan(actual[at]) && std::isnan(wanted));
      error.finite = error.finite && same;
      continue;
    }
    error.max_abs = std::max(error.max_abs, std::abs(difference));
    difference_square += difference * difference;
    expected_square += wanted * wanted;
    ++count;
  }
  if (count > 0) error.rms = std::sqrt(difference_square / static_cast<double>(count));
  if (expected_square > 0) {
    error.relative_rms = std::sqrt(difference_square / expected_square);
  } else if (difference_square > 0) {
    error.relative_rms = INFINITY;
  }
  return error;
}

RouteComparison compare_routes(const std::vector<int32_t>& actual, const std::vector<int32_t>& expected,
                               const RouteQuestion& question) {
  RouteComparison comparison;
  const size_t k = question.desc->top_k;
  comparison.tokens = expected.size() / k;
  comparison.excluded.assign(comparison.tokens, false);
  for (uint64_t token = 0; token < comparison.tokens; ++token) {
    const auto first = static_cast<std::ptrdiff_t>(token * k);
    const auto last = static_cast<std::ptrdiff_t>((token + 1) * k);
    if (std::equal(actual.begin() + first, actual.begin() + last, expected.begin() + first)) {
      ++comparison.same;
      continue;
    }
    comparison.excluded[token] = true;
    ++(is_near_tie(question, token) ? comparison.near_ties : comparison.wrong);
  }
  return comparison;
}

double max_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t at = 0; at < std::min(a.size(), b.size()); ++at) {
    const double difference = std::abs(double{a[at]} - double{b[at]});
    if (difference > largest || std::isnan(difference)) largest = difference;
  }
  return largest;
}

}  // namespace moevk::cli
