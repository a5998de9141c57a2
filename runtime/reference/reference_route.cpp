// SPDX-License-Identifier: MIT
//
// The routing of docs/semantics.md, in its order: router, scores, selection, weights. f32 appears only where the
// contract says so: logits and scores are rounded to f32 before they are compared, so that ties are ties everywhere.
#include "runtime/reference/reference_route.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace moevk {

void normalise_input(const LayerSpec& spec, const ReferenceWeights& weights, std::vector<double>* x) {
  if (!spec.has(MOE_LAYER_INPUT_NORM)) return;
  double squares = 0;
  for (double value : *x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x->size()) + spec.desc.norm_eps);
  const float* norm = weights.vector(VectorKind::kNorm);
  for (size_t h = 0; h < x->size(); ++h) (*x)[h] *= scale * norm[h];
}

namespace {

// Descending order of selection: NaN below -infinity, -0 equal to 0.
uint32_t sortable_key(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return 0;
  if (bits == 0x80000000u) bits = 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

class TokenRouter {
 public:
  TokenRouter(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token)
      : spec_(spec), d_(spec.desc), weights_(weights), call_(call), token_(token) {}

  ReferenceRoutes route() {
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
    const float* router = weights_.vector(VectorKind::kRouter);
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
  ReferenceRoutes routes_;
};

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
    const float* bias = weights_.vector(VectorKind::kSelectionBias);
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

}  // namespace

ReferenceRoutes route_token(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token) {
  return TokenRouter(spec, weights, call, token).route();
}

}  // namespace moevk
