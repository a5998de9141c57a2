// SPDX-License-Identifier: MIT
//
// The float64 formula of a layer, step by step as docs/semantics.md has it, and the bound of a
// float32 router: a dot product of H terms over 32 lanes, folded by a tree, is off by at most
// gamma_n * sum |x w| with n = ceil(H / 32) + 32 roundings of 2^-24 (Higham, Accuracy and
// Stability, 4.2).
#include "tests/conformance/oracle.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/conformance/numbers.h"

namespace moe_conformance {
namespace {

constexpr double kUnit = 0x1p-24;       // half an ulp of float32
constexpr double kSmallest = 0x1p-125;  // devices may flush float32 subnormals

double gamma(double roundings) { return roundings * kUnit / (1 - roundings * kUnit); }

// Each row divided by its root mean square, and multiplied by `factor`.
void normalise_rows(const LayerCase& c, double factor, std::vector<double>& x) {
  const size_t hidden = c.desc.hidden;
  const double eps = c.desc.norm_eps == 0 ? static_cast<double>(1e-6f) : static_cast<double>(c.desc.norm_eps);
  for (size_t t = 0; t < c.tokens; ++t) {
    double squares = 0;
    for (size_t i = 0; i < hidden; ++i) squares += x[t * hidden + i] * x[t * hidden + i];
    const double scale = factor / std::sqrt(squares / static_cast<double>(hidden) + eps);
    for (size_t i = 0; i < hidden; ++i) x[t * hidden + i] *= scale;
  }
}

void scale_columns(const std::vector<float>& factors, std::vector<double>& x) {
  for (size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<double>(factors[i % factors.size()]);
}

std::vector<double> router_input(const LayerCase& c) {
  const bool separate = has_flag(c.desc, MOE_LAYER_SEPARATE_ROUTER_INPUT);
  std::vector<double> x =
      separate ? std::vector<double>(c.inputs.router_x.begin(), c.inputs.router_x.end()) : layer_input(c);
  const double multiplier = static_cast<double>(or_one(c.desc.router_input_multiplier));
  if (has_flag(c.desc, MOE_LAYER_ROUTER_INPUT_NORM)) {
    normalise_rows(c, multiplier, x);
  } else {
    for (double& value : x) value *= multiplier;
  }
  if (has_flag(c.desc, MOE_LAYER_ROUTER_INPUT_SCALE)) scale_columns(c.weights.router_scale, x);
  return x;
}

void compute_logits(const LayerCase& c, RouteOracle& route) {
  const size_t hidden = c.desc.hidden, experts = candidates(c.desc);
  const std::vector<double> x = router_input(c);
  const double roundings = std::ceil(static_cast<double>(hidden) / 32) + 32;
  // RMSNorm in float32: a sum of squares (its error is halved by the root), a root, a division, a
  // product.
  const bool separate = has_flag(c.desc, MOE_LAYER_SEPARATE_ROUTER_INPUT);
  const bool scaled = c.desc.router_input_multiplier != 0 || has_flag(c.desc, MOE_LAYER_ROUTER_INPUT_SCALE);
  double input = scaled ? 4 : 0;  // a product or two, and their rounding
  if (has_flag(c.desc, MOE_LAYER_INPUT_NORM) && !separate) input += roundings / 2 + 16;
  if (has_flag(c.desc, MOE_LAYER_ROUTER_INPUT_NORM)) input += roundings / 2 + 16;
  const double bound = c.exact_logits ? 0 : gamma(roundings + input);
  const double flushed = c.exact_logits ? 0 : static_cast<double>(hidden) * kSmallest;
  for (size_t t = 0; t < c.tokens; ++t) {
    for (size_t e = 0; e < experts; ++e) {
      const double* row = x.data() + t * hidden;
      const float* weights = c.weights.router.data() + e * hidden;
      double sum = 0, magnitude = 0;
      for (size_t i = 0; i < hidden; ++i) {
        const double term = row[i] * static_cast<double>(weights[i]);
        sum += term;
        magnitude += std::fabs(term);
      }
      if (!c.weights.router_bias.empty()) {
        sum += static_cast<double>(c.weights.router_bias[e]);
        magnitude += std::fabs(static_cast<double>(c.weights.router_bias[e]));
      }
      route.logits[t * experts + e] = sum;
      route.logit_bound[t * experts + e] = std::isfinite(sum) ? bound * magnitude + flushed : 0;
    }
  }
}

// p of one token, and how far a float32 p may be away: the logit's error through the derivative,
// and the exponential (Vulkan: 3 + 2|x| ulp), a division and a sum over E.
void compute_p(const LayerCase& c, const double* logits, const double* bounds, double* p, double* p_bound) {
  const size_t experts = candidates(c.desc);
  std::vector<double> capped, capped_bounds;
  if (const double cap = static_cast<double>(c.desc.logit_soft_cap); cap > 0) {
    for (size_t e = 0; e < experts; ++e) {
      capped.push_back(cap * std::tanh(logits[e] / cap));
      capped_bounds.push_back(bounds[e] + 16 * kUnit * std::fabs(capped[e]));
    }
    logits = capped.data();
    bounds = capped_bounds.data();
  }
  if (c.desc.score == MOE_SCORE_IDENTITY) {
    std::copy_n(logits, experts, p);
    std::copy_n(bounds, experts, p_bound);
  } else if (c.desc.score == MOE_SCORE_SQRT_SOFTPLUS) {
    for (size_t e = 0; e < experts; ++e) {
      p[e] = std::sqrt(std::max(logits[e], 0.0) + std::log1p(std::exp(-std::fabs(logits[e]))));
      const double slope = p[e] > 0 ? sigmoid(logits[e]) / (2 * p[e]) : 0;
      p_bound[e] = slope * bounds[e] + p[e] * kUnit * (2 * std::fabs(logits[e]) + 24) + kSmallest;
    }
  } else if (c.desc.score == MOE_SCORE_SIGMOID) {
    for (size_t e = 0; e < experts; ++e) {
      p[e] = sigmoid(logits[e]);
      // 1 / (1 + exp(-x)): the exponential's error fades with 1 - p; the sum and the quotient (2.5 ulp) stay.
      const double exponential = 2 * kUnit * (2 * std::fabs(logits[e]) + 12);
      p_bound[e] = p[e] * ((1 - p[e]) * (bounds[e] + exponential) + 8 * kUnit) + kSmallest;
    }
  } else {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0, worst = 0;
    for (size_t e = 0; e < experts; ++e) {
      if (!(logits[e] <= largest)) largest = logits[e];  // a NaN is kept: the whole token becomes NaN
      worst = std::max(worst, bounds[e]);
    }
    for (size_t e = 0; e < experts; ++e) sum += p[e] = std::exp(logits[e] - largest);
    for (size_t e = 0; e < experts; ++e) {
      p[e] /= sum;
      const double steps = 2 * (2 * (2 * std::fabs(logits[e] - largest) + 12)) + static_cast<double>(experts) / 32 + 32;
      p_bound[e] = p[e] * (bounds[e] + worst + steps * kUnit) + kSmallest;
    }
  }
}

// Order of selection: keys descending, NaN below everything, ids ascending.
bool before(const double* key, size_t a, size_t b) {
  const bool nan_a = std::isnan(key[a]), nan_b = std::isnan(key[b]);
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && key[a] != key[b]) return key[a] > key[b];
  return a < b;
}

// Experts with the same router row and biases have the same value in any order of summation: a true
// tie.
bool same_rows(const LayerCase& c, size_t a, size_t b) {
  if (!computes_logits(c.desc)) return false;
  const size_t hidden = c.desc.hidden;
  const LayerWeights& w = c.weights;
  const float* row = w.router.data();
  return std::equal(row + a * hidden, row + (a + 1) * hidden, row + b * hidden) &&
         (w.router_bias.empty() || w.router_bias[a] == w.router_bias[b]) &&
         (w.selection_bias.empty() || w.selection_bias[a] == w.selection_bias[b]);
}

// The sum of the n largest of key + sign * bound.
double top_sum(const double* key, const double* bound, double sign, const std::vector<size_t>& members, size_t n) {
  std::vector<double> shifted;
  for (size_t e : members) shifted.push_back(key[e] + sign * bound[e]);
  const auto end = shifted.begin() + static_cast<std::ptrdiff_t>(n);
  std::partial_sort(shifted.begin(), end, shifted.end(), std::greater<>());
  return std::accumulate(shifted.begin(), end, 0.0);
}

// The groups that are kept; false in `decided` if their scores are too close. Exact keys are added in float32, as the
// contract has it.
std::vector<uint8_t> kept_groups(const LayerCase& c, const double* key, const double* bound, bool& decided) {
  const size_t groups = c.desc.groups, size = candidates(c.desc) / groups;
  const size_t n = c.desc.group_score == MOE_GROUP_SCORE_SUM_TOP_N ? c.desc.group_top_n : 1;
  std::vector<double> score(groups), error(groups, 0);
  std::vector<size_t> order(groups);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t g = 0; g < groups; ++g) {
    std::vector<size_t> members(size);
    std::iota(members.begin(), members.end(), g * size);
    std::sort(members.begin(), members.end(), [&](size_t a, size_t b) { return before(key, a, b); });
    float exact = static_cast<float>(key[members[0]]);
    double magnitude = std::fabs(key[members[0]]), worst = 0;
    score[g] = key[members[0]];
    for (size_t i = 1; i < n; ++i) {
      exact += static_cast<float>(key[members[i]]);
      score[g] += key[members[i]];
      magnitude += std::fabs(key[members[i]]);
    }
    for (size_t e : members) worst = std::max(worst, bound[e]);
    if (worst == 0) {
      score[g] = static_cast<double>(exact);
    } else if (std::isfinite(score[g])) {
      // Where the score lies if every key is as high, or as low, as its bound lets it be.
      const double above = top_sum(key, bound, 1, members, n) - score[g];
      const double below = score[g] - top_sum(key, bound, -1, members, n);
      error[g] = std::max(above, below) + static_cast<double>(n) * kUnit * magnitude;
    }
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return before(score.data(), a, b); });
  std::vector<uint8_t> kept(groups, 0);
  for (size_t r = 0; r < c.desc.groups_kept; ++r) {
    kept[order[r]] = 1;
    for (size_t j = c.desc.groups_kept; j < groups; ++j) {
      const double most = std::max(error[order[r]], error[order[j]]);
      if (most == 0 || !std::isfinite(score[order[r]]) || !std::isfinite(score[order[j]])) continue;
      decided = decided && score[order[r]] - score[order[j]] > 2 * most;
    }
  }
  return kept;
}

// Whether no logit lies on the border of what sparsemixer takes for near.
bool sparsemixer_decided(const LayerCase& c, const double* logit, const double* bound, const int32_t* ids) {
  const double eps = static_cast<double>(c.desc.sparsemixer_eps);
  for (size_t slot = 0; slot < c.desc.top_k; ++slot) {
    const size_t chosen = static_cast<size_t>(ids[slot]);
    for (size_t e = 0; e < candidates(c.desc); ++e) {
      if (e == chosen) continue;
      const double reach = 2 * eps * std::max(std::fabs(logit[e]), logit[chosen]);
      const double error =
          (1 + 2 * eps) * (bound[chosen] + bound[e] + 4 * kUnit * (std::fabs(logit[chosen]) + std::fabs(logit[e])));
      if (std::fabs(logit[chosen] - logit[e] - reach) <= error) return false;
    }
  }
  return true;
}

void select(const LayerCase& c, RouteOracle& route, size_t t) {
  const size_t all = candidates(c.desc), k = c.desc.top_k;
  const double* key = route.key.data() + t * all;
  const double* bound = route.key_bound.data() + t * all;
  bool decided = true;
  const std::vector<uint8_t> kept = c.desc.groups > 1 ? kept_groups(c, key, bound, decided) : std::vector<uint8_t>{1};
  std::vector<size_t> order;
  for (size_t e = 0; e < all; ++e) {
    if (kept[e / (all / kept.size())] != 0) order.push_back(e);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return before(key, a, b); });
  for (size_t r = 0; r < k; ++r) {
    route.ids[t * k + r] = static_cast<int32_t>(order[r]);
    for (size_t j = r + 1; j < order.size() && decided; ++j) {
      const double error = std::max(bound[order[r]], bound[order[j]]);
      // Values without error, and infinite ones, are ordered exactly, ties by id.
      if (error == 0 || !std::isfinite(key[order[r]]) || !std::isfinite(key[order[j]])) continue;
      const double gap = key[order[r]] - key[order[j]];
      decided = gap > 2 * error || (gap == 0 && same_rows(c, order[r], order[j]));
    }
  }
  if (c.desc.selection == MOE_SELECT_SPARSEMIXER) {
    decided = decided && sparsemixer_decided(c, key, bound, route.ids.data() + t * k);
  }
  route.decided[t] = decided;
}

}  // namespace

std::vector<double> layer_input(const LayerCase& c) {
  std::vector<double> x(c.inputs.x.begin(), c.inputs.x.end());
  if (!has_flag(c.desc, MOE_LAYER_INPUT_NORM)) return x;
  normalise_rows(c, 1, x);
  scale_columns(c.weights.norm, x);
  return x;
}

namespace {

RouteOracle choose(const LayerCase& c) {
  const size_t tokens = c.tokens, experts = candidates(c.desc), k = c.desc.top_k;
  RouteOracle route;
  route.decided.assign(tokens, 1);
  const auto known = [&](int32_t id) { return id >= 0 && id < static_cast<int32_t>(experts) ? id : -1; };
  if (c.desc.route_source == MOE_ROUTE_DENSE) {
    route.ids.assign(tokens, 0);
    return route;
  }
  if (c.desc.route_source == MOE_ROUTE_FROM_IDS) {
    route.ids = c.inputs.ids;
    for (int32_t& id : route.ids) id = known(id);
    return route;
  }
  route.ids.resize(tokens * k);
  route.p.resize(tokens * experts);
  route.key_bound.assign(tokens * experts, 0);
  if (c.desc.route_source == MOE_ROUTE_FROM_SCORES) {
    route.key.assign(c.inputs.scores.begin(), c.inputs.scores.end());
    route.p.assign(c.inputs.weights.begin(), c.inputs.weights.end());
  } else {
    route.logits.assign(c.inputs.logits.begin(), c.inputs.logits.end());
    route.logits.resize(tokens * experts);
    route.logit_bound.assign(tokens * experts, 0);
    if (computes_logits(c.desc)) compute_logits(c, route);
    std::vector<double> p_bound(experts);
    route.key = route.logits;
    route.key_bound = route.logit_bound;
    for (size_t t = 0; t < tokens; ++t) {
      const size_t at = t * experts;
      compute_p(c, route.logits.data() + at, route.logit_bound.data() + at, route.p.data() + at, p_bound.data());
      for (size_t e = 0; e < experts; ++e) {
        if (!std::isfinite(route.logits[at + e])) p_bound[e] = 0;  // exactly 0 or 1, or no number at all
      }
      const bool biased = has_flag(c.desc, MOE_LAYER_SELECTION_BIAS);
      if (!biased && c.desc.groups <= 1) continue;  // selection on the logit itself
      for (size_t e = 0; e < experts; ++e) {
        route.key[at + e] = route.p[at + e] + (biased ? static_cast<double>(c.weights.selection_bias[e]) : 0);
        const bool given = c.desc.route_source == MOE_ROUTE_FROM_LOGITS && !biased;
        const bool plain = c.desc.score == MOE_SCORE_IDENTITY && c.desc.logit_soft_cap == 0;
        if (plain && (c.exact_logits || given)) continue;
        route.key_bound[at + e] = p_bound[e] + 2 * kUnit * (std::fabs(route.p[at + e]) + std::fabs(route.key[at + e]));
      }
    }
  }
  if (c.desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) {
    for (size_t t = 0; t < tokens; ++t) {
      const int32_t row = c.inputs.token_ids[t];
      const bool there = row >= 0 && row < static_cast<int32_t>(c.desc.token_table_rows);
      for (size_t s = 0; s < k; ++s) {
        route.ids[t * k + s] = there ? known(c.weights.token_table[static_cast<size_t>(row) * k + s]) : -1;
      }
    }
    return route;
  }
  for (size_t t = 0; t < tokens; ++t) select(c, route, t);
  return route;
}

// Routes beyond an expert's places get -1; first choices are served first. One token whose experts may differ moves the
// places of all others.
void drop_routes(const LayerCase& c, RouteOracle& route) {
  const moe_layer_desc& d = c.desc;
  const auto tokens = static_cast<double>(c.tokens);
  const double share = std::ceil(tokens * d.top_k * static_cast<double>(d.capacity_factor) / d.experts - 1e-4);
  const auto capacity = std::max(static_cast<size_t>(share), size_t{d.capacity_minimum});
  std::vector<size_t> served(d.experts, 0);
  for (size_t slot = 0; slot < d.top_k; ++slot) {
    for (size_t t = 0; t < c.tokens; ++t) {
      int32_t& id = route.ids[t * d.top_k + slot];
      if (id < 0 || static_cast<uint32_t>(id) >= d.experts) continue;
      if (++served[static_cast<size_t>(id)] > capacity) id = -1;
    }
  }
  const bool all = std::find(route.decided.begin(), route.decided.end(), 0) == route.decided.end();
  if (!all) std::fill(route.decided.begin(), route.decided.end(), uint8_t{0});
}

}  // namespace

RouteOracle route_oracle(const LayerCase& c) {
  RouteOracle route = choose(c);
  route.chosen = route.ids;
  if (c.desc.capacity != MOE_CAPACITY_NONE) drop_routes(c, route);
  return route;
}

}  // namespace moe_conformance
