// SPDX-License-Identifier: MIT
//
// Draws a layer: shape, route, network, shared experts, numbers, arrangement of memory, in this
// order. Each step reads the choices before it, so that what comes out is legal.
#include "tests/conformance/random_layer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "tests/conformance/block_codec.h"
#include "tests/conformance/oracle.h"
#include "tests/conformance/random_blocks.h"
#include "tests/conformance/random_route.h"

namespace moe_conformance {
namespace {

constexpr uint32_t kDtypes[] = {MOE_DTYPE_F32, MOE_DTYPE_F16, MOE_DTYPE_BF16};

std::vector<float> draw(Random& random, size_t count, float scale, float mean, uint32_t dtype) {
  std::vector<float> values(count);
  for (float& value : values) value = round_to(dtype, mean + scale * random.normal());
  return values;
}

uint32_t draw_width(Random& random) {
  static constexpr uint32_t kTiny[] = {1, 2, 3, 5, 7};
  static constexpr uint32_t kPrimes[] = {11, 13, 31, 37, 61, 97, 127, 131, 251, 257};
  static constexpr uint32_t kRound[] = {8, 16, 32, 64, 96, 128, 256};
  const double kind = random.uniform();
  if (kind < 0.12) return random.pick(kTiny);
  if (kind < 0.3) return random.pick(kPrimes);
  if (kind < 0.5) return random.pick(kRound);
  return kind < 0.8 ? random.between(8, 80) : random.between(81, 300);
}

void draw_shape(LayerCase& c, Random& random, bool long_run) {
  static constexpr uint32_t kTokens[] = {1, 1, 2, 8, 9, 16, 17, 33, 64};
  moe_layer_desc& d = c.desc;
  const double kind = random.uniform();
  d.experts = kind < 0.15   ? random.between(1, 4)
              : kind < 0.65 ? random.between(5, 64)
              : kind < 0.85 ? random.between(65, 256)
              : kind < 0.95 ? random.between(257, 512)
                            : random.between(513, 1024);
  const double many = random.uniform();
  if (random.chance(0.12)) d.identity_experts = random.between(1, random.chance(0.8) ? 32 : 256);
  d.top_k = std::min(d.experts + d.identity_experts, random.between(1, many < 0.7 ? 8 : many < 0.93 ? 16 : 32));
  d.hidden = draw_width(random);
  d.intermediate = draw_width(random);
  const double tokens = random.uniform();
  c.tokens = tokens < 0.6 ? random.pick(kTokens) : tokens < 0.9 ? random.between(1, 80) : random.between(100, 400);
  if (long_run) {
    d.hidden *= random.between(1, 8);
    d.intermediate *= random.between(1, 8);
    c.tokens *= random.between(1, 4);
  }
}

// Halves what is largest until the case is cheap.
void shrink(LayerCase& c, bool long_run) {
  moe_layer_desc& d = c.desc;
  const double factor = long_run ? 100 : 1;
  for (;;) {
    const double hidden = d.hidden, width = d.intermediate;
    const double weights = 3 * hidden * width * d.experts + hidden * d.experts;
    const double call = static_cast<double>(c.tokens) * 2 * hidden * (d.experts + 3 * width * (d.top_k + 2));
    if (weights <= 1.8e6 * factor && call <= 1.6e7 * factor) return;
    const bool many_tokens =
        weights <= 1.8e6 * factor && c.tokens > 20 && static_cast<double>(c.tokens) > std::max(hidden, width);
    if (many_tokens) {
      c.tokens /= 2;
    } else if (d.hidden >= d.intermediate) {
      d.hidden = (d.hidden + 1) / 2;
    } else {
      d.intermediate = (d.intermediate + 1) / 2;
    }
  }
}

void draw_network(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  if (random.chance(0.2)) {
    d.flags |= MOE_LAYER_UNGATED;
    d.activation = random.below(MOE_ACTIVATION_RELU2 + 1);
  } else {
    d.activation = random.chance(0.3) ? MOE_ACTIVATION_SILU : random.below(MOE_ACTIVATION_SITU + 1);
    d.gate_up_layout = random.below(MOE_GATE_UP_INTERLEAVED + 1);
  }
  if (d.activation == MOE_ACTIVATION_SWIGLU_OAI) {
    d.activation_alpha = random.chance(0.5) ? 0.0f : 1.2f;
    d.activation_beta = random.chance(0.7) ? 1.0f : 0.25f;
    d.activation_limit = random.chance(0.5) ? 7.0f : 0.8f;
  } else if (d.activation == MOE_ACTIVATION_SITU) {
    d.activation_alpha = random.chance(0.5) ? 0.0f : 0.7f;
    const double kind = random.uniform();
    d.activation_beta = kind < 0.3 ? 0.0f : kind < 0.6 ? 25.0f : 0.9f;
  } else if (d.activation == MOE_ACTIVATION_SWIGLU_CLAMP_PRE || d.activation == MOE_ACTIVATION_SWIGLU_CLAMP_POST) {
    const double kind = random.uniform();
    d.activation_limit = kind < 0.4 ? 10.0f : kind < 0.9 ? 0.7f : 0.0f;
  }
  if (random.chance(0.3)) d.matrix_order = MOE_MATRIX_IN_OUT;
  if (random.chance(0.25)) d.flags |= MOE_LAYER_EXPERT_BIAS;
  if (random.chance(0.25)) {
    d.flags |= MOE_LAYER_INPUT_NORM;
    d.norm_eps = random.chance(0.5) ? 0.0f : 1e-5f;
  }
  if (random.chance(0.35)) {
    d.shared_intermediate =
        random.chance(0.5) ? d.intermediate * random.between(1, 3) : random.between(1, 2 * d.intermediate);
    d.shared_gate = random.below(MOE_SHARED_GATE_CONSTANT + 1);
    const bool own_input = has_flag(d, MOE_LAYER_SEPARATE_ROUTER_INPUT) || has_flag(d, MOE_LAYER_ROUTER_INPUT_NORM) ||
                           has_flag(d, MOE_LAYER_ROUTER_INPUT_SCALE) || d.router_input_multiplier != 0;
    if (own_input && d.shared_gate == MOE_SHARED_GATE_SIGMOID) d.shared_gate = MOE_SHARED_GATE_ONE;  // refused
    if (d.shared_gate == MOE_SHARED_GATE_CONSTANT) d.shared_constant = random.chance(0.5) ? 0.4f : -1.5f;
  }
  if (random.chance(0.15)) {
    d.latent = random.between(1, d.hidden);
    if (random.chance(0.6)) d.flags |= MOE_LAYER_LATENT_NORM;
  }
  if (random.chance(0.2)) d.out_scale = random.chance(0.5) ? 0.5f : 3.0f;
  if (random.chance(0.15)) d.precision = random.between(MOE_PRECISION_MATRIX, MOE_PRECISION_INT8);
}

void draw_formats(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  const bool joint = d.gate_up_layout != MOE_GATE_UP_SEPARATE;
  const bool one = has_flag(d, MOE_LAYER_UNGATED) || joint;
  const auto formats = [&](moe_weight_format& gate, moe_weight_format& up, moe_weight_format& down) {
    const double kind = random.uniform();
    const uint32_t all = kind < 0.4 ? MOE_DTYPE_F32 : random.pick(kDtypes);
    gate = up = down = plain_format(all);
    if (kind > 0.85) {
      up = plain_format(random.pick(kDtypes));
      gate = one ? up : plain_format(random.pick(kDtypes));
      down = plain_format(random.pick(kDtypes));
    }
  };
  formats(d.gate_format, d.up_format, d.down_format);
  if (d.shared_intermediate != 0) {
    if (random.chance(0.6)) {
      d.shared_gate_format = d.gate_format;
      d.shared_up_format = d.up_format;
      d.shared_down_format = d.down_format;
    } else {
      formats(d.shared_gate_format, d.shared_up_format, d.shared_down_format);
    }
  }
  if (d.latent != 0) {
    d.latent_down_format = plain_format(random.pick(kDtypes));
    d.latent_up_format = plain_format(random.pick(kDtypes));
  }
  c.weights.router_dtype = random.chance(0.6) ? MOE_DTYPE_F32 : random.pick(kDtypes);
}

Placement draw_placement(Random& random) {
  static constexpr uint32_t kOffsets[] = {0, 0, 4, 12, 20, 64, 100};
  static constexpr uint32_t kPaddings[] = {0, 0, 0, 4, 12, 36, 64};
  Placement place;
  place.device = random.chance(0.45);
  place.offset_bytes = random.pick(kOffsets);
  place.padding_bytes = random.pick(kPaddings);
  return place;
}

void draw_arrangement(LayerCase& c, Random& random) {
  Arrangement& a = c.arrangement;
  LayerInputs& in = c.inputs;
  // In few bits a number is often half its block's largest: 63.5 of its 127ths, which f32 may round either way.
  const bool eight_bits = c.desc.precision == MOE_PRECISION_INT8;
  in.x_dtype = random.chance(eight_bits ? 0.9 : 0.5) ? MOE_DTYPE_F32 : random.pick(kDtypes);
  in.router_x_dtype = random.chance(0.5) ? MOE_DTYPE_F32 : random.pick(kDtypes);
  in.y_dtype = random.chance(0.5) ? MOE_DTYPE_F32 : random.pick(kDtypes);
  in.residual_dtype = random.chance(0.5) ? MOE_DTYPE_F32 : random.pick(kDtypes);
  if (random.chance(0.3)) in.beta = random.chance(0.5) ? 1.0f : -0.75f;
  a.x = draw_placement(random);
  a.router_x = draw_placement(random);
  a.y = draw_placement(random);
  a.residual = draw_placement(random);
  a.route_in = draw_placement(random);
  a.route_out = draw_placement(random);
  if (a.x.device && random.chance(0.2)) {
    a.y_alias = Alias::kX;
    a.y = a.x;
    in.y_dtype = in.x_dtype;
  } else if (in.beta != 0 && a.residual.device && random.chance(0.4)) {
    a.y_alias = Alias::kResidual;
    a.y = a.residual;
    in.y_dtype = in.residual_dtype;
  }
  a.wide_routes = random.chance(0.5);
  a.staged_on_device = random.chance(0.5);
  a.upload_by_callback = random.chance(0.15);
  if (random.chance(0.25)) a.upload_parts = random.between(2, 4);
}

LayerCase draw_case(uint64_t seed, uint32_t index, uint32_t attempt, bool long_run) {
  Random random(seed, index, attempt);
  LayerCase c;
  c.name = "random";
  c.desc = MOE_INIT(moe_layer_desc);
  draw_shape(c, random, long_run);
  shrink(c, long_run);
  Random block_random(seed ^ 0x626c6f636b73, index, attempt);
  const uint32_t block = draw_block(c, block_random);
  Random affine_random(seed ^ 0x616666696e65, index, attempt);
  const bool affine = block == 0 && draw_affine(c, affine_random);
  draw_route(c, random);
  draw_network(c, random);
  draw_formats(c, random);
  if (block != 0) draw_block_formats(c, block_random, block);
  if (affine) draw_affine_formats(c, affine_random);
  draw_arrangement(c, random);
  Random capacity_random(seed ^ 0x6361706163697479, index, attempt);
  draw_capacity(c, capacity_random);
  draw_weights(c, random);
  static constexpr float kScales[] = {1, 1, 1, 0.125f, 4};
  draw_inputs(c, random, random.pick(kScales));
  return c;
}

bool well_conditioned(const LayerCase& c) {
  // The largest of many outputs is never a small one; but a norm makes a token large whose latent terms cancelled.
  if (c.tokens * c.desc.hidden > 64 && !has_flag(c.desc, MOE_LAYER_LATENT_NORM)) return true;
  const RouteOracle route = route_oracle(c);
  const OutputOracle out = output_oracle(c, route.ids, weights_oracle(c, route, route.ids));
  const auto larger = [](double a, double b) { return std::fabs(a) < std::fabs(b); };
  const double y = std::fabs(*std::max_element(out.y.begin(), out.y.end(), larger));
  const double typical = *std::max_element(out.typical.begin(), out.typical.end(), larger);
  return y >= 0.1 * typical;
}

}  // namespace

LayerCase softmax_layer(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate, uint64_t tokens,
                        Random random, uint32_t dtype) {
  LayerCase c;
  c.desc = MOE_INIT(moe_layer_desc);
  c.desc.experts = experts;
  c.desc.top_k = top_k;
  c.desc.hidden = hidden;
  c.desc.intermediate = intermediate;
  c.desc.score = MOE_SCORE_SOFTMAX;
  c.desc.gate_format = c.desc.up_format = c.desc.down_format = plain_format(dtype);
  c.tokens = tokens;
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

namespace {

// The first k of a shuffle of all experts, so that none comes twice; and, where nothing divides by their weights, some
// ids of no expert.
std::vector<int32_t> draw_ids(const moe_layer_desc& d, Random& random, size_t rows) {
  static constexpr int32_t kOutside[] = {-1, -2147483647 - 1, 2147483647};
  const auto all = static_cast<uint32_t>(candidates(d));
  const bool outside = d.normalize == MOE_NORMALIZE_NONE && random.chance(0.4);
  std::vector<int32_t> shuffled(all), ids;
  for (uint32_t e = 0; e < all; ++e) shuffled[e] = static_cast<int32_t>(e);
  for (size_t row = 0; row < rows; ++row) {
    for (uint32_t s = 0; s < d.top_k; ++s) {
      std::swap(shuffled[s], shuffled[s + random.below(all - s)]);
      const int32_t beyond = random.chance(0.5) ? static_cast<int32_t>(all) : random.pick(kOutside);
      ids.push_back(outside && random.chance(0.2) ? beyond : shuffled[s]);
    }
  }
  return ids;
}

void draw_token_table(LayerCase& c, Random& random) {
  c.weights.token_table = draw_ids(c.desc, random, c.desc.token_table_rows);
}

}  // namespace

void draw_weights(LayerCase& c, Random& random) {
  const moe_layer_desc& d = c.desc;
  LayerWeights& w = c.weights;
  const size_t experts = d.experts, hidden = d.hidden, width = d.intermediate, shared = d.shared_intermediate;
  const size_t inner = expert_hidden(d), latent = d.latent;
  const auto scale = [](size_t inputs) { return 1 / std::sqrt(static_cast<float>(inputs)); };
  const bool gated = !has_flag(d, MOE_LAYER_UNGATED);
  const size_t choices = candidates(d);
  w.blocks = {};
  w.parts = {};
  const auto matrix = [&](std::vector<float>& values, std::vector<std::byte>& blocks, AffineParts& parts, size_t count,
                          size_t rows, size_t inputs, const moe_weight_format& format) {
    const AffineShape shape = {count, rows, inputs};
    const size_t elements = count * rows * inputs;
    if (is_affine(format)) {
      blocks = draw_affine(random, format, shape, scale(inputs), parts);
      values = decode_affine(format, shape, blocks, parts);
    } else if (const BlockKind* kind = block_kind(format); kind != nullptr) {
      blocks = draw_blocks(random, *kind, elements, scale(inputs));
      values = decode_blocks(*kind, blocks);
    } else {
      values = draw(random, elements, scale(inputs), 0, format.element);
    }
  };
  if (computes_logits(d)) {
    moe_weight_format format = w.router_format;
    if (block_kind(format) == nullptr) format = plain_format(w.router_dtype);
    AffineParts none;
    matrix(w.router, w.blocks.router, none, 1, choices, hidden, format);
  }
  if (has_flag(d, MOE_LAYER_ROUTER_BIAS)) w.router_bias = draw(random, choices, 0.3f, 0, w.router_dtype);
  if (has_flag(d, MOE_LAYER_SELECTION_BIAS)) w.selection_bias = draw(random, choices, 0.2f, 0, w.router_dtype);
  if (has_flag(d, MOE_LAYER_ROUTER_INPUT_SCALE)) w.router_scale = draw(random, hidden, 0.3f, 1, w.router_dtype);
  if (has_flag(d, MOE_LAYER_PER_EXPERT_SCALE)) w.expert_scale = draw(random, experts, 0.3f, 1, w.router_dtype);
  if (d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) draw_token_table(c, random);
  if (has_flag(d, MOE_LAYER_INPUT_NORM)) w.norm = draw(random, hidden, 0.2f, 1, w.router_dtype);
  if (gated) matrix(w.gate, w.blocks.gate, w.parts.gate, experts, width, inner, d.gate_format);
  matrix(w.up, w.blocks.up, w.parts.up, experts, width, inner, d.up_format);
  matrix(w.down, w.blocks.down, w.parts.down, experts, inner, width, d.down_format);
  if (has_flag(d, MOE_LAYER_EXPERT_BIAS)) {
    if (gated) w.gate_bias = draw(random, experts * width, 0.2f, 0, w.router_dtype);
    w.up_bias = draw(random, experts * width, 0.2f, 0, w.router_dtype);
    w.down_bias = draw(random, experts * inner, 0.2f, 0, w.router_dtype);
  }
  if (latent != 0) {
    matrix(w.latent_down, w.blocks.latent_down, w.parts.latent_down, 1, latent, hidden, d.latent_down_format);
    matrix(w.latent_up, w.blocks.latent_up, w.parts.latent_up, 1, hidden, latent, d.latent_up_format);
    if (has_flag(d, MOE_LAYER_LATENT_NORM)) w.latent_norm = draw(random, latent, 0.2f, 1, w.router_dtype);
  }
  if (shared != 0) {
    if (gated)
      matrix(w.shared_gate, w.blocks.shared_gate, w.parts.shared_gate, 1, shared, hidden, d.shared_gate_format);
    matrix(w.shared_up, w.blocks.shared_up, w.parts.shared_up, 1, shared, hidden, d.shared_up_format);
    matrix(w.shared_down, w.blocks.shared_down, w.parts.shared_down, 1, hidden, shared, d.shared_down_format);
    if (d.shared_gate == MOE_SHARED_GATE_SIGMOID)
      w.shared_router = draw(random, hidden, scale(hidden), 0, w.router_dtype);
  }
}

void draw_inputs(LayerCase& c, Random& random, float x_scale) {
  const moe_layer_desc& d = c.desc;
  LayerInputs& in = c.inputs;
  const size_t experts = candidates(d), hidden = d.hidden, k = d.top_k, tokens = c.tokens;
  in.x = draw(random, tokens * hidden, x_scale, 0, in.x_dtype);
  if (has_flag(d, MOE_LAYER_SEPARATE_ROUTER_INPUT)) {
    in.router_x = draw(random, tokens * hidden, x_scale, 0, in.router_x_dtype);
  }
  if (in.beta != 0) in.residual = draw(random, tokens * hidden, 1, 0, in.residual_dtype);
  if (d.route_source == MOE_ROUTE_FROM_LOGITS) in.logits = draw(random, tokens * experts, 2, 0, MOE_DTYPE_F32);
  if (d.route_source == MOE_ROUTE_FROM_SCORES) {
    in.scores = draw(random, tokens * experts, 1, 0, MOE_DTYPE_F32);
    // Coarse scores tie often; ties go to the lowest id.
    if (random.chance(0.3))
      std::transform(in.scores.begin(), in.scores.end(), in.scores.begin(),
                     [](float s) { return std::floor(2 * s) + 0.5f; });
    in.weights.resize(tokens * experts);
  }
  if (d.route_source == MOE_ROUTE_FROM_IDS) {
    in.ids = draw_ids(d, random, tokens);
    in.weights.resize(tokens * k);
  }
  for (float& weight : in.weights) weight = static_cast<float>(0.05 + random.uniform());
  if (d.route_source != MOE_ROUTE_FROM_TOKEN_TABLE) return;
  const bool outside = d.normalize == MOE_NORMALIZE_NONE;
  for (size_t t = 0; t < tokens; ++t) {
    const auto row = static_cast<int32_t>(random.below(d.token_table_rows));
    static constexpr int32_t kNoRow[] = {-1, -2147483647 - 1, 2147483647};
    const int32_t beyond = random.chance(0.5) ? static_cast<int32_t>(d.token_table_rows) : random.pick(kNoRow);
    in.token_ids.push_back(outside && random.chance(0.1) ? beyond : row);
  }
}

LayerCase random_layer(uint64_t seed, uint32_t index, bool long_run) {
  constexpr uint32_t kAttempts = 50;
  for (uint32_t attempt = 0;; ++attempt) {
    LayerCase c = draw_case(seed, index, attempt, long_run);
    if (attempt + 1 == kAttempts || well_conditioned(c)) return c;
  }
}

}  // namespace moe_conformance
