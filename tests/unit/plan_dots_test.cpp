// SPDX-License-Identifier: MIT
//
// int8 precision: where plans multiply integers, what they say where they do not, and that the codes are made first.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/layers/layer_shapes.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

moe_layer_desc int8_layer(WeightFormat format, const char* shape = "qwen3-30b") {
  moe_layer_desc d = describe(layer_shape(shape), format);
  d.precision = MOE_PRECISION_INT8;
  return d;
}

DeviceCaps with_dots(uint32_t kind) {
  DeviceCaps caps = device("wide-discrete");
  caps.integer_dot = kind;
  return caps;
}

struct Dots {
  uint32_t gate_up = 0, down = 0, quantise = 0;
  std::string refused;
  std::vector<std::string> problems;
};

Dots plan_dots(const moe_layer_desc& desc, const DeviceCaps& caps, uint64_t tokens, bool x_direct = true) {
  Planned layer(make_spec(desc), caps);
  CallShape shape = forward_shape(layer.spec, tokens);
  shape.x_direct = x_direct;
  const Plan plan = layer.plan(shape);
  Dots dots;
  for (const Step& step : plan.steps) {
    for (const Dispatch& d : step.dispatches) {
      const uint32_t kind = d.constants[static_cast<size_t>(Constant::kIntegerDot)];
      if (d.weight_set == WeightSet::kGateUp) dots.gate_up = kind;
      if (d.weight_set == WeightSet::kDown) dots.down = kind;
      dots.quantise += d.kernel == KernelId::kQuantise ? 1 : 0;
    }
  }
  for (const std::string& one : plan.refused) dots.refused += one + "\n";
  dots.problems = check_plan(layer.spec, layer.layout.value(), caps, plan);
  return dots;
}

TEST(PlanDots, FewTokensOfIntegersTimesScales) {
  for (const WeightFormat format :
       {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ5_1, WeightFormat::kQ2K, WeightFormat::kQ6K}) {
    for (const uint64_t tokens : {1, 2, 7, 16}) {
      for (const bool direct : {true, false}) {
        const Dots dots = plan_dots(int8_layer(format), with_dots(2), tokens, direct);
        EXPECT_EQ(dots.gate_up, 1u) << format_name(format) << ", " << tokens;
        EXPECT_EQ(dots.down, 1u) << format_name(format) << ", " << tokens;
        EXPECT_EQ(dots.quantise, 2u);
        EXPECT_EQ(dots.refused.find("integer dot"), std::string::npos) << dots.refused;
        EXPECT_EQ(dots.problems, std::vector<std::string>());
      }
    }
  }
}

TEST(PlanDots, TheDeviceSaysHow) {
  EXPECT_EQ(plan_dots(int8_layer(WeightFormat::kQ4K), with_dots(1), 1).gate_up, 1u);
  EXPECT_EQ(plan_dots(int8_layer(WeightFormat::kQ4K), with_dots(3), 1).gate_up, 2u);
  EXPECT_NE(plan_dots(int8_layer(WeightFormat::kQ6K), with_dots(1), 1).refused.find("Q6_K does not pay"),
            std::string::npos);
  const Dots mixed = plan_dots(int8_layer(WeightFormat::kQ6K), with_dots(3), 1);
  EXPECT_EQ(mixed.gate_up, 0u);
  EXPECT_EQ(mixed.down, 2u);
  EXPECT_NE(mixed.refused.find("in gate and up: Q6_K needs too many registers"), std::string::npos) << mixed.refused;
  DeviceCaps processor = device("lavapipe-25.0");
  EXPECT_EQ(processor.integer_dot, 1u);
  EXPECT_EQ(plan_dots(int8_layer(WeightFormat::kQ6K), processor, 1).gate_up, 1u);
  const Dots none = plan_dots(int8_layer(WeightFormat::kQ4K), with_dots(0), 1);
  EXPECT_EQ(none.gate_up + none.down + none.quantise, 0u);
  EXPECT_NE(none.refused.find("integer dot products in gate and up: the device has no shaderIntegerDotProduct"),
            std::string::npos)
      << none.refused;
  DeviceCaps struck = with_dots(2);
  struck.struck_kernels = "quantise";
  EXPECT_NE(plan_dots(int8_layer(WeightFormat::kQ4K), struck, 1).refused.find("cannot compile quantise"),
            std::string::npos);
}

TEST(PlanDots, WhatIsNotMultipliedSaysWhy) {
  const auto expect = [](const moe_layer_desc& d, uint64_t tokens, uint32_t gate_up, uint32_t down,
                         const std::string& reason) {
    const Dots dots = plan_dots(d, with_dots(2), tokens);
    EXPECT_EQ(dots.gate_up, gate_up) << reason;
    EXPECT_EQ(dots.down, down) << reason;
    EXPECT_NE(dots.refused.find(reason), std::string::npos) << reason << ":\n" << dots.refused;
    EXPECT_EQ(dots.problems, std::vector<std::string>());
  };
  expect(int8_layer(WeightFormat::kQ8_0), 17, 0, 0, "tiles multiply floats");
  expect(int8_layer(WeightFormat::kF16), 1, 0, 0, "f16 has no integers");
  moe_layer_desc d = int8_layer(WeightFormat::kQ8_0);
  d.down_format = {};
  d.down_format.element = MOE_ELEMENT_F16;
  expect(d, 1, 1, 0, "in down: f16 has no integers");
  d = int8_layer(WeightFormat::kQ8_0);
  d.gate_format.preset = 1 + 2;  // Q4_0
  expect(d, 1, 0, 1, "gate and up have codes of 8 bits and of fewer");
  d = int8_layer(WeightFormat::kQ8_0);
  d.latent = 512;
  expect(d, 1, 0, 0, "the rows of a latent space are not quantised");
  moe_weight_format narrow = {};
  narrow.element = MOE_ELEMENT_INT, narrow.bits = 4, narrow.block_columns = 16, narrow.scale = MOE_SCALE_F32;
  narrow.zero_point = MOE_ZERO_POINT_CENTRE;
  d = int8_layer(WeightFormat::kF16);
  d.gate_format = d.up_format = narrow;
  narrow.block_columns = 32;
  d.down_format = narrow;
  d.intermediate = 752;
  d.shared_intermediate = 80;
  d.shared_gate_format = d.shared_up_format = d.shared_down_format = narrow;
  expect(d, 1, 0, 0, "80 columns of h end within a block of 32");
}

TEST(PlanDots, OtherPrecisionsHaveNone) {
  moe_layer_desc d = int8_layer(WeightFormat::kQ8_0);
  for (const uint32_t precision : {MOE_PRECISION_EXACT, MOE_PRECISION_MATRIX}) {
    d.precision = precision;
    const Dots dots = plan_dots(d, with_dots(2), 1);
    EXPECT_EQ(dots.gate_up + dots.down + dots.quantise, 0u);
    EXPECT_EQ(dots.refused.find("integer dot"), std::string::npos);
  }
}

}  // namespace
}  // namespace moevk::unit
