// SPDX-License-Identifier: MIT
//
// The experts and the combination of docs/semantics.md, and the stages of the ABI.
#include "runtime/reference/reference_layer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>

#include "runtime/reference/reference_precision.h"
#include "runtime/reference/reference_route.h"

namespace moevk {
namespace {

double silu(double x) { return x * sigmoid(x); }

double activate(const moe_layer_desc& d, bool gated, double gate, double up) {
  const double limit = d.activation_limit;
  if (d.activation >= MOE_ACTIVATION_SWIGLU_OAI && limit > 0) {
    if (!std::isnan(up)) up = std::clamp(up, -limit, limit);
    if (d.activation != MOE_ACTIVATION_SWIGLU_CLAMP_POST && gate > limit) gate = limit;
  }
  double a = 0;
  switch (d.activation) {
    case MOE_ACTIVATION_GELU_TANH:
      a = 0.5 * gate * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (gate + 0.044715 * gate * gate * gate)));
      break;
    case MOE_ACTIVATION_GELU_ERF: a = 0.5 * gate * std::erfc(-gate / std::sqrt(2.0)); break;
    case MOE_ACTIVATION_RELU: a = gate < 0 ? 0 : gate; break;
    case MOE_ACTIVATION_RELU2: a = gate < 0 ? 0 : gate * gate; break;
    case MOE_ACTIVATION_SWIGLU_OAI: return gate * sigmoid(d.activation_alpha * gate) * (up + d.activation_beta);
    case MOE_ACTIVATION_SITU: {
      const double alpha = d.activation_alpha, beta = d.activation_beta;
      if (beta > 0) up = beta * std::tanh(up / beta);
      return alpha * std::tanh(gate / alpha) * sigmoid(gate) * up;
    }
    case MOE_ACTIVATION_SWIGLU_CLAMP_POST:
      a = silu(gate);
      if (limit > 0 && a > limit) a = limit;
      break;
    default: a = silu(gate);
  }
  return gated ? a * up : a;
}

// One expert's matrix, [rows, columns].
struct DecodedMatrix {
  uint32_t columns;
  std::vector<float> values;

  double dot(uint32_t row, const std::vector<double>& x) const {
    const float* const weights = values.data() + uint64_t{row} * columns;
    double sum = 0;
    for (uint32_t c = 0; c < columns; ++c) sum += weights[c] * x[c];
    return sum;
  }
  std::vector<double> multiply(const std::vector<double>& x) const {
    std::vector<double> y(values.size() / columns);
    for (uint32_t row = 0; row < y.size(); ++row) y[row] = dot(row, x);
    return y;
  }
};

// The weights during one call. A matrix is decoded once for the tokens that read it, and kept while there is room.
class CallWeights {
 public:
  explicit CallWeights(const ReferenceWeights& stored) : stored(stored) {}
  const ReferenceWeights& stored;

  std::shared_ptr<const DecodedMatrix> matrix(uint32_t segment, uint32_t kind, uint32_t expert) {
    std::shared_ptr<const DecodedMatrix>& known = decoded_[{segment, kind, expert}];
    if (known != nullptr) return known;
    const ReferenceMatrix& m = stored.matrix[segment][kind];
    DecodedMatrix made{m.columns, std::vector<float>(uint64_t{m.rows} * m.columns)};
    for (uint32_t row = 0; row < m.rows; ++row) {
      decode_row(m.format, m.row(expert, row), m.columns, made.values.data() + uint64_t{row} * m.columns);
    }
    const auto shared = std::make_shared<const DecodedMatrix>(std::move(made));
    elements_ += shared->values.size();
    if (elements_ > kMostElements) {
      decoded_.clear();
      elements_ = 0;
    } else {
      known = shared;
    }
    return shared;
  }

 private:
  static constexpr uint64_t kMostElements = 1 << 25;  // 128 MiB
  uint64_t elements_ = 0;
  std::map<std::array<uint32_t, 3>, std::shared_ptr<const DecodedMatrix>> decoded_;
};

// One expert's feed-forward network on one token.
std::vector<double> feed_forward(const LayerSpec& spec, CallWeights& weights, uint32_t expert,
                                 const std::vector<double>& x) {
  const uint32_t index = spec.segments == 2 && expert >= spec.segment[1].first_expert ? 1 : 0;
  const Segment& s = spec.segment[index];
  const uint32_t local = expert - s.first_expert;
  const auto ups = weights.matrix(index, 1, local);
  const auto gates = spec.gated ? weights.matrix(index, 0, local) : nullptr;
  const auto vector = [&](VectorKind kind) { return weights.stored.vector(kind) + uint64_t{local} * s.intermediate; };
  const bool biased = spec.has(MOE_LAYER_EXPERT_BIAS) && expert < spec.desc.experts;
  std::vector<double> h(s.intermediate);
  for (uint32_t f = 0; f < s.intermediate; ++f) {
    double up = ups->dot(f, x);
    if (biased) up += vector(VectorKind::kUpBias)[f];
    double gate = up;
    if (spec.gated) {
      gate = gates->dot(f, x);
      if (biased) gate += vector(VectorKind::kGateBias)[f];
    }
    h[f] = activate(spec.desc, spec.gated, gate, up);
  }
  std::vector<double> out =
      weights.matrix(index, 2, local)->multiply(rounded_activations(spec.desc.precision, std::move(h)));
  for (uint32_t c = 0; c < out.size() && biased; ++c) {
    out[c] += weights.stored.vector(VectorKind::kDownBias)[uint64_t{local} * out.size() + c];
  }
  return out;
}

// What experts read of a token: identity ones x, shared ones x as the precision has it, routed ones likewise x or its
// row in the latent space.
struct ExpertInput {
  std::vector<double> x, shared, routed;
};

// weight * FFN of one route; of an identity expert weight * x. Zeros where the route is skipped.
std::vector<double> route_output(const LayerSpec& spec, CallWeights& weights, int32_t id, double weight,
                                 const ExpertInput& input) {
  if (id < 0 || id >= static_cast<int32_t>(spec.host_ids())) return {};
  const auto expert = static_cast<uint32_t>(spec.device_id(id));
  const bool identity = expert >= spec.experts_total;
  std::vector<double> x = identity ? input.x : expert < spec.desc.experts ? input.routed : input.shared;
  const bool on_input = identity || (spec.has(MOE_LAYER_WEIGHT_ON_INPUT) && expert < spec.desc.experts);
  if (on_input) {
    for (double& value : x) value *= weight;
  }
  if (identity) return x;
  std::vector<double> out = feed_forward(spec, weights, expert, x);
  if (!on_input) {
    for (double& value : out) value *= weight;
  }
  return out;
}

ExpertInput expert_input(const LayerSpec& spec, CallWeights& weights, const Call& call, uint64_t token) {
  ExpertInput input;
  input.x.resize(spec.desc.hidden);
  for (uint32_t h = 0; h < spec.desc.hidden; ++h) input.x[h] = element(call.view(ViewId::kX), token, h);
  normalise_input(spec, weights.stored, &input.x);
  input.routed = input.shared = rounded_activations(spec.desc.precision, input.x);
  if (spec.latent()) {
    const std::vector<double> latent = weights.matrix(spec.segments, 1, 0)->multiply(input.shared);
    input.routed = rounded_activations(spec.desc.precision, latent);
  }
  return input;
}

// A token's sums over slots.
struct TokenSum {
  std::vector<double> z;       // in the latent space, where there is one: of routed experts only
  std::vector<double> beside;  // [hidden]

  explicit TokenSum(const LayerSpec& spec) : z(spec.segment[0].hidden), beside(spec.desc.hidden) {}
  void add(const LayerSpec& spec, int32_t id, uint32_t column, double value) {
    const bool routed = spec.device_id(id) < static_cast<int32_t>(spec.desc.experts);
    if (!spec.latent() || !routed) {
      beside[column] += value;
    } else if (column < z.size()) {
      z[column] += value;
    }
  }
};

void store_y(const LayerSpec& spec, CallWeights& weights, const Call& call, uint64_t token, TokenSum sum) {
  if (spec.latent()) {
    sum.z = rounded_activations(spec.desc.precision, std::move(sum.z));
    if (spec.has(MOE_LAYER_LATENT_NORM)) {
      rms_normalise(weights.stored.vector(VectorKind::kLatentNorm), spec.desc.norm_eps, &sum.z);
    }
    const std::vector<double> up = weights.matrix(spec.segments, 2, 0)->multiply(sum.z);
    for (uint32_t c = 0; c < spec.desc.hidden; ++c) sum.beside[c] += up[c];
  }
  for (uint32_t c = 0; c < spec.desc.hidden; ++c) {
    double y = sum.beside[c] * spec.desc.out_scale;
    if (call.has(ViewId::kResidual)) y += double{call.beta} * element(call.view(ViewId::kResidual), token, c);
    store(call.view(ViewId::kY), token, c, y);
  }
}

void run_token(const LayerSpec& spec, CallWeights& weights, const Call& call, uint64_t token,
               const ReferenceRoutes& routes, std::vector<int32_t>* counts) {
  if (call.has(ViewId::kIds)) {
    for (uint64_t slot = 0; slot < call.view(ViewId::kIds).columns; ++slot) {
      store_integer(call.view(ViewId::kIds), token, slot, routes.ids[slot]);
    }
  }
  if (call.has(ViewId::kWeights)) {
    for (uint64_t slot = 0; slot < call.view(ViewId::kWeights).columns; ++slot) {
      store(call.view(ViewId::kWeights), token, slot, routes.weights[slot]);
    }
  }
  for (uint32_t slot = 0; slot < spec.desc.top_k; ++slot) {
    if (routes.ids[slot] >= 0) ++(*counts)[static_cast<size_t>(routes.ids[slot])];
  }
  if (call.stage != Stage::kForward) return;
  const ExpertInput x = expert_input(spec, weights, call, token);
  TokenSum sum(spec);
  for (uint32_t slot = 0; slot < spec.slots; ++slot) {
    // The weight is handed to the host, and between stages, as f32: that is its value in forward too.
    const double weight = static_cast<float>(routes.weights[slot]);
    const std::vector<double> out = route_output(spec, weights, routes.ids[slot], weight, x);
    for (uint32_t c = 0; c < out.size(); ++c) sum.add(spec, routes.ids[slot], c, static_cast<float>(out[c]));
  }
  store_y(spec, weights, call, token, std::move(sum));
}

// Routes that find their expert full get the id -1. All first choices are served before any second.
void drop_routes(const LayerSpec& spec, std::vector<ReferenceRoutes>* routes) {
  std::vector<uint32_t> places(spec.desc.experts, spec.expert_capacity(routes->size()));
  for (uint32_t slot = 0; slot < spec.desc.top_k; ++slot) {
    for (ReferenceRoutes& token : *routes) {
      const auto expert = static_cast<uint32_t>(token.ids[slot]);
      if (expert >= spec.desc.experts) continue;
      if (places[expert] == 0) {
        token.ids[slot] = -1;
      } else {
        --places[expert];
      }
    }
  }
}

void run_routes(const LayerSpec& spec, CallWeights& weights, const Call& call) {
  std::vector<int32_t> counts(spec.candidates(), 0);
  const bool limited = spec.desc.capacity != MOE_CAPACITY_NONE;  // which takes the routes of all tokens at once
  std::vector<ReferenceRoutes> all;
  for (uint64_t token = 0; token < call.tokens && limited; ++token) {
    all.push_back(route_token(spec, weights.stored, call, token));
  }
  if (limited) drop_routes(spec, &all);
  for (uint64_t token = 0; token < call.tokens; ++token) {
    run_token(spec, weights, call, token, limited ? all[token] : route_token(spec, weights.stored, call, token),
              &counts);
  }
  if (!call.has(ViewId::kCounts)) return;
  for (uint32_t e = 0; e < spec.candidates(); ++e) store_integer(call.view(ViewId::kCounts), 0, e, counts[e]);
}

void run_plan_dispatch(const LayerSpec& spec, const Call& call) {
  const uint64_t routes = call.tokens * spec.slots;
  const auto id_of = [&](uint64_t route) {
    return integer(call.view(ViewId::kIds), route / spec.slots, route % spec.slots);
  };
  uint64_t position = 0;
  for (uint32_t e = 0; e < spec.experts_total; ++e) {
    store_integer(call.view(ViewId::kOffsets), 0, e, static_cast<int32_t>(position));
    for (uint64_t route = 0; route < routes; ++route) {
      if (spec.device_id(id_of(route)) != static_cast<int32_t>(e)) continue;
      store_integer(call.view(ViewId::kOrder), 0, position++, static_cast<int32_t>(route));
    }
  }
  store_integer(call.view(ViewId::kOffsets), 0, spec.experts_total, static_cast<int32_t>(position));
  for (; position < routes; ++position) store_integer(call.view(ViewId::kOrder), 0, position, -1);
  for (uint32_t e = 0; e < spec.candidates() && call.has(ViewId::kCounts); ++e) {
    int32_t count = 0;
    for (uint64_t route = 0; route < routes; ++route) count += id_of(route) == static_cast<int32_t>(e) ? 1 : 0;
    store_integer(call.view(ViewId::kCounts), 0, e, count);
  }
}

void run_experts(const LayerSpec& spec, CallWeights& weights, const Call& call) {
  for (uint64_t token = 0; token < call.tokens; ++token) {
    const ExpertInput x = expert_input(spec, weights, call, token);
    for (uint32_t slot = 0; slot < spec.slots; ++slot) {
      const uint64_t row = token * spec.slots + slot;
      const std::vector<double> out = route_output(spec, weights, integer(call.view(ViewId::kIds), token, slot),
                                                   element(call.view(ViewId::kWeights), token, slot), x);
      for (uint32_t c = 0; c < spec.desc.hidden; ++c) {
        store(call.view(ViewId::kExpertOut), row, c, c < out.size() ? out[c] : 0);
      }
    }
  }
}

void run_combine(const LayerSpec& spec, CallWeights& weights, const Call& call) {
  for (uint64_t token = 0; token < call.tokens; ++token) {
    TokenSum sum(spec);
    for (uint32_t slot = 0; slot < spec.slots; ++slot) {
      const int32_t id = integer(call.view(ViewId::kIds), token, slot);
      if (id < 0 || id >= static_cast<int32_t>(spec.host_ids())) continue;
      for (uint32_t c = 0; c < spec.desc.hidden; ++c)
        sum.add(spec, id, c, element(call.view(ViewId::kExpertOut), token * spec.slots + slot, c));
    }
    store_y(spec, weights, call, token, std::move(sum));
  }
}

}  // namespace

void run_reference(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call) {
  CallWeights during(weights);
  switch (call.stage) {
    case Stage::kForward:
    case Stage::kRoute: run_routes(spec, during, call); break;
    case Stage::kPlanDispatch: run_plan_dispatch(spec, call); break;
    case Stage::kExperts: run_experts(spec, during, call); break;
    case Stage::kCombine: run_combine(spec, during, call); break;
  }
}

}  // namespace moevk
