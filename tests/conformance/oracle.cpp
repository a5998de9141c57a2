// SPDX-License-Identifier: MIT
//
// The float64 formula of a layer, step by step as docs/semantics.md has it, and the bound of a
// float32 router: a dot product of H terms over 32 lanes, folded by a tree, is off by at most
// gamma_n * sum |x w| with n = ceil(H / 32) + 32 roundings of 2^-24 (Higham, Accuracy and
// Stability, 4.2).
#include "tests/conformance/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace moe_conformance {
namespace {

constexpr double kUnit = 0x1p-24;       // half an ulp of float32
constexpr double kSmallest = 0x1p-125;  // devices may flush float32 subnormals

double gamma(double roundings) { return roundings * kUnit / (1 - roundings * kUnit); }
double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

// The layer's input in float64, normalised if the layer says so.
std::vector<double> input_of(const LayerCase& c) {
  const size_t hidden = c.desc.hidden;
  std::vector<double> x(c.inputs.x.begin(), c.inputs.x.end());
  if (!has_flag(c.desc, MOE_LAYER_INPUT_NORM)) return x;
  const double eps = c.desc.norm_eps == 0 ? static_cast<double>(1e-6f) : static_cast<double>(c.desc.norm_eps);
  for (size_t t = 0; t < c.tokens; ++t) {
    double squares = 0;
    for (size_t i = 0; i < hidden; ++i) squares += x[t * hidden + i] * x[t * hidden + i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(hidden) + eps);
    for (size_t i = 0; i < hidden; ++i) x[t * hidden + i] *= scale * static_cast<double>(c.weights.norm[i]);
  }
  return x;
}

void compute_logits(const LayerCase& c, RouteOracle& route) {
  const size_t hidden = c.desc.hidden, experts = c.desc.experts;
  const std::vector<double> x = input_of(c);
  const double roundings = std::ceil(static_cast<double>(hidden) / 32) + 32;
  // RMSNorm in float32: a sum of squares (its error is halved by the root), a root, a division, a
  // product.
  const double norm = has_flag(c.desc, MOE_LAYER_INPUT_NORM) ? roundings / 2 + 16 : 0;
  const double bound = c.exact_logits ? 0 : gamma(roundings + norm);
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
  const size_t experts = c.desc.experts;
  if (c.desc.score == MOE_SCORE_IDENTITY) {
    std::copy_n(logits, experts, p);
    std::copy_n(bounds, experts, p_bound);
  } else if (c.desc.score == MOE_SCORE_SIGMOID) {
    for (size_t e = 0; e < experts; ++e) {
      p[e] = sigmoid(logits[e]);
      p_bound[e] = p[e] * (1 - p[e]) * bounds[e] + p[e] * 2 * kUnit * (2 * std::fabs(logits[e]) + 12) + kSmallest;
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
  if (c.desc.route_source != MOE_ROUTE_FROM_ROUTER) return false;
  const size_t hidden = c.desc.hidden;
  const LayerWeights& w = c.weights;
  const float* row = w.router.data();
  return std::equal(row + a * hidden, row + (a + 1) * hidden, row + b * hidden) &&
         (w.router_bias.empty() || w.router_bias[a] == w.router_bias[b]) &&
         (w.selection_bias.empty() || w.selection_bias[a] == w.selection_bias[b]);
}

void select(const LayerCase& c, RouteOracle& route, size_t t) {
  const size_t experts = c.desc.experts, k = c.desc.top_k;
  const double* key = route.key.data() + t * experts;
  const double* bound = route.key_bound.data() + t * experts;
  std::vector<size_t> order(experts);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return before(key, a, b); });
  bool decided = true;
  for (size_t r = 0; r < k; ++r) {
    route.ids[t * k + r] = static_cast<int32_t>(order[r]);
    for (size_t j = r + 1; j < experts && decided; ++j) {
      const double error = std::max(bound[order[r]], bound[order[j]]);
      // Values without error, and infinite ones, are ordered exactly, ties by id.
      if (error == 0 || !std::isfinite(key[order[r]]) || !std::isfinite(key[order[j]])) continue;
      const double gap = key[order[r]] - key[order[j]];
      decided = gap > 2 * error || (gap == 0 && same_rows(c, order[r], order[j]));
    }
  }
  route.decided[t] = decided;
}

}  // namespace

RouteOracle route_oracle(const LayerCase& c) {
  const size_t tokens = c.tokens, experts = c.desc.experts, k = c.desc.top_k;
  RouteOracle route;
  route.decided.assign(tokens, 1);
  if (c.desc.route_source == MOE_ROUTE_DENSE) {
    route.ids.assign(tokens, 0);
    return route;
  }
  if (c.desc.route_source == MOE_ROUTE_FROM_IDS) {
    route.ids = c.inputs.ids;
    for (int32_t& id : route.ids) {
      if (id < 0 || id >= static_cast<int32_t>(experts)) id = -1;
    }
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
    if (c.desc.route_source == MOE_ROUTE_FROM_ROUTER) compute_logits(c, route);
    std::vector<double> p_bound(experts);
    route.key = route.logits;
    route.key_bound = route.logit_bound;
    for (size_t t = 0; t < tokens; ++t) {
      const size_t at = t * experts;
      compute_p(c, route.logits.data() + at, route.logit_bound.data() + at, route.p.data() + at, p_bound.data());
      for (size_t e = 0; e < experts; ++e) {
        if (!std::isfinite(route.logits[at + e])) p_bound[e] = 0;  // exactly 0 or 1, or no number at all
      }
      if (!has_flag(c.desc, MOE_LAYER_SELECTION_BIAS)) continue;  // selection on the logit itself
      for (size_t e = 0; e < experts; ++e) {
        route.key[at + e] = route.p[at + e] + static_cast<double>(c.weights.selection_bias[e]);
        const bool exact = c.exact_logits && c.desc.score == MOE_SCORE_IDENTITY;
        if (exact) continue;
        route.key_bound[at + e] = p_bound[e] + 2 * kUnit * (std::fabs(route.p[at + e]) + std::fabs(route.key[at + e]));
      }
    }
  }
  for (size_t t = 0; t < tokens; ++t) select(c, route, t);
  return route;
}

std::vector<double> weights_oracle(const LayerCase& c, const RouteOracle& route, const std::vector<int32_t>& ids) {
  const size_t experts = c.desc.experts, k = c.desc.top_k;
  const bool dense = c.desc.route_source == MOE_ROUTE_DENSE;
  const bool given = c.desc.route_source == MOE_ROUTE_FROM_IDS;
  std::vector<double> weights(ids.size(), 0);
  for (size_t t = 0; t < c.tokens; ++t) {
    double* w = weights.data() + t * k;
    const int32_t* id = ids.data() + t * k;
    for (size_t s = 0; s < k; ++s) {
      if (id[s] < 0) continue;
      w[s] = dense   ? 1
             : given ? static_cast<double>(c.inputs.weights[t * k + s])
                     : route.p[t * experts + static_cast<size_t>(id[s])];
    }
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
      const double eps = static_cast<double>(c.desc.normalize_eps);
      const double sum = std::accumulate(w, w + k, 0.0);
      const double divisor = c.desc.normalize == MOE_NORMALIZE_SUM_EPS ? sum + eps : std::max(sum, eps);
      for (size_t s = 0; s < k; ++s) w[s] /= divisor;
    }
    for (size_t s = 0; s < k; ++s) w[s] *= static_cast<double>(or_one(c.desc.routed_scale));
  }
  return weights;
}

namespace {

double activate(const moe_layer_desc& d, double g) {
  switch (d.activation) {
    case MOE_ACTIVATION_GELU_TANH:
      return 0.5 * g * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g)));
    case MOE_ACTIVATION_GELU_ERF: return 0.5 * g * (1 + std::erf(g / std::sqrt(2.0)));
    case MOE_ACTIVATION_RELU: return g > 0 ? g : 0;
    case MOE_ACTIVATION_RELU2: return g > 0 ? g * g : 0;
    default: return g * sigmoid(g);
  }
}

double gated(const moe_layer_desc& d, double g, double u) {
  const double limit =
      d.activation_limit > 0 ? static_cast<double>(d.activation_limit) : std::numeric_limits<double>::infinity();
  switch (d.activation) {
    case MOE_ACTIVATION_SWIGLU_OAI: {
      const double alpha =
          d.activation_alpha == 0 ? static_cast<double>(1.702f) : static_cast<double>(d.activation_alpha);
      g = std::min(g, limit);
      return g * sigmoid(alpha * g) * (std::clamp(u, -limit, limit) + static_cast<double>(d.activation_beta));
    }
    case MOE_ACTIVATION_SWIGLU_CLAMP_PRE: return activate(d, std::min(g, limit)) * std::clamp(u, -limit, limit);
    case MOE_ACTIVATION_SWIGLU_CLAMP_POST: return std::min(activate(d, g), limit) * std::clamp(u, -limit, limit);
    default: return activate(d, g) * u;
  }
}

// One feed-forward network: its matrices, biases (may be NULL) and width.
struct Network {
  const float *gate, *up, *down, *gate_bias, *up_bias, *down_bias;
  size_t width;
};

struct Dot {
  double sum = 0, squares = 0;
};
Dot dot(const double* x, const float* w, const float* bias, size_t index, size_t count) {
  Dot result;
  for (size_t i = 0; i < count; ++i) {
    const double term = x[i] * static_cast<double>(w[index * count + i]);
    result.sum += term;
    result.squares += term * term;
  }
  if (bias != nullptr) result.sum += static_cast<double>(bias[index]);
  return result;
}

// y += weight * network(x); square += the same with independent terms: what y would be without
// cancellation.
void add_network(const moe_layer_desc& d, const Network& n, const double* x, double weight, double* y, double* square) {
  const size_t hidden = d.hidden;
  std::vector<double> h(n.width), typical(n.width);
  for (size_t f = 0; f < n.width; ++f) {
    const Dot up = dot(x, n.up, n.up_bias, f, hidden);
    if (n.gate == nullptr) {
      h[f] = activate(d, up.sum);
      typical[f] = activate(d, std::sqrt(up.squares));
    } else {
      const Dot gate = dot(x, n.gate, n.gate_bias, f, hidden);
      h[f] = gated(d, gate.sum, up.sum);
      typical[f] = gated(d, std::sqrt(gate.squares), std::sqrt(up.squares));
    }
    typical[f] = std::max(std::fabs(h[f]), std::fabs(typical[f]) / 2);
  }
  for (size_t i = 0; i < hidden; ++i) {
    y[i] += weight * dot(h.data(), n.down, n.down_bias, i, n.width).sum;
    square[i] += weight * weight * dot(typical.data(), n.down, nullptr, i, n.width).squares;
  }
}

}  // namespace

OutputOracle output_oracle(const LayerCase& c, const std::vector<int32_t>& ids, const std::vector<double>& weights) {
  const moe_layer_desc& d = c.desc;
  const LayerWeights& w = c.weights;
  const size_t hidden = d.hidden, width = d.intermediate, k = d.top_k;
  const std::vector<double> x = input_of(c);
  const auto at = [](const std::vector<float>& values, size_t offset) {
    return values.empty() ? nullptr : values.data() + offset;
  };
  OutputOracle out;
  out.y.assign(c.tokens * hidden, 0);
  out.typical.assign(c.tokens * hidden, 0);
  for (size_t t = 0; t < c.tokens; ++t) {
    const double* row = x.data() + t * hidden;
    double* y = out.y.data() + t * hidden;
    double* square = out.typical.data() + t * hidden;
    for (size_t s = 0; s < k; ++s) {
      if (ids[t * k + s] < 0) continue;
      const size_t e = static_cast<size_t>(ids[t * k + s]);
      const Network expert{at(w.gate, e * width * hidden),
                           at(w.up, e * width * hidden),
                           at(w.down, e * width * hidden),
                           at(w.gate_bias, e * width),
                           at(w.up_bias, e * width),
                           at(w.down_bias, e * hidden),
                           width};
      add_network(d, expert, row, weights[t * k + s], y, square);
    }
    if (d.shared_intermediate != 0) {
      const Network shared{at(w.shared_gate, 0), at(w.shared_up, 0), at(w.shared_down, 0), nullptr, nullptr, nullptr,
                           d.shared_intermediate};
      double scale = 1;
      if (d.shared_gate == MOE_SHARED_GATE_SIGMOID)
        scale = sigmoid(dot(row, w.shared_router.data(), nullptr, 0, hidden).sum);
      if (d.shared_gate == MOE_SHARED_GATE_CONSTANT) scale = static_cast<double>(d.shared_constant);
      add_network(d, shared, row, scale, y, square);
    }
    for (size_t i = 0; i < hidden; ++i) {
      y[i] *= static_cast<double>(or_one(d.out_scale));
      square[i] = std::sqrt(square[i]) * std::fabs(static_cast<double>(or_one(d.out_scale)));
      if (!c.inputs.residual.empty()) {
        y[i] += static_cast<double>(c.inputs.beta) * static_cast<double>(c.inputs.residual[t * hidden + i]);
      }
    }
  }
  return out;
}

}  // namespace moe_conformance
