// SPDX-License-Identifier: MIT
//
// The layer of docs/semantics.md, in its order: router, scores, selection, weights, experts, combination.
// f32 appears only where the contract says so: logits and scores are rounded to f32 before they are compared, so
// that ties are ties everywhere.
#include "runtime/reference/reference_layer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace moevk {
namespace {

double element(const View& v, uint64_t row, uint64_t column) {
  return load_element(v.dtype, v.host + row * v.stride_bytes, column);
}
int32_t integer(const View& v, uint64_t row, uint64_t column) {
  int32_t value;
  std::memcpy(&value, v.host + row * v.stride_bytes + column * 4, 4);
  return value;
}
void store(const View& v, uint64_t row, uint64_t column, double value) {
  store_element(v.dtype, v.host + row * v.stride_bytes, column, static_cast<float>(value));
}
void store_integer(const View& v, uint64_t row, uint64_t column, int32_t value) {
  std::memcpy(v.host + row * v.stride_bytes + column * 4, &value, 4);
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
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
    case MOE_ACTIVATION_SWIGLU_CLAMP_POST:
      a = silu(gate);
      if (limit > 0 && a > limit) a = limit;
      break;
    default: a = silu(gate);
  }
  return gated ? a * up : a;
}

// Descending order of selection: NaN below -infinity, -0 equal to 0.
uint32_t sortable_key(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return 0;
  if (bits == 0x80000000u) bits = 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

struct Routes {
  std::vector<int32_t> ids;      // [slots], -1: skipped
  std::vector<double> weights;   // [slots]
};

class TokenRouter {
 public:
  TokenRouter(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token)
      : spec_(spec), d_(spec.desc), weights_(weights), call_(call), token_(token) {}

  Routes route() {
    if (d_.route_source == MOE_ROUTE_FROM_ROUTER) compute_logits();
    if (d_.route_source == MOE_ROUTE_FROM_LOGITS) take(ViewId::kLogitsIn, &logits_);
    if (d_.route_source <= MOE_ROUTE_FROM_LOGITS) score();
    if (d_.route_source == MOE_ROUTE_FROM_SCORES) take(ViewId::kScoresIn, &selection_);
    select();
    weigh();
    add_shared();
    return std::move(routes_);
  }

 private:
  std::vector<double> input() const {
    std::vector<double> x(d_.hidden);
    for (uint32_t h = 0; h < d_.hidden; ++h) x[h] = element(call_.view(ViewId::kX), token_, h);
    return x;
  }

  double router_row(uint32_t row) const {
    const std::vector<float>& router = weights_.vector(VectorKind::kRouter);
    double sum = 0;
    for (uint32_t h = 0; h < d_.hidden; ++h) sum += x_[h] * router[uint64_t{row} * d_.hidden + h];
    return sum;
  }

  void compute_logits();
  void take(ViewId id, std::vector<float>* out) const {
    out->resize(d_.experts);
    for (uint32_t e = 0; e < d_.experts; ++e) (*out)[e] = static_cast<float>(element(call_.view(id), token_, e));
  }
  void score();
  void select();
  void weigh();
  void add_shared();

  const LayerSpec& spec_;
  const moe_layer_desc& d_;
  const ReferenceWeights& weights_;
  const Call& call_;
  uint64_t token_;
  std::vector<double> x_;
  std::vector<float> logits_;
  std::vector<double> probabilities_;
  std::vector<float> selection_;  // what the selection compares
  Routes routes_;
};

void normalise_input(const LayerSpec& spec, const ReferenceWeights& weights, std::vector<double>* x) {
  if (!spec.has(MOE_LAYER_INPUT_NORM)) return;
  double squares = 0;
  for (double value : *x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x->size()) + spec.desc.norm_eps);
  const std::vector<float>& norm = weights.vector(VectorKind::kNorm);
  for (size_t h = 0; h < x->size(); ++h) (*x)[h] *= scale * norm[h];
}

void TokenRouter::compute_logits() {
  x_ = input();
  normalise_input(spec_, weights_, &x_);
  logits_.resize(d_.experts);
  for (uint32_t e = 0; e < d_.experts; ++e) {
    double logit = router_row(e);
    if (spec_.has(MOE_LAYER_ROUTER_BIAS)) logit += weights_.vector(VectorKind::kRouterBias)[e];
    logits_[e] = static_cast<float>(logit);
  }
}

void TokenRouter::score() {
  probabilities_.assign(logits_.begin(), logits_.end());
  if (d_.score == MOE_SCORE_SIGMOID) {
    for (double& p : probabilities_) p = sigmoid(p);
  } else if (d_.score == MOE_SCORE_SOFTMAX) {
    double largest = std::numeric_limits<double>::quiet_NaN();  // of the logits that are numbers
    for (double p : probabilities_) {
      if (!std::isnan(p) && (std::isnan(largest) || p > largest)) largest = p;
    }
    double sum = 0;
    for (double& p : probabilities_) sum += p = std::exp(p - largest);
    for (double& p : probabilities_) p /= sum;
  }
  selection_ = logits_;  // the scores are monotone in the logits, and saturate where logits do not
  if (spec_.has(MOE_LAYER_SELECTION_BIAS)) {
    const std::vector<float>& bias = weights_.vector(VectorKind::kSelectionBias);
    for (uint32_t e = 0; e < d_.experts; ++e) selection_[e] = static_cast<float>(probabilities_[e]) + bias[e];
  }
}

void TokenRouter::select() {
  routes_.ids.assign(spec_.slots, -1);
  if (d_.route_source == MOE_ROUTE_FROM_IDS) {
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
      const int32_t id = integer(call_.view(ViewId::kIdsIn), token_, slot);
      routes_.ids[slot] = id >= 0 && id < static_cast<int32_t>(d_.experts) ? id : -1;
    }
    return;
  }
  if (d_.route_source == MOE_ROUTE_DENSE) {
    routes_.ids[0] = 0;
    return;
  }
  std::vector<int32_t> order(d_.experts);
  for (uint32_t e = 0; e < d_.experts; ++e) order[e] = static_cast<int32_t>(e);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return sortable_key(selection_[static_cast<size_t>(a)]) > sortable_key(selection_[static_cast<size_t>(b)]);
  });
  std::copy_n(order.begin(), d_.top_k, routes_.ids.begin());
  if (call_.has(ViewId::kLogits)) {
    for (uint32_t e = 0; e < d_.experts; ++e) store(call_.view(ViewId::kLogits), token_, e, logits_[e]);
  }
  if (call_.has(ViewId::kScores)) {
    for (uint32_t e = 0; e < d_.experts; ++e) store(call_.view(ViewId::kScores), token_, e, selection_[e]);
  }
}

void TokenRouter::weigh() {
  std::vector<double>& w = routes_.weights;
  w.assign(spec_.slots, 0);
  const auto used = [&](uint32_t slot) { return routes_.ids[slot] >= 0; };
  for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
    if (!used(slot)) continue;
    const auto id = static_cast<uint32_t>(routes_.ids[slot]);
    switch (d_.route_source) {
      case MOE_ROUTE_FROM_SCORES: w[slot] = element(call_.view(ViewId::kWeightsIn), token_, id); break;
      case MOE_ROUTE_FROM_IDS: w[slot] = element(call_.view(ViewId::kWeightsIn), token_, slot); break;
      case MOE_ROUTE_DENSE: w[slot] = 1; break;
      default: w[slot] = probabilities_[id];
    }
  }
  if (d_.weight == MOE_WEIGHT_SOFTMAX) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
      if (used(slot) && w[slot] > largest) largest = w[slot];
    }
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
      if (used(slot)) sum += w[slot] = std::exp(w[slot] - largest);
    }
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) w[slot] /= used(slot) ? sum : 1;
  } else if (d_.weight == MOE_WEIGHT_SIGMOID) {
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) w[slot] = used(slot) ? sigmoid(w[slot]) : 0;
  }
  if (d_.normalize != MOE_NORMALIZE_NONE && (d_.top_k > 1 || spec_.has(MOE_LAYER_NORMALIZE_SINGLE))) {
    double sum = 0;
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) sum += w[slot];
    if (d_.normalize == MOE_NORMALIZE_SUM_EPS) sum += d_.normalize_eps;
    if (d_.normalize == MOE_NORMALIZE_SUM_FLOOR && sum < d_.normalize_eps) sum = d_.normalize_eps;
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) w[slot] = used(slot) ? w[slot] / sum : 0;
  }
  for (uint32_t slot = 0; slot < d_.top_k; ++slot) w[slot] *= d_.routed_scale;
}

void TokenRouter::add_shared() {
  double weight = 1;
  if (spec_.shared_router()) {
    if (x_.empty()) {
      x_ = input();
      normalise_input(spec_, weights_, &x_);
    }
    weight = sigmoid(router_row(spec_.router_rows() - 1));
  } else if (d_.shared_gate == MOE_SHARED_GATE_CONSTANT) {
    weight = d_.shared_constant;
  }
  for (uint32_t slot = d_.top_k; slot < spec_.slots; ++slot) {
    routes_.ids[slot] = static_cast<int32_t>(d_.experts + slot - d_.top_k);
    routes_.weights[slot] = weight;
  }
}

double dot(const ReferenceMatrix& matrix, uint32_t expert, uint32_t row, const std::vector<double>& x) {
  const std::byte* data = matrix.row(expert, row);
  const auto format = static_cast<uint32_t>(matrix.format);
  double sum = 0;
  for (uint32_t c = 0; c < matrix.columns; ++c) sum += load_element(format, data, c) * x[c];
  return sum;
}

// One expert's feed-forward network on one token.
std::vector<double> feed_forward(const LayerSpec& spec, const ReferenceWeights& weights, uint32_t expert,
                                 const std::vector<double>& x) {
  const uint32_t index = spec.segments == 2 && expert >= spec.segment[1].first_expert ? 1 : 0;
  const Segment& s = spec.segment[index];
  const ReferenceMatrix(&matrix)[3] = weights.matrix[index];
  const uint32_t local = expert - s.first_expert;
  const bool biased = spec.has(MOE_LAYER_EXPERT_BIAS) && expert < spec.desc.experts;
  std::vector<double> h(s.intermediate);
  for (uint32_t f = 0; f < s.intermediate; ++f) {
    double up = dot(matrix[1], local, f, x);
    if (biased) up += weights.vector(VectorKind::kUpBias)[uint64_t{local} * s.intermediate + f];
    double gate = up;
    if (spec.gated) {
      gate = dot(matrix[0], local, f, x);
      if (biased) gate += weights.vector(VectorKind::kGateBias)[uint64_t{local} * s.intermediate + f];
    }
    h[f] = activate(spec.desc, spec.gated, gate, up);
  }
  std::vector<double> out(spec.desc.hidden);
  for (uint32_t c = 0; c < spec.desc.hidden; ++c) {
    out[c] = dot(matrix[2], local, c, h);
    if (biased) out[c] += weights.vector(VectorKind::kDownBias)[uint64_t{local} * spec.desc.hidden + c];
  }
  return out;
}

std::vector<double> expert_input(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token) {
  std::vector<double> x(spec.desc.hidden);
  for (uint32_t h = 0; h < spec.desc.hidden; ++h) x[h] = element(call.view(ViewId::kX), token, h);
  normalise_input(spec, weights, &x);
  return x;
}

void store_y(const LayerSpec& spec, const Call& call, uint64_t token, const std::vector<double>& z) {
  for (uint32_t c = 0; c < spec.desc.hidden; ++c) {
    double y = z[c] * spec.desc.out_scale;
    if (call.has(ViewId::kResidual)) y += double{call.beta} * element(call.view(ViewId::kResidual), token, c);
    store(call.view(ViewId::kY), token, c, y);
  }
}

void run_token(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token,
               std::vector<int32_t>* counts) {
  const Routes routes = TokenRouter(spec, weights, call, token).route();
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
  const std::vector<double> x = expert_input(spec, weights, call, token);
  std::vector<double> z(spec.desc.hidden, 0.0);
  for (uint32_t slot = 0; slot < spec.slots; ++slot) {
    if (routes.ids[slot] < 0) continue;
    const std::vector<double> out = feed_forward(spec, weights, static_cast<uint32_t>(routes.ids[slot]), x);
    // The weight is handed to the host, and between stages, as f32: that is its value in forward too.
    const double weight = static_cast<float>(routes.weights[slot]);
    for (uint32_t c = 0; c < spec.desc.hidden; ++c) z[c] += static_cast<float>(weight * out[c]);
  }
  store_y(spec, call, token, z);
}

void run_routes(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call) {
  std::vector<int32_t> counts(spec.desc.experts, 0);
  for (uint64_t token = 0; token < call.tokens; ++token) run_token(spec, weights, call, token, &counts);
  if (!call.has(ViewId::kCounts)) return;
  for (uint32_t e = 0; e < spec.desc.experts; ++e) store_integer(call.view(ViewId::kCounts), 0, e, counts[e]);
}

void run_plan_dispatch(const LayerSpec& spec, const Call& call) {
  int32_t position = 0;
  for (uint32_t e = 0; e < spec.experts_total; ++e) {
    store_integer(call.view(ViewId::kOffsets), 0, e, position);
    const int32_t first = position;
    for (uint64_t route = 0; route < call.tokens * spec.slots; ++route) {
      if (integer(call.view(ViewId::kIds), route / spec.slots, route % spec.slots) != static_cast<int32_t>(e)) continue;
      store_integer(call.view(ViewId::kOrder), 0, static_cast<uint64_t>(position++), static_cast<int32_t>(route));
    }
    if (call.has(ViewId::kCounts) && e < spec.desc.experts) store_integer(call.view(ViewId::kCounts), 0, e, position - first);
  }
  store_integer(call.view(ViewId::kOffsets), 0, spec.experts_total, position);
  for (auto i = static_cast<uint64_t>(position); i < call.tokens * spec.slots; ++i) store_integer(call.view(ViewId::kOrder), 0, i, -1);
}

void run_experts(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call) {
  for (uint64_t token = 0; token < call.tokens; ++token) {
    const std::vector<double> x = expert_input(spec, weights, call, token);
    for (uint32_t slot = 0; slot < spec.slots; ++slot) {
      const uint64_t row = token * spec.slots + slot;
      const int32_t id = integer(call.view(ViewId::kIds), token, slot);
      std::vector<double> out(spec.desc.hidden, 0.0);
      double weight = 0;
      if (id >= 0 && id < static_cast<int32_t>(spec.experts_total)) {
        out = feed_forward(spec, weights, static_cast<uint32_t>(id), x);
        weight = element(call.view(ViewId::kWeights), token, slot);
      }
      for (uint32_t c = 0; c < spec.desc.hidden; ++c) store(call.view(ViewId::kExpertOut), row, c, weight * out[c]);
    }
  }
}

void run_combine(const LayerSpec& spec, const Call& call) {
  for (uint64_t token = 0; token < call.tokens; ++token) {
    std::vector<double> z(spec.desc.hidden, 0.0);
    for (uint32_t slot = 0; slot < spec.slots; ++slot) {
      const int32_t id = integer(call.view(ViewId::kIds), token, slot);
      if (id < 0 || id >= static_cast<int32_t>(spec.experts_total)) continue;
      for (uint32_t c = 0; c < spec.desc.hidden; ++c) z[c] += element(call.view(ViewId::kExpertOut), token * spec.slots + slot, c);
    }
    store_y(spec, call, token, z);
  }
}

}  // namespace

void run_reference(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call) {
  switch (call.stage) {
    case Stage::kForward:
    case Stage::kRoute: run_routes(spec, weights, call); break;
    case Stage::kPlanDispatch: run_plan_dispatch(spec, call); break;
    case Stage::kExperts: run_experts(spec, weights, call); break;
    case Stage::kCombine: run_combine(spec, call); break;
  }
}

}  // namespace moevk
