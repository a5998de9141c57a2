// SPDX-License-Identifier: MIT
//
// Builds the named layers: loads that are as uneven as can be, sizes at and around the plan's
// changes, ties, numbers that are none, ids out of range, and the shapes of real families in small.
#include "tests/conformance/fixed_cases.h"

#include <cmath>
#include <limits>

#include "tests/conformance/affine_cases.h"
#include "tests/conformance/block_cases.h"
#include "tests/conformance/family_twins.h"
#include "tests/conformance/integer_dot_cases.h"
#include "tests/conformance/numbers.h"
#include "tests/conformance/random_layer.h"

namespace moe_conformance {
namespace {

struct Shape {
  uint32_t experts, top_k, hidden, intermediate;
  uint64_t tokens;
};

// Softmax, top-k, weights divided by their sum; silu-gated; everything f32 and packed in host
// memory.
LayerCase shape_only(const Shape& shape) {
  LayerCase c;
  c.desc = MOE_INIT(moe_layer_desc);
  c.desc.experts = shape.experts;
  c.desc.top_k = shape.top_k;
  c.desc.hidden = shape.hidden;
  c.desc.intermediate = shape.intermediate;
  c.desc.score = MOE_SCORE_SOFTMAX;
  c.desc.normalize = MOE_NORMALIZE_SUM_EPS;
  c.desc.normalize_eps = 1e-20f;
  c.tokens = shape.tokens;
  return c;
}

void without_normalisation(LayerCase& c) {
  c.desc.normalize = MOE_NORMALIZE_NONE;
  c.desc.normalize_eps = 0;
}

LayerCase drawn(LayerCase c, uint64_t seed = 1) {
  Random random(seed, 77, c.tokens);
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

LayerCase plain(const Shape& shape) { return drawn(shape_only(shape)); }

// Logits are given: chosen(t, slot) is the expert that comes slot-th for token t.
LayerCase directed(const Shape& shape, const std::function<uint32_t(uint64_t, uint32_t)>& chosen) {
  LayerCase c = shape_only(shape);
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c = drawn(c);
  for (uint64_t t = 0; t < c.tokens; ++t) {
    for (uint32_t slot = 0; slot < shape.top_k; ++slot) {
      c.inputs.logits[t * shape.experts + chosen(t, slot)] = 20.0f - static_cast<float>(slot);
    }
  }
  return c;
}

// More routes than places for the experts 0 to 2, which fill; expert 3 has room.
LayerCase capacity(uint64_t tokens, float factor, uint32_t minimum) {
  LayerCase c = directed({8, 2, 24, 12, tokens}, [](uint64_t t, uint32_t slot) {
    return static_cast<uint32_t>(t % 5 == 4 ? 3 + slot : (t + slot) % 3);
  });
  c.desc.capacity = MOE_CAPACITY_POSITION;
  c.desc.capacity_factor = factor;
  c.desc.capacity_minimum = minimum;
  return c;
}

// x and router weights are small integers: every logit is exact in any order of summation, and most
// tie.
LayerCase integer_ties(uint32_t hidden, uint32_t score, bool bias, bool all_equal) {
  LayerCase c = shape_only({64, 6, hidden, 16, 40});
  c.desc.score = score;
  if (bias) c.desc.flags |= MOE_LAYER_SELECTION_BIAS;
  c = drawn(c);
  c.exact_logits = true;
  Random random(5, hidden, score);
  for (float& w : c.weights.router) w = all_equal ? 1.0f : static_cast<float>(random.below(3)) - 1.0f;
  for (float& b : c.weights.selection_bias) b = 0.25f * static_cast<float>(random.below(2));
  for (float& v : c.inputs.x) v = static_cast<float>(random.below(3)) - 1.0f;
  return c;
}

// Logits with NaN and infinities, in every number and place.
LayerCase nonfinite_logits(uint32_t score, uint32_t weight, bool bias, uint32_t groups = 1) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  LayerCase c = shape_only({12, 4, 24, 20, 14});
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c.desc.score = score;
  c.desc.weight = weight;
  without_normalisation(c);
  if (bias) c.desc.flags |= MOE_LAYER_SELECTION_BIAS;
  if (groups > 1) {
    c.desc.groups = groups;
    c.desc.groups_kept = groups / 2;
    c.desc.group_score = MOE_GROUP_SCORE_SUM_TOP_N;
    c.desc.group_top_n = 2;
  }
  c = drawn(c);
  const auto logit = [&](size_t t, size_t e) -> float& { return c.inputs.logits[t * 12 + e]; };
  for (size_t e = 0; e < 12; ++e) {
    logit(0, e) = kNan;
    logit(1, e) = kInf;
    logit(2, e) = -kInf;
    logit(3, e) = e % 3 == 0 ? kNan : e % 3 == 1 ? -kInf : kInf;
    logit(4, e) = e < 9 ? kNan : -kInf;   // three experts are better than NaN, one NaN is taken
    logit(5, e) = e < 10 ? -kInf : 1.0f;  // finite ones first, then the lowest ids
    logit(6, e) = e % 2 == 0 ? std::numeric_limits<float>::max() : std::numeric_limits<float>::lowest();
  }
  logit(7, 3) = kNan;
  logit(8, 3) = kInf;
  logit(9, 3) = -kInf;
  logit(10, 0) = -kNan;  // the sign of a NaN says nothing
  logit(11, 11) = kInf;
  return c;
}

// Router input with NaN and infinities in some tokens: they must not touch the tokens beside them.
LayerCase nonfinite_x(uint64_t tokens) {
  LayerCase c = shape_only({8, 2, 40, 24, tokens});
  c = drawn(c);
  c.inputs.x[1 * 40 + 7] = std::numeric_limits<float>::quiet_NaN();
  c.inputs.x[3 * 40 + 39] = std::numeric_limits<float>::infinity();
  c.inputs.x[4 * 40 + 0] = -std::numeric_limits<float>::infinity();
  return c;
}

LayerCase signed_zeros() {
  LayerCase c = shape_only({16, 4, 16, 16, 6});
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c = drawn(c);
  for (size_t i = 0; i < c.inputs.logits.size(); ++i) {
    // -0 and 0 are the same number: a tie, whatever their bits.
    c.inputs.logits[i] = (i / 16 + i) % 2 == 0 ? -0.0f : 0.0f;
  }
  return c;
}

// With identity and shared experts the ids go on: 6..8 are identity experts, 9.. nothing that a host may name.
LayerCase ids_out_of_range(bool identity) {
  LayerCase c = shape_only({6, 3, 33, 17, 12});
  if (identity) {
    c.desc.identity_experts = 3;
    c.desc.shared_intermediate = 34;
  }
  c.desc.route_source = MOE_ROUTE_FROM_IDS;
  c.desc.score = MOE_SCORE_IDENTITY;
  without_normalisation(c);
  c = drawn(c);
  static constexpr int32_t kIds[] = {-1, 6, 9, 2147483647, -2147483647 - 1, -7, 11};
  for (size_t i = 0; i < c.inputs.ids.size(); ++i) {
    if (i % 3 == 1 || i < 6) c.inputs.ids[i] = kIds[i % 7];  // tokens 0 and 1 have no expert at all
  }
  return c;
}

LayerCase dense(uint64_t tokens, uint32_t hidden, uint32_t intermediate) {
  LayerCase c = shape_only({1, 1, hidden, intermediate, tokens});
  c.desc.route_source = MOE_ROUTE_DENSE;
  c.desc.score = MOE_SCORE_IDENTITY;
  without_normalisation(c);
  return drawn(c);
}

LayerCase with_precision(LayerCase c, uint32_t precision) {
  c.desc.precision = precision;
  return c;
}

LayerCase large_outputs(uint64_t tokens) {  // SwiGLU outputs of real models pass 65504, the largest f16
  LayerCase c = shape_only({8, 2, 64, 48, tokens});
  Random random(3, 0, 0);
  draw_weights(c, random);
  draw_inputs(c, random, 3000);
  for (float& w : c.weights.router) w /= 1000;
  return c;
}

// One input in 40 is 10^6 times the others: a block's small numbers vanish beside it, none becomes infinite.
LayerCase outliers(uint64_t tokens, uint32_t precision) {
  LayerCase c = shape_only({6, 2, 120, 70, tokens});
  c.desc.precision = precision;
  c.desc.shared_intermediate = 33;
  c.desc.flags = MOE_LAYER_INPUT_NORM;
  c = drawn(c);
  for (size_t i = 0; i < c.inputs.x.size(); i += 40) c.inputs.x[i] *= 1e6f;
  return c;
}

// Diagonal matrices: what rounding does to each number comes out as y, the largest numbers of all among them.
LayerCase bare_rounding(uint64_t tokens, uint32_t precision) {
  LayerCase c = dense(tokens, 70, 70);
  c.desc.precision = precision;
  c.desc.flags |= MOE_LAYER_UNGATED;
  c.desc.activation = MOE_ACTIVATION_RELU;
  c.weights.gate.clear();
  for (size_t i = 0; i < 70 * 70; ++i) {
    c.weights.up[i] = i % 71 == 0 ? 0x1p-60f : 0;
    c.weights.down[i] = i % 71 == 0 ? 1 : 0;
  }
  for (size_t i = 0; i < c.inputs.x.size(); ++i) {
    const float x = std::fabs(c.inputs.x[i]);
    c.inputs.x[i] =
        i % 3 == 0 ? std::numeric_limits<float>::max() * (1 - x / 64) : x * std::ldexp(1.0f, static_cast<int>(i % 90));
  }
  c.inputs.x[5] = std::numeric_limits<float>::max();
  return c;
}

// Groups whose scores tie: the lowest group is kept, and in it the lowest expert.
LayerCase group_ties(uint32_t top_n) {
  LayerCase c = integer_ties(48, MOE_SCORE_IDENTITY, true, false);
  c.desc.weight = MOE_WEIGHT_SOFTMAX;
  c.desc.groups = 8;
  c.desc.groups_kept = 3;
  c.desc.group_score = top_n == 0 ? MOE_GROUP_SCORE_MAX : MOE_GROUP_SCORE_SUM_TOP_N;
  c.desc.group_top_n = top_n;
  return c;
}

// Every route goes to an identity expert, or (k - 1 of k) to experts beside one.
LayerCase identity_experts(uint64_t tokens, bool alone) {
  LayerCase c = shape_only({5, alone ? 2u : 3u, 44, 20, tokens});
  c.desc.identity_experts = 3;
  c.desc.route_source = MOE_ROUTE_FROM_IDS;
  c.desc.score = MOE_SCORE_IDENTITY;
  c.desc.shared_intermediate = alone ? 20 : 13;
  without_normalisation(c);
  c = drawn(c);
  for (size_t i = 0; i < c.inputs.ids.size(); ++i) {
    const auto at = static_cast<int32_t>(i);
    c.inputs.ids[i] = alone || i % 3 == 2 ? 5 + at % 3 : at % 5;
  }
  return c;
}

std::vector<FixedCase> make_cases() {
  std::vector<FixedCase> all;
  const auto add = [&](std::string name, std::function<LayerCase()> make, bool long_only = false) {
    all.push_back({std::move(name), long_only, std::move(make)});
  };
  for (const uint64_t tokens : {1, 2, 4, 8, 9, 16, 17, 32, 64, 65, 128, 512}) {
    add("tokens_" + std::to_string(tokens), [=] { return plain({8, 2, 20, 12, tokens}); });
  }
  add("one_token", [] { return plain({60, 4, 100, 52, 1}); });
  add("empty_experts", [] {
    return directed({16, 2, 40, 24, 20}, [](uint64_t, uint32_t slot) { return slot == 0 ? 11u : 3u; });
  });
  add("one_expert", [] { return directed({8, 1, 40, 24, 70}, [](uint64_t, uint32_t) { return 5u; }); });
  add("one_expert_few_tokens", [] { return directed({8, 1, 40, 24, 11}, [](uint64_t, uint32_t) { return 7u; }); });
  add("one_hot_expert", [] {
    return directed({24, 2, 32, 16, 90},
                    [](uint64_t t, uint32_t slot) { return slot == 0 ? 23u : static_cast<uint32_t>(t % 23); });
  });
  for (const uint32_t experts : {65u, 513u, 1024u}) {
    add("experts_" + std::to_string(experts), [=] { return plain({experts, 8, 24, 12, 30}); });
    add("experts_" + std::to_string(experts) + "_one_token", [=] { return plain({experts, 8, 24, 12, 1}); });
  }
  add("odd_sizes", [] { return plain({7, 3, 127, 61, 19}); });
  add("odd_sizes_one_token", [] { return plain({7, 3, 127, 61, 1}); });
  add("width_one", [] { return plain({5, 2, 1, 1, 33}); });
  add("top_k_32", [] { return plain({40, 32, 36, 20, 18}); });
  add("top_k_32_one_token", [] { return plain({40, 32, 36, 20, 1}); });
  add("top_k_is_experts", [] { return plain({6, 6, 36, 20, 18}); });
  add("routes_over_512", [] { return plain({32, 4, 28, 16, 300}); });
  add("routes_over_4096", [] { return plain({256, 8, 12, 8, 700}); });
  for (const uint32_t hidden : {8u, 67u}) {
    const std::string size = "_" + std::to_string(hidden);
    add("ties_softmax" + size, [=] { return integer_ties(hidden, MOE_SCORE_SOFTMAX, false, false); });
    add("ties_sigmoid" + size, [=] { return integer_ties(hidden, MOE_SCORE_SIGMOID, false, false); });
    add("ties_identity_bias" + size, [=] {
      LayerCase c = integer_ties(hidden, MOE_SCORE_IDENTITY, true, false);
      c.desc.weight = MOE_WEIGHT_SOFTMAX;
      return c;
    });
  }
  add("ties_all_equal", [] { return integer_ties(40, MOE_SCORE_SOFTMAX, false, true); });
  add("nonfinite_logits_softmax", [] { return nonfinite_logits(MOE_SCORE_SOFTMAX, MOE_WEIGHT_IDENTITY, false); });
  add("nonfinite_logits_sigmoid", [] { return nonfinite_logits(MOE_SCORE_SIGMOID, MOE_WEIGHT_IDENTITY, false); });
  add("nonfinite_logits_sigmoid_bias", [] { return nonfinite_logits(MOE_SCORE_SIGMOID, MOE_WEIGHT_IDENTITY, true); });
  add("nonfinite_logits_then_softmax", [] { return nonfinite_logits(MOE_SCORE_IDENTITY, MOE_WEIGHT_SOFTMAX, false); });
  add("nonfinite_logits_then_sigmoid", [] { return nonfinite_logits(MOE_SCORE_IDENTITY, MOE_WEIGHT_SIGMOID, false); });
  add("nonfinite_x", [] { return nonfinite_x(9); });
  add("nonfinite_x_many_tokens", [] { return nonfinite_x(50); });
  add("signed_zeros", signed_zeros);
  add("ids_out_of_range", [] { return ids_out_of_range(false); });
  add("ids_out_of_range_beside_identity_experts", [] { return ids_out_of_range(true); });
  add("dense_one_token", [] { return dense(1, 120, 75); });
  add("dense", [] { return dense(77, 120, 75); });
  add("large_outputs", [] { return large_outputs(20); });
  for (const uint32_t precision : {MOE_PRECISION_MATRIX, MOE_PRECISION_INT8}) {
    const std::string name = precision == MOE_PRECISION_MATRIX ? "matrix" : "int8";
    for (const uint64_t tokens : {1, 6, 20}) {
      const std::string end = "_" + name + "_" + std::to_string(tokens);
      add("large_outputs" + end, [=] { return with_precision(large_outputs(tokens), precision); });
      add("outliers" + end, [=] { return outliers(tokens, precision); });
      add("bare_rounding" + end, [=] { return bare_rounding(tokens, precision); });
    }
    add("shared_in_parts_" + name, [=] {  // whose width is no multiple of 32
      LayerCase c = shape_only({6, 2, 40, 33, 20});
      c.desc.shared_intermediate = 66;
      return with_precision(drawn(c), precision);
    });
    add("family_kimi_k3_" + name, [=] { return with_precision(drawn(family_twin("kimi_k3")), precision); });
    add("nonfinite_x_" + name, [=] { return with_precision(nonfinite_x(9), precision); });
  }
  add("nonfinite_logits_softplus_groups",
      [] { return nonfinite_logits(MOE_SCORE_SQRT_SOFTPLUS, MOE_WEIGHT_IDENTITY, true, 3); });
  add("nonfinite_logits_groups", [] { return nonfinite_logits(MOE_SCORE_IDENTITY, MOE_WEIGHT_SIGMOID, false, 2); });
  add("nonfinite_logits_sparsemixer", [] {
    LayerCase c = nonfinite_logits(MOE_SCORE_IDENTITY, MOE_WEIGHT_IDENTITY, false);
    c.desc.selection = MOE_SELECT_SPARSEMIXER;
    c.desc.sparsemixer_eps = 0.1f;
    return c;
  });
  add("nonfinite_logits_p_norm", [] {
    LayerCase c = nonfinite_logits(MOE_SCORE_IDENTITY, MOE_WEIGHT_IDENTITY, false);
    c.desc.normalize = MOE_NORMALIZE_P_NORM;
    c.desc.normalize_p = 3;
    return c;
  });
  add("group_ties_max", [] { return group_ties(0); });
  add("group_ties_sum", [] { return group_ties(2); });
  add("group_ties_sum_of_all", [] { return group_ties(8); });
  for (const uint64_t tokens : {1, 13, 60}) {
    const std::string text = "_" + std::to_string(tokens);
    add("identity_experts" + text, [=] { return identity_experts(tokens, false); });
    add("identity_experts_alone" + text, [=] { return identity_experts(tokens, true); });
  }
  add("identity_experts_beyond_1024", [] {
    LayerCase c = shape_only({1024, 8, 16, 8, 30});
    c.desc.identity_experts = 1024;
    return drawn(c);
  });
  // One token; tokens without a sort; one sort; blocks of a sort.
  for (const uint64_t tokens : {1, 11, 70, 700}) {
    add("capacity_" + std::to_string(tokens), [=] { return capacity(tokens, 1.25f, 0); });
  }
  add("capacity_minimum", [] { return capacity(40, 0, 3); });
  add("capacity_beside_identity_and_shared_experts", [] {
    LayerCase c = shape_only({5, 3, 24, 12, 50});
    without_normalisation(c);
    c.desc.score = MOE_SCORE_IDENTITY;
    c.desc.route_source = MOE_ROUTE_FROM_IDS;
    c.desc.identity_experts = 3;
    c.desc.shared_intermediate = 24;
    c.desc.capacity = MOE_CAPACITY_POSITION;
    c.desc.capacity_factor = 0.5f;
    return drawn(c);
  });
  for (FixedCase& one : block_cases()) all.push_back(std::move(one));
  for (FixedCase& one : integer_dot_cases()) all.push_back(std::move(one));
  for (FixedCase& one : affine_cases()) all.push_back(std::move(one));
  for (const std::string& name : family_names()) {
    add(std::string("family_") + name, [=] { return drawn(family_twin(name)); });
  }
  add(
      "tokens_5000",
      [] {
        return plain({64, 6, 24, 16, 5000});
      },
      true);
  add(
      "wide",
      [] {
        return plain({4, 2, 4096, 1031, 19});
      },
      true);
  add(
      "wide_one_token",
      [] {
        return plain({4, 2, 4099, 2048, 1});
      },
      true);
  return all;
}

}  // namespace

const std::vector<FixedCase>& fixed_cases() {
  static const std::vector<FixedCase> all = make_cases();
  return all;
}

}  // namespace moe_conformance
