// SPDX-License-Identifier: MIT
//
// Widths are odd multiples of 16, so that the last group of a row and the last rows of a block are cut short.
#include "tests/conformance/affine_cases.h"

#include <cmath>

#include "tests/conformance/affine_codec.h"
#include "tests/conformance/block_codec.h"
#include "tests/conformance/random_layer.h"

namespace moe_conformance {
namespace {

constexpr uint32_t kInt = MOE_ELEMENT_INT, kE4m3 = MOE_ELEMENT_FP8_E4M3;

LayerCase redrawn(LayerCase c) {
  Random random(1, 79, c.tokens);
  c.weights = {};
  c.inputs = {};
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

LayerCase layer(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate, uint64_t tokens) {
  return softmax_layer(experts, top_k, hidden, intermediate, tokens, Random(1, 79, tokens), MOE_DTYPE_F32);
}

void set_all(moe_layer_desc& d, const moe_weight_format& format) {
  d.gate_format = d.up_format = d.down_format = format;
  d.shared_gate_format = d.shared_up_format = d.shared_down_format = format;
}

// The formats first, first + 1 and first + 2 as gate, up and down.
LayerCase three_formats(size_t first, uint64_t tokens) {
  const auto format = [first](size_t i) { return affine_formats()[(first + i) % affine_formats().size()]; };
  LayerCase c = layer(5, 2, 304, 144, tokens);
  c.desc.gate_format = format(0);
  c.desc.up_format = format(1);
  c.desc.down_format = format(2);
  c.arrangement.upload_parts = 2;
  return redrawn(std::move(c));
}

// Gate and up in one tensor, whose scales and zero points are then joined likewise.
LayerCase joined(uint32_t layout, const moe_weight_format& format, uint64_t tokens) {
  LayerCase c = layer(4, 2, 144, 128, tokens);
  c.desc.gate_up_layout = layout;
  set_all(c.desc, format);
  c.arrangement.upload_by_callback = true;
  return redrawn(std::move(c));
}

// Shared experts of F join the routed ones; wider ones would be cut across groups, and are a segment of their own.
LayerCase with_shared(uint32_t times, const moe_weight_format& format, uint64_t tokens) {
  LayerCase c = layer(6, 2, 128, 80, tokens);
  set_all(c.desc, format);
  c.desc.shared_intermediate = times * 80;
  return redrawn(std::move(c));
}

LayerCase latent(uint64_t tokens) {
  LayerCase c = layer(6, 2, 160, 80, tokens);
  c.desc.latent = 96;
  set_all(c.desc, {kInt, 4, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0});
  c.desc.latent_down_format = {kE4m3, 8, 128, 128, MOE_SCALE_F32, 0, 0, 0};
  c.desc.latent_up_format = {kInt, 8, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0};
  return redrawn(std::move(c));
}

// Beside blocks and f16, and with activations in 8 bits.
LayerCase mixed(uint64_t tokens) {
  LayerCase c = layer(8, 3, 256, 128, tokens);
  c.desc.gate_format = {kInt, 4, 64, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0};
  c.desc.up_format.preset = 1 + 8;  // Q8_0
  c.desc.down_format = plain_format(MOE_DTYPE_F16);
  c.desc.shared_intermediate = 96;
  c.desc.shared_gate_format = {kE4m3, 0, 0, MOE_BLOCK_ALL_ROWS, MOE_SCALE_F32, 0, 0, 0};
  c.desc.shared_up_format = c.desc.up_format;
  c.desc.shared_down_format = {kInt, 2, 32, 0, MOE_SCALE_BF16, MOE_ZERO_POINT_STORED, 0, 0};
  c.desc.precision = tokens > 16 ? MOE_PRECISION_EXACT : MOE_PRECISION_INT8;
  return redrawn(std::move(c));
}

// A scale of expert 1 is a NaN, and so is an fp8 code of expert 2: tokens that go there become NaN, and no others.
LayerCase nan_weights(uint64_t tokens) {
  LayerCase c = layer(6, 1, 96, 64, tokens);
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c.desc.gate_format = c.desc.up_format = {kInt, 4, 32, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0};
  c.desc.down_format = {kE4m3, 0, 0, 0, MOE_SCALE_F32, 0, 0, 0};
  c = redrawn(std::move(c));
  LayerWeights& w = c.weights;
  store(MOE_DTYPE_F32, w.parts.gate.scales.data() + ((64 + 5) * 3 + 1) * sizeof(float), std::nanf(""));
  w.gate = decode_affine(c.desc.gate_format, {6, 64, 96}, w.blocks.gate, w.parts.gate);
  w.blocks.down[(2 * 96 + 7) * 64 + 9] = std::byte{0xFF};
  w.down = decode_affine(c.desc.down_format, {6, 96, 64}, w.blocks.down, w.parts.down);
  for (uint64_t t = 0; t < tokens; ++t) c.inputs.logits[t * 6 + t % 6] = 20;
  return c;
}

}  // namespace

std::vector<FixedCase> affine_cases() {
  std::vector<FixedCase> all;
  const auto add = [&](std::string name, uint64_t tokens, auto make) {
    all.push_back({"affine_" + name + "_" + std::to_string(tokens), false, [=] { return make(tokens); }});
  };
  for (size_t first = 0; first < affine_formats().size(); first += 3) {
    for (const uint64_t tokens : {uint64_t{first % 2 == 0 ? 5u : 1u}, uint64_t{first % 2 == 0 ? 21u : 40u}}) {
      add("formats_" + std::to_string(first), tokens, [=](uint64_t t) { return three_formats(first, t); });
    }
  }
  const moe_weight_format row_zeros = {kInt, 4, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_STORED, 0, 0};
  const moe_weight_format group_zeros = {kInt, 2, 16, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0};
  const moe_weight_format fp8_blocks = {kE4m3, 8, 128, 128, MOE_SCALE_F32, 0, 0, 0};
  for (const uint64_t tokens : {7, 33}) {
    add("interleaved_row_zeros", tokens, [=](uint64_t t) { return joined(MOE_GATE_UP_INTERLEAVED, row_zeros, t); });
    add("up_first_group_zeros", tokens,
        [=](uint64_t t) { return joined(MOE_GATE_UP_CONCATENATED_UP_FIRST, group_zeros, t); });
    add("concatenated_fp8_blocks", tokens, [=](uint64_t t) { return joined(MOE_GATE_UP_CONCATENATED, fp8_blocks, t); });
    add("shared_joins", tokens, [=](uint64_t t) { return with_shared(1, fp8_blocks, t); });
    add("shared_apart", tokens, [=](uint64_t t) { return with_shared(2, group_zeros, t); });
    add("latent", tokens, latent);
    add("mixed", tokens, mixed);
    add("nan_weights", tokens, nan_weights);
  }
  return all;
}

}  // namespace moe_conformance
