// SPDX-License-Identifier: MIT
//
// The float64 formula of the experts and the combination, given the routes, as docs/semantics.md has it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "tests/conformance/oracle.h"

namespace moe_conformance {
namespace {

double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

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
  const size_t hidden = n.hidden;
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

std::vector<double> project(const std::vector<float>& matrix, const double* x, size_t rows, size_t columns) {
  std::vector<double> y(rows);
  for (size_t i = 0; i < rows; ++i) y[i] = dot(x, matrix.data(), nullptr, i, columns).sum;
  return y;
}

// y += latent.up * RMSNorm(z), likewise square.
void leave_latent_space(const LayerCase& c, std::vector<double> z, std::vector<double> z_square, double* y,
                        double* square) {
  const size_t latent = c.desc.latent;
  double scale = 1, squares = 0;
  if (has_flag(c.desc, MOE_LAYER_LATENT_NORM)) {
    const double eps = c.desc.norm_eps == 0 ? static_cast<double>(1e-6f) : static_cast<double>(c.desc.norm_eps);
    for (double value : z) squares += value * value;
    scale = 1 / std::sqrt(squares / static_cast<double>(latent) + eps);
  }
  for (size_t i = 0; i < latent; ++i) {
    const double factor = c.weights.latent_norm.empty() ? scale : scale * static_cast<double>(c.weights.latent_norm[i]);
    z[i] *= factor;
    z_square[i] = std::sqrt(z_square[i]) * factor;
  }
  for (size_t i = 0; i < c.desc.hidden; ++i) {
    y[i] += dot(z.data(), c.weights.latent_up.data(), nullptr, i, latent).sum;
    square[i] += dot(z_square.data(), c.weights.latent_up.data(), nullptr, i, latent).squares;
  }
}

}  // namespace

OutputOracle output_oracle(const LayerCase& c, const std::vector<int32_t>& ids, const std::vector<double>& weights) {
  const moe_layer_desc& d = c.desc;
  const LayerWeights& w = c.weights;
  const size_t hidden = d.hidden, inner = expert_hidden(d), width = d.intermediate, k = d.top_k;
  const std::vector<double> x = layer_input(c);
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
    std::vector<double> latent, sum, sum_square;  // of routed experts, where they have a space of their own
    if (d.latent != 0) {
      latent = project(w.latent_down, row, inner, hidden);
      sum.resize(inner);
      sum_square.resize(inner);
    }
    const double* routed_row = d.latent != 0 ? latent.data() : row;
    double* routed_y = d.latent != 0 ? sum.data() : y;
    double* routed_square = d.latent != 0 ? sum_square.data() : square;
    for (size_t s = 0; s < k; ++s) {
      if (ids[t * k + s] < 0) continue;
      const size_t e = static_cast<size_t>(ids[t * k + s]);
      // Weights are handed to the host as float32: that is their value everywhere.
      const double weight = static_cast<double>(static_cast<float>(weights[t * k + s]));
      if (e >= d.experts) {  // an identity expert
        for (size_t i = 0; i < hidden; ++i) {
          y[i] += weight * row[i];
          square[i] += weight * row[i] * weight * row[i];
        }
        continue;
      }
      const Network expert{at(w.gate, e * width * inner),
                           at(w.up, e * width * inner),
                           at(w.down, e * width * inner),
                           at(w.gate_bias, e * width),
                           at(w.up_bias, e * width),
                           at(w.down_bias, e * inner),
                           inner,
                           width};
      if (has_flag(d, MOE_LAYER_WEIGHT_ON_INPUT)) {
        std::vector<double> weighted(routed_row, routed_row + inner);
        for (double& value : weighted) value *= weight;
        add_network(d, expert, weighted.data(), 1, routed_y, routed_square);
      } else {
        add_network(d, expert, routed_row, weight, routed_y, routed_square);
      }
    }
    if (d.latent != 0) leave_latent_space(c, sum, sum_square, y, square);
    if (d.shared_intermediate != 0) {
      const Network shared{
          at(w.shared_gate, 0), at(w.shared_up, 0), at(w.shared_down, 0), nullptr, nullptr, nullptr, hidden,
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
