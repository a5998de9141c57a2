// SPDX-License-Identifier: MIT
//
// Each format is gate and up once and down once; tokens from one to the most that the small-token kernels take.
#include "tests/conformance/integer_dot_cases.h"

#include <cmath>
#include <limits>

#include "tests/conformance/affine_codec.h"
#include "tests/conformance/block_codec.h"
#include "tests/conformance/random_layer.h"

namespace moe_conformance {
namespace {

constexpr uint64_t kTokens[] = {1, 2, 5, 16};
constexpr uint32_t kBlockTypes[] = {8, 2, 3, 6, 7, 12, 13, 14, 10, 11};  // Q8_0, Q4_0 .. Q5_1, Q4_K .. Q6_K, Q2_K, Q3_K

LayerCase redrawn(LayerCase c) {
  Random random(1, 80, c.tokens);
  c.weights = {};
  c.inputs = {};
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

LayerCase layer(uint32_t hidden, uint32_t intermediate, uint64_t tokens) {
  LayerCase c =
      softmax_layer(5, 2, hidden, intermediate, tokens, Random(1, 80, tokens), static_cast<uint32_t>(MOE_DTYPE_F32));
  c.desc.precision = MOE_PRECISION_INT8;
  return c;
}

moe_weight_format preset(uint32_t type) {
  moe_weight_format format = {};
  format.preset = 1 + type;
  return format;
}

// 768 columns: an odd number of the largest blocks.
LayerCase blocks(size_t index, uint64_t tokens) {
  LayerCase c = layer(768, 256, tokens);
  c.desc.gate_format = c.desc.up_format = preset(kBlockTypes[index]);
  c.desc.down_format = preset(kBlockTypes[(index + 1) % std::size(kBlockTypes)]);
  if (index % 3 == 0) c.desc.flags |= MOE_LAYER_INPUT_NORM;  // x is prepared first
  if (index == 5) {                                          // of other formats, in two orders of codes
    c.desc.shared_intermediate = 512;
    c.desc.shared_gate_format = c.desc.shared_up_format = c.desc.shared_down_format = preset(8);
  }
  return redrawn(std::move(c));
}

// Integers of affine formats: widths end within a block of 32.
LayerCase affine(size_t index, uint64_t tokens) {
  constexpr uint32_t kInt = MOE_ELEMENT_INT;
  const moe_weight_format formats[] = {
      {kInt, 4, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0},
      {kInt, 8, 64, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0},
      {kInt, 4, 128, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0},
      {kInt, 8, 0, 0, MOE_SCALE_BF16, MOE_ZERO_POINT_NONE, 0, 0},
      {kInt, 4, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_NONE, 0, 0},
      {kInt, 8, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0},
  };
  LayerCase c = layer(304, 144, tokens);
  c.desc.gate_format = c.desc.up_format = formats[index];
  c.desc.down_format = formats[(index + 1) % std::size(formats)];
  if (index == 2) c.desc.flags |= MOE_LAYER_UNGATED;
  if (index == 4) {  // whose h ends within a block before the routed experts' does
    c.desc.shared_intermediate = 80;
    c.desc.shared_gate_format = c.desc.shared_up_format = c.desc.shared_down_format = formats[2];
  }
  return redrawn(std::move(c));
}

// Blocks that stay as they are: with an infinity, of tiny numbers; zeros; and a NaN. Relu keeps tiny numbers tiny.
LayerCase unrounded_blocks(uint32_t type, uint64_t tokens) {
  LayerCase c = layer(512, 256, tokens);
  c.desc.flags |= MOE_LAYER_UNGATED;
  c.desc.activation = MOE_ACTIVATION_RELU;
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c.desc.gate_format = {};
  c.desc.up_format = c.desc.down_format = preset(type);
  c = redrawn(std::move(c));
  const auto x = [&](uint64_t token, size_t column) -> float& { return c.inputs.x[token * 512 + column]; };
  for (uint64_t t = 0; t < tokens; ++t) {
    for (size_t i = 0; i < 512; ++i) {
      if (t % 7 == 1) x(t, i) = std::ldexp(x(t, i), -108);  // all of it, and so h
      if (t % 7 == 2 && i / 32 % 2 == 0) x(t, i) = 0;
      if (t % 7 == 3 && i / 32 == 5) x(t, i) = std::ldexp(x(t, i), -104);  // among others, where nothing is seen of it
      if (t % 7 == 4) x(t, i) = std::ldexp(x(t, i), i < 256 ? 30 : -110);
    }
    if (t % 7 == 5) x(t, 37) = std::numeric_limits<float>::infinity();
    if (t % 7 == 6) x(t, 481) = std::nanf("");
  }
  return c;
}

// The scale of one block of expert 1 is an infinity, so its weights are infinities and NaNs.
LayerCase infinite_scale(uint64_t tokens) {
  LayerCase c = layer(256, 64, tokens);
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c.desc.gate_format = c.desc.up_format = c.desc.down_format = preset(8);
  c = redrawn(std::move(c));
  const BlockKind& kind = *block_kind(c.desc.gate_format);
  std::byte* block = c.weights.blocks.up.data() + ((size_t{64} + 5) * 256 / kind.elements + 3) * kind.bytes;
  block[0] = std::byte{0};
  block[1] = std::byte{0x7C};
  c.weights.up = decode_blocks(kind, c.weights.blocks.up);
  return c;
}

}  // namespace

std::vector<FixedCase> integer_dot_cases() {
  std::vector<FixedCase> all;
  const auto add = [&](const std::string& name, size_t index, auto make) {
    const uint64_t tokens = kTokens[index % std::size(kTokens)];
    all.push_back({"int8_" + name + "_" + std::to_string(tokens), false, [=] { return make(tokens); }});
  };
  for (size_t i = 0; i < std::size(kBlockTypes); ++i) {
    add(block_kind(preset(kBlockTypes[i]))->name, i, [=](uint64_t tokens) { return blocks(i, tokens); });
  }
  for (size_t i = 0; i < 6; ++i) {
    add("affine" + std::to_string(i), i + 1, [=](uint64_t tokens) { return affine(i, tokens); });
  }
  for (const uint32_t type : {8u, 12u}) {
    add(std::string("unrounded_") + block_kind(preset(type))->name, 3,
        [=](uint64_t tokens) { return unrounded_blocks(type, tokens); });
  }
  add("infinite_scale", 2, infinite_scale);
  return all;
}

}  // namespace moe_conformance
