// SPDX-License-Identifier: MIT
//
// The float64 formula of the experts and the combination, given the routes, as docs/semantics.md has it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "tests/conformance/numbers.h"
#include "tests/conformance/oracle.h"
#include "tests/conformance/rounded_row.h"

namespace moe_conformance {
namespace {

double activate(const moe_layer_desc& d, double g) {
  switch (d.activation) {
    case MOE_ACTIVATION_GELU_TANH:
      return 0.5 * g * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g)));
    case MOE_ACTIVATION_GELU_ERF: return 0.5 * g * (1 + std::erf(g / std::sqrt(2.0)));
    case MOE_ACTIVATION_RELU: return g > 0 || std::isnan(g) ? g : 0;
    case MOE_ACTIVATION_RELU2: return g > 0 || std::isnan(g) ? g * g : 0;
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
    case MOE_ACTIVATION_SITU: {
      const double alpha = d.activation_alpha == 0 ? 4 : static_cast<double>(d.activation_alpha);
      const double beta = static_cast<double>(d.activation_beta);
      return alpha * std::tanh(g / alpha) * sigmoid(g) * (beta > 0 ? beta * std::tanh(u / beta) : u);
    }
    case MOE_ACTIVATION_SWIGLU_CLAMP_PRE: return activate(d, std::min(g, limit)) * std::clamp(u, -limit, limit);
    case MOE_ACTIVATION_SWIGLU_CLAMP_POST: return std::min(activate(d, g), limit) * std::clamp(u, -limit, limit);
    default: return activate(d, g) * u;
  }
}

// One feed-forward network: its matrices, biases (may be NULL) and widths.
struct Network {
  const float *gate, *up, *down, *gate_bias, *up_bias, *down_bias;
  size_t hidden, width;
};

struct Dot {
  double sum = 0, squares = 0;
  double slack = 0;  // of the sum in float32
};
Dot dot(const Row& x, const float* w, const float* bias, size_t index) {
  Dot result;
  const size_t count = x.value.size();
  double absolute = 0;
  for (size_t i = 0; i < count; ++i) {
    const double weight = static_cast<double>(w[index * count + i]);
    const double term = x.value[i] * weight;
    result.sum += term;
    result.squares += term * term;
    absolute += std::fabs(term);
    result.slack += x.slack[i] * std::fabs(weight);
  }
  if (bias != nullptr) {
    result.sum += static_cast<double>(bias[index]);
    absolute += std::fabs(static_cast<double>(bias[index]));
  }
  result.slack += kFloatLoss * absolute;
  return result;
}

// Sums over slots: y; the same with independent terms, what y would be without cancellation, squared; and how far
// values that may be rounded either way can take y.
struct Sum {
  Row y;
  std::vector<double> square;

  explicit Sum(size_t columns) : y(columns), square(columns) {}
};

// act(gate, up) at the four corners of what float32 may have: how far it is from the middle.
double activation_slack(const moe_layer_desc& d, const Dot& gate, const Dot& up, bool has_gate, double h) {
  double slack = 0;
  for (const double g : {-1.0, 1.0}) {
    for (const double u : {-1.0, 1.0}) {
      const double moved =
          has_gate ? gated(d, gate.sum + g * gate.slack, up.sum + u * up.slack) : activate(d, up.sum + u * up.slack);
      slack = std::max(slack, std::fabs(moved - h));
    }
  }
  return slack + kFloatLoss * std::fabs(h);
}

// sum += weight * network(x); x is as the layer's precision has it, and scaled by input_weight.
void add_network(const moe_layer_desc& d, const Network& n, const Row& x, double input_weight, double weight,
                 Sum* sum) {
  Row h(n.width);
  std::vector<double> typical(n.width);
  const auto weighted_dot = [&](const float* w, const float* bias, size_t f) {
    Dot result = dot(x, w, nullptr, f);
    result.sum = result.sum * input_weight + (bias != nullptr ? static_cast<double>(bias[f]) : 0);
    result.squares *= input_weight * input_weight;
    result.slack = result.slack * std::fabs(input_weight) + kFloatLoss * std::fabs(result.sum);
    return result;
  };
  for (size_t f = 0; f < n.width; ++f) {
    const Dot up = weighted_dot(n.up, n.up_bias, f);
    const Dot gate = n.gate == nullptr ? up : weighted_dot(n.gate, n.gate_bias, f);
    if (n.gate == nullptr) {
      h.value[f] = activate(d, up.sum);
      typical[f] = activate(d, std::sqrt(up.squares));
    } else {
      h.value[f] = gated(d, gate.sum, up.sum);
      typical[f] = gated(d, std::sqrt(gate.squares), std::sqrt(up.squares));
    }
    h.slack[f] = activation_slack(d, gate, up, n.gate != nullptr, h.value[f]);
    typical[f] = std::max(std::fabs(h.value[f]), std::fabs(typical[f]) / 2);
  }
  h = rounded(d.precision, std::move(h));
  for (size_t i = 0; i < n.hidden; ++i) {
    const Dot out = dot(h, n.down, n.down_bias, i);
    sum->y.value[i] += weight * out.sum;
    sum->y.slack[i] += std::fabs(weight) * out.slack;
    double squares = 0;
    for (size_t f = 0; f < n.width; ++f) {
      const double term = typical[f] * static_cast<double>(n.down[i * n.width + f]);
      squares += term * term;
    }
    sum->square[i] += weight * weight * squares;
  }
}

// x times latent.down: what routed experts of a latent layer read.
Row into_latent_space(const LayerCase& c, const Row& x) {
  Row latent(c.desc.latent);
  for (size_t i = 0; i < latent.value.size(); ++i) {
    const Dot one = dot(x, c.weights.latent_down.data(), nullptr, i);
    latent.value[i] = one.sum;
    latent.slack[i] = one.slack;
  }
  return rounded(c.desc.precision, std::move(latent));
}

// y += latent.up * RMSNorm(z), likewise its square.
void leave_latent_space(const LayerCase& c, Sum routed, Sum* sum) {
  const size_t latent = c.desc.latent;
  Row z = rounded(c.desc.precision, std::move(routed.y));
  double scale = 1, squares = 0, moved = 0;
  if (has_flag(c.desc, MOE_LAYER_LATENT_NORM)) {
    const double eps = c.desc.norm_eps == 0 ? static_cast<double>(1e-6f) : static_cast<double>(c.desc.norm_eps);
    for (size_t i = 0; i < latent; ++i) {
      squares += z.value[i] * z.value[i];
      moved += std::fabs(z.value[i]) * z.slack[i];
    }
    scale = 1 / std::sqrt(squares / static_cast<double>(latent) + eps);
  }
  const double scale_share = squares > 0 ? moved / squares : 0;  // how far the scale may be away
  Row typical(latent);
  for (size_t i = 0; i < latent; ++i) {
    const double factor = c.weights.latent_norm.empty() ? scale : scale * static_cast<double>(c.weights.latent_norm[i]);
    z.value[i] *= factor;
    z.slack[i] = z.slack[i] * std::fabs(factor) + std::fabs(z.value[i]) * scale_share;
    typical.value[i] = std::sqrt(routed.square[i]) * factor;
  }
  for (size_t i = 0; i < c.desc.hidden; ++i) {
    const Dot out = dot(z, c.weights.latent_up.data(), nullptr, i);
    sum->y.value[i] += out.sum;
    sum->y.slack[i] += out.slack;
    sum->square[i] += dot(typical, c.weights.latent_up.data(), nullptr, i).squares;
  }
}

double shared_scale(const LayerCase& c, const Row& x) {
  switch (c.desc.shared_gate) {
    case MOE_SHARED_GATE_SIGMOID: return sigmoid(dot(x, c.weights.shared_router.data(), nullptr, 0).sum);
    case MOE_SHARED_GATE_CONSTANT: return static_cast<double>(c.desc.shared_constant);
    default: return 1;
  }
}

const float* at(const std::vector<float>& values, size_t offset) {
  return values.empty() ? nullptr : values.data() + offset;
}

Network routed_expert(const LayerCase& c, size_t e) {
  const LayerWeights& w = c.weights;
  const size_t inner = expert_hidden(c.desc), width = c.desc.intermediate;
  return {at(w.gate, e * width * inner),
          at(w.up, e * width * inner),
          at(w.down, e * width * inner),
          at(w.gate_bias, e * width),
          at(w.up_bias, e * width),
          at(w.down_bias, e * inner),
          inner,
          width};
}

// One token. ids and weights are its k.
Sum token_output(const LayerCase& c, const Row& x, const int32_t* ids, const double* weights) {
  const moe_layer_desc& d = c.desc;
  const Row read = rounded(d.precision, x);
  const Row inner = d.latent != 0 ? into_latent_space(c, read) : read;
  Sum sum(d.hidden), in_latent(d.latent);
  for (size_t s = 0; s < d.top_k; ++s) {
    if (ids[s] < 0) continue;
    // Weights are handed to the host as float32: that is their value everywhere.
    const double weight = static_cast<double>(static_cast<float>(weights[s]));
    if (static_cast<uint32_t>(ids[s]) >= d.experts) {  // an identity expert
      for (size_t i = 0; i < d.hidden; ++i) {
        sum.y.value[i] += weight * x.value[i];
        sum.square[i] += weight * x.value[i] * weight * x.value[i];
      }
      continue;
    }
    const bool on_input = has_flag(d, MOE_LAYER_WEIGHT_ON_INPUT);
    add_network(d, routed_expert(c, static_cast<size_t>(ids[s])), inner, on_input ? weight : 1, on_input ? 1 : weight,
                d.latent != 0 ? &in_latent : &sum);
  }
  if (d.latent != 0) leave_latent_space(c, std::move(in_latent), &sum);
  if (d.shared_intermediate != 0) {
    const LayerWeights& w = c.weights;
    const Network shared{
        at(w.shared_gate, 0), at(w.shared_up, 0), at(w.shared_down, 0), nullptr, nullptr, nullptr, d.hidden,
        d.shared_intermediate};
    add_network(d, shared, read, 1, shared_scale(c, x), &sum);
  }
  return sum;
}

}  // namespace

OutputOracle output_oracle(const LayerCase& c, const std::vector<int32_t>& ids, const std::vector<double>& weights) {
  const moe_layer_desc& d = c.desc;
  const size_t hidden = d.hidden, k = d.top_k;
  const std::vector<double> all = layer_input(c);
  const double scale = static_cast<double>(or_one(d.out_scale));
  OutputOracle out;
  for (size_t t = 0; t < c.tokens; ++t) {
    Row x(hidden);
    for (size_t i = 0; i < hidden; ++i) {
      x.value[i] = all[t * hidden + i];
      if (has_flag(d, MOE_LAYER_INPUT_NORM)) x.slack[i] = kFloatLoss * std::fabs(x.value[i]);
    }
    const Sum sum = token_output(c, x, &ids[t * k], &weights[t * k]);
    for (size_t i = 0; i < hidden; ++i) {
      double y = sum.y.value[i] * scale;
      if (!c.inputs.residual.empty()) {
        y += static_cast<double>(c.inputs.beta) * static_cast<double>(c.inputs.residual[t * hidden + i]);
      }
      out.y.push_back(y);
      out.typical.push_back(std::sqrt(sum.square[i]) * std::fabs(scale));
      out.slack.push_back(d.precision == MOE_PRECISION_EXACT ? 0 : sum.y.slack[i] * std::fabs(scale));
    }
  }
  return out;
}

uint64_t uncertain_tokens(const LayerCase& c, const OutputOracle& output, double share) {
  double largest = 0;
  for (const double y : output.y) {
    if (std::isfinite(y)) largest = std::max(largest, std::fabs(y));
  }
  uint64_t count = 0;
  const auto hidden = static_cast<std::ptrdiff_t>(c.desc.hidden);
  for (auto row = output.slack.begin(); row != output.slack.end(); row += hidden) {
    if (*std::max_element(row, row + hidden) > share * largest) ++count;
  }
  return count;
}

}  // namespace moe_conformance
