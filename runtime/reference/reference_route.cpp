// SPDX-License-Identifier: MIT
//
// The routing of docs/semantics.md, in its order: router, scores, selection, weights. f32 appears only where the
// contract says so: logits and scores are rounded to f32 before they are compared, so that ties are ties everywhere.
#include "runtime/reference/reference_route.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace moevk {

namespace {

double inverse_rms(const std::vector<double>& x, double eps) {
  double squares = 0;
  for (double value : x) squares += value * value;
  return 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
}

}  // namespace

void rms_normalise(const float* weight, double eps, std::vector<double>* x) {
  const double scale = inverse_rms(*x, eps);
  for (size_t i = 0; i < x->size(); ++i) (*x)[i] *= scale * weight[i];
}

void normalise_input(const LayerSpec& spec, const ReferenceWeights& weights, std::vector<double>* x) {
  if (spec.has(MOE_LAYER_INPUT_NORM)) rms_normalise(weights.vector(VectorKind::kNorm), spec.desc.norm_eps, x);
}

namespace {

// Descending order of selection: NaN below -infinity, -0 equal to 0. Only the order of keys counts.
uint32_t sortable_key(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return 0;
  if (bits == 0x80000000u) bits = 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

class TokenRouter {
 public:
  TokenRouter(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token)
      : spec_(spec), d_(spec.desc), weights_(weights), call_(call), token_(token), candidates_(spec.candidates()) {}

  ReferenceRoutes route() {
    if (spec_.computes_logits()) compute_logits();
    if (d_.route_source == MOE_ROUTE_FROM_LOGITS) take(ViewId::kLogitsIn, &logits_);
    if (!logits_.empty()) score();
    if (d_.route_source == MOE_ROUTE_FROM_SCORES) take(ViewId::kScoresIn, &selection_);
    select();
    weigh();
    add_shared();
    return std::move(routes_);
  }

 private:
  std::vector<double> input() const {
    const bool separate = spec_.has(MOE_LAYER_SEPARATE_ROUTER_INPUT);
    std::vector<double> x(d_.hidden);
    for (uint32_t h = 0; h < d_.hidden; ++h) {
      x[h] = element(call_.view(separate ? ViewId::kRouterX : ViewId::kX), token_, h);
    }
    if (!separate) normalise_input(spec_, weights_, &x);
    return x;
  }
  void transform_router_input();

  double router_row(uint32_t row) const {
    const float* router = weights_.vector(VectorKind::kRouter);
    double sum = 0;
    for (uint32_t h = 0; h < d_.hidden; ++h) sum += x_[h] * router[uint64_t{row} * d_.hidden + h];
    return sum;
  }

  void compute_logits();
  void take(ViewId id, std::vector<float>* out) const {
    out->resize(candidates_);
    for (uint32_t e = 0; e < candidates_; ++e) (*out)[e] = static_cast<float>(element(call_.view(id), token_, e));
  }
  void score();
  void select();
  std::vector<bool> kept_groups() const;
  double sparsemixer_weight(uint32_t slot) const;
  void weigh();
  void normalise_weights();
  void add_shared();

  const LayerSpec& spec_;
  const moe_layer_desc& d_;
  const ReferenceWeights& weights_;
  const Call& call_;
  uint64_t token_;
  uint32_t candidates_;
  std::vector<double> x_;
  std::vector<float> logits_;
  std::vector<double> probabilities_;
  std::vector<float> selection_;  // what the selection compares
  ReferenceRoutes routes_;
};

// What only the router's copy of the input goes through.
void TokenRouter::transform_router_input() {
  double scale = d_.router_input_multiplier;
  if (spec_.has(MOE_LAYER_ROUTER_INPUT_NORM)) scale *= inverse_rms(x_, d_.norm_eps);
  for (double& value : x_) value *= scale;
  if (!spec_.has(MOE_LAYER_ROUTER_INPUT_SCALE)) return;
  const float* factors = weights_.vector(VectorKind::kRouterScale);
  for (uint32_t h = 0; h < d_.hidden; ++h) x_[h] *= factors[h];
}

void TokenRouter::compute_logits() {
  x_ = input();
  transform_router_input();
  logits_.resize(candidates_);
  for (uint32_t e = 0; e < candidates_; ++e) {
    double logit = router_row(e);
    if (spec_.has(MOE_LAYER_ROUTER_BIAS)) logit += weights_.vector(VectorKind::kRouterBias)[e];
    logits_[e] = static_cast<float>(logit);
  }
}

void TokenRouter::score() {
  probabilities_.assign(logits_.begin(), logits_.end());
  if (const double cap = d_.logit_soft_cap; cap > 0) {
    for (double& p : probabilities_) p = cap * std::tanh(p / cap);
  }
  if (d_.score == MOE_SCORE_SIGMOID) {
    for (double& p : probabilities_) p = sigmoid(p);
  } else if (d_.score == MOE_SCORE_SQRT_SOFTPLUS) {
    for (double& p : probabilities_) p = std::sqrt(std::max(p, 0.0) + std::log1p(std::exp(-std::fabs(p))));
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
  const bool biased = spec_.has(MOE_LAYER_SELECTION_BIAS);
  if (!biased && d_.groups <= 1) return;
  for (uint32_t e = 0; e < candidates_; ++e) {
    selection_[e] = static_cast<float>(probabilities_[e]);
    if (biased) selection_[e] += weights_.vector(VectorKind::kSelectionBias)[e];
  }
}

// A group's score is its largest value or the sum of its n largest, in f32 and in order, as a device adds them.
std::vector<bool> TokenRouter::kept_groups() const {
  const uint32_t size = candidates_ / d_.groups;
  std::vector<uint32_t> keys(d_.groups), order(d_.groups);
  for (uint32_t g = 0; g < d_.groups; ++g) {
    std::vector<float> values(selection_.begin() + g * size, selection_.begin() + (g + 1) * size);
    std::stable_sort(values.begin(), values.end(), [](float a, float b) { return sortable_key(a) > sortable_key(b); });
    float sum = values[0];
    for (uint32_t i = 1; i < d_.group_top_n && d_.group_score == MOE_GROUP_SCORE_SUM_TOP_N; ++i) sum += values[i];
    keys[g] = sortable_key(sum);
    order[g] = g;
  }
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return keys[a] > keys[b]; });
  std::vector<bool> kept(d_.groups, false);
  for (uint32_t i = 0; i < d_.groups_kept; ++i) kept[order[i]] = true;
  return kept;
}

void TokenRouter::select() {
  routes_.ids.assign(spec_.slots, -1);
  const auto inside = [&](int32_t id) { return id >= 0 && id < static_cast<int32_t>(candidates_) ? id : -1; };
  if (call_.has(ViewId::kLogits)) {
    for (uint32_t e = 0; e < candidates_; ++e) store(call_.view(ViewId::kLogits), token_, e, logits_[e]);
  }
  if (d_.route_source == MOE_ROUTE_FROM_IDS) {
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
      routes_.ids[slot] = inside(integer(call_.view(ViewId::kIdsIn), token_, slot));
    }
    return;
  }
  if (d_.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) {
    const int32_t row = integer(call_.view(ViewId::kTokenIds), token_, 0);
    if (row < 0 || static_cast<uint32_t>(row) >= d_.token_table_rows) return;
    const float* table = weights_.vector(VectorKind::kTokenTable) + static_cast<uint64_t>(row) * d_.top_k;
    for (uint32_t slot = 0; slot < d_.top_k; ++slot) routes_.ids[slot] = static_cast<int32_t>(table[slot]);
    return;
  }
  if (d_.route_source == MOE_ROUTE_DENSE) {
    routes_.ids[0] = 0;
    return;
  }
  std::vector<int32_t> order;
  const std::vector<bool> kept = d_.groups > 1 ? kept_groups() : std::vector<bool>{true};
  for (uint32_t e = 0; e < candidates_; ++e) {
    if (kept[e / (candidates_ / kept.size())]) order.push_back(static_cast<int32_t>(e));
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return sortable_key(selection_[static_cast<size_t>(a)]) > sortable_key(selection_[static_cast<size_t>(b)]);
  });
  std::copy_n(order.begin(), d_.top_k, routes_.ids.begin());
  if (call_.has(ViewId::kScores)) {
    for (uint32_t e = 0; e < candidates_; ++e) store(call_.view(ViewId::kScores), token_, e, selection_[e]);
  }
}

// Softmax over the experts near the chosen one, at the chosen one. Near is decided in f32, as devices do.
double TokenRouter::sparsemixer_weight(uint32_t slot) const {
  const float most = logits_[static_cast<size_t>(routes_.ids[slot])];
  double sum = 0;
  for (uint32_t e = 0; e < candidates_; ++e) {
    const auto earlier = routes_.ids.begin() + slot;
    if (std::find(routes_.ids.begin(), earlier, static_cast<int32_t>(e)) != earlier) continue;
    const float distance = most - logits_[e];
    const float near = 2 * d_.sparsemixer_eps * std::max(std::fabs(logits_[e]), most);
    if (!(distance > near)) sum += std::exp(static_cast<double>(logits_[e]) - most);
  }
  return 1 / sum;
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
      default: w[slot] = d_.selection == MOE_SELECT_SPARSEMIXER ? sparsemixer_weight(slot) : probabilities_[id];
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
  normalise_weights();
  for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
    w[slot] *= d_.routed_scale;
    const bool scaled = spec_.has(MOE_LAYER_PER_EXPERT_SCALE) && used(slot);
    const auto id = static_cast<uint32_t>(routes_.ids[slot]);
    if (scaled && id < d_.experts) w[slot] *= weights_.vector(VectorKind::kExpertScale)[id];
  }
}

void TokenRouter::normalise_weights() {
  if (d_.normalize == MOE_NORMALIZE_NONE || (d_.top_k == 1 && !spec_.has(MOE_LAYER_NORMALIZE_SINGLE))) return;
  const auto first = routes_.weights.begin(), last = first + d_.top_k;
  double sum = 0;
  if (d_.normalize == MOE_NORMALIZE_P_NORM) {
    // Through the largest, so that powers of small numbers do not vanish.
    double largest = 0;
    for (auto w = first; w != last; ++w) largest = std::max(largest, std::fabs(*w));
    for (auto w = first; w != last; ++w) sum += std::pow(std::fabs(*w) / largest, d_.normalize_p);
    sum = std::isinf(largest) ? largest : largest * std::pow(sum, 1.0 / d_.normalize_p);
  } else {
    for (auto w = first; w != last; ++w) sum += *w;
  }
  if (d_.normalize == MOE_NORMALIZE_SUM_EPS) sum += d_.normalize_eps;
  if (d_.normalize == MOE_NORMALIZE_SUM_FLOOR && sum < d_.normalize_eps) sum = d_.normalize_eps;
  for (uint32_t slot = 0; slot < d_.top_k; ++slot) {
    routes_.weights[slot] = routes_.ids[slot] >= 0 ? routes_.weights[slot] / sum : 0;
  }
}

void TokenRouter::add_shared() {
  double weight = 1;
  if (spec_.shared_router()) {
    if (x_.empty()) x_ = input();
    weight = sigmoid(router_row(spec_.router_rows() - 1));
  } else if (d_.shared_gate == MOE_SHARED_GATE_CONSTANT) {
    weight = d_.shared_constant;
  }
  for (uint32_t slot = d_.top_k; slot < spec_.slots; ++slot) {
    routes_.ids[slot] = static_cast<int32_t>(candidates_ + slot - d_.top_k);
    routes_.weights[slot] = weight;
  }
}

}  // namespace

ReferenceRoutes route_token(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token) {
  return TokenRouter(spec, weights, call, token).route();
}

}  // namespace moevk
