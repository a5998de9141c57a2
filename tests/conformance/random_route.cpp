// SPDX-License-Identifier: MIT
//
// Each step reads the choices before it, so that what comes out is legal.
#include "tests/conformance/random_route.h"

#include <algorithm>
#include <vector>

namespace moe_conformance {
namespace {

// How logits become scores and weights. True if the weights are positive, so that dividing by their sum is sane.
bool draw_score(moe_layer_desc& d, Random& random) {
  const double kind = random.uniform();
  if (kind < 0.3) {
    d.score = MOE_SCORE_SOFTMAX;
  } else if (kind < 0.5) {
    d.score = MOE_SCORE_SIGMOID;
  } else if (kind < 0.63) {
    d.score = MOE_SCORE_SQRT_SOFTPLUS;
  } else if (kind < 0.71) {
    return false;
  } else if (kind < 0.85) {
    d.weight = MOE_WEIGHT_SOFTMAX;
  } else if (kind < 0.95) {
    d.weight = MOE_WEIGHT_SIGMOID;
  } else {
    d.score = random.between(MOE_SCORE_SOFTMAX, MOE_SCORE_SQRT_SOFTPLUS);
    d.weight = random.chance(0.5) ? MOE_WEIGHT_SOFTMAX : MOE_WEIGHT_SIGMOID;
  }
  return true;
}

void draw_groups(moe_layer_desc& d, Random& random) {
  const uint32_t all = d.experts + d.identity_experts;
  std::vector<uint32_t> divisors;
  for (uint32_t n = 2; n <= 32; ++n) {
    if (all % n == 0) divisors.push_back(n);
  }
  if (divisors.empty()) return;
  d.groups = divisors[random.below(static_cast<uint32_t>(divisors.size()))];
  const uint32_t size = all / d.groups, least = (d.top_k + size - 1) / size;
  d.groups_kept = random.between(least, d.groups);
  if (random.chance(0.5)) return;
  d.group_score = MOE_GROUP_SCORE_SUM_TOP_N;
  d.group_top_n = random.chance(0.6) ? std::min(2u, size) : random.between(1, std::min(32u, size));
}

void draw_router_input(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  if (random.chance(0.15)) d.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT;
  if (random.chance(0.12)) d.flags |= MOE_LAYER_ROUTER_INPUT_NORM;
  if (random.chance(0.12)) d.flags |= MOE_LAYER_ROUTER_INPUT_SCALE;
  if (random.chance(0.1)) d.router_input_multiplier = random.chance(0.5) ? 0.25f : 3.0f;
}

void draw_normalisation(moe_layer_desc& d, Random& random) {
  static constexpr float kEps[] = {1e-20f, 1e-9f, 1e-3f};
  static constexpr float kFloor[] = {1e-12f, 0.01f, 0.5f};
  static constexpr float kP[] = {1.0f, 1.0f, 2.0f, 3.5f};
  const double kind = random.uniform();
  if (kind < 0.3) {
    d.normalize = MOE_NORMALIZE_SUM_EPS;
    d.normalize_eps = random.pick(kEps);
  } else if (kind < 0.5) {
    d.normalize = MOE_NORMALIZE_SUM_FLOOR;
    d.normalize_eps = random.pick(kFloor);
  } else if (kind < 0.65) {
    d.normalize = MOE_NORMALIZE_P_NORM;
    d.normalize_p = random.pick(kP);
  }
  if (d.normalize != MOE_NORMALIZE_NONE && random.chance(0.3)) d.flags |= MOE_LAYER_NORMALIZE_SINGLE;
}

}  // namespace

void draw_route(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  const double source = random.uniform();
  d.route_source = source < 0.6    ? MOE_ROUTE_FROM_ROUTER
                   : source < 0.72 ? MOE_ROUTE_FROM_LOGITS
                   : source < 0.8  ? MOE_ROUTE_FROM_SCORES
                   : source < 0.88 ? MOE_ROUTE_FROM_IDS
                   : source < 0.94 ? MOE_ROUTE_FROM_TOKEN_TABLE
                                   : MOE_ROUTE_DENSE;
  if (d.route_source == MOE_ROUTE_DENSE) {
    d.experts = d.top_k = 1;
    d.identity_experts = 0;
    return;
  }
  const bool scored = computes_logits(d) || d.route_source == MOE_ROUTE_FROM_LOGITS;
  const bool sparsemixer = d.top_k <= 4 && d.route_source <= MOE_ROUTE_FROM_LOGITS && random.chance(0.08);
  bool positive = true;
  if (sparsemixer) {
    static constexpr float kEps[] = {0.01f, 0.1f, 0.3f};
    d.selection = MOE_SELECT_SPARSEMIXER;
    d.sparsemixer_eps = random.pick(kEps);
  } else if (scored) {
    positive = draw_score(d, random);
    if (random.chance(0.12)) d.logit_soft_cap = random.chance(0.5) ? 30.0f : 1.5f;
    if (selects(d) && random.chance(0.3)) d.flags |= MOE_LAYER_SELECTION_BIAS;
  } else if (d.route_source == MOE_ROUTE_FROM_SCORES && random.chance(0.3)) {
    d.weight = random.chance(0.5) ? MOE_WEIGHT_SOFTMAX : MOE_WEIGHT_SIGMOID;
  }
  if (computes_logits(d)) {
    if (random.chance(0.25)) d.flags |= MOE_LAYER_ROUTER_BIAS;
    draw_router_input(c, random);
  }
  if (selects(d) && !sparsemixer && random.chance(0.25)) draw_groups(d, random);
  if (d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) d.token_table_rows = random.between(1, 50);
  if (positive) draw_normalisation(d, random);
  if (random.chance(0.3)) d.routed_scale = random.chance(0.5) ? 2.5f : 0.3f;
  if (random.chance(0.15)) d.flags |= MOE_LAYER_PER_EXPERT_SCALE;
  if (random.chance(0.15)) d.flags |= MOE_LAYER_WEIGHT_ON_INPUT;
}

void draw_capacity(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  // One near-tie would decide over the places of all tokens.
  const bool ties = d.route_source == MOE_ROUTE_FROM_ROUTER && c.tokens > 8;
  if (d.route_source == MOE_ROUTE_DENSE || ties || random.chance(0.8)) return;
  static constexpr float kFactors[] = {0.0f, 0.4f, 1.0f, 1.25f, 2.0f};
  d.capacity = MOE_CAPACITY_POSITION;
  d.capacity_factor = random.pick(kFactors);
  if (d.capacity_factor == 0 || random.chance(0.2)) d.capacity_minimum = random.between(1, 4);
}

}  // namespace moe_conformance
