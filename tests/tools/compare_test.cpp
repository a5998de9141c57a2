// SPDX-License-Identifier: MIT
//
// In:  made-up answers.
// Out: tests of when `moevk run` says that two answers agree, and of the roofline formulas.
// Why: a judge that passes everything looks just like a library that is right.
#include "tools/moevk/compare.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tools/moevk/roofline.h"

namespace moevk::cli {
namespace {

TEST(CompareOutputs, MeasuresErrors) {
  const OutputError error = compare_outputs({1, 2, 3, 5}, {1, 2, 3, 4}, 2, {});
  EXPECT_DOUBLE_EQ(error.max_abs, 1);
  EXPECT_DOUBLE_EQ(error.rms, 0.5);
  EXPECT_DOUBLE_EQ(error.relative_rms, std::sqrt(1.0 / 30));
  EXPECT_FALSE(error.ok());
  EXPECT_TRUE(compare_outputs({1, 2, 3, 5}, {1, 2, 3, 4}, 2, {false, true}).ok());
}

TEST(CompareOutputs, NotFiniteIsWrong) {
  EXPECT_FALSE(compare_outputs({NAN, 2}, {1, 2}, 2, {}).ok());
  EXPECT_FALSE(compare_outputs({INFINITY, 2}, {1, 2}, 2, {}).ok());
  EXPECT_FALSE(compare_outputs({1, 2}, {NAN, 2}, 2, {}).ok());
  EXPECT_TRUE(compare_outputs({NAN, 2}, {NAN, 2}, 2, {}).ok());
  EXPECT_FALSE(compare_outputs({1e-30f}, {0}, 1, {}).ok());
}

TEST(CompareRoutes, ExcusesNearTiesOnly) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = 2;
  desc.experts = 3;
  desc.top_k = 1;
  const std::vector<float> x = {1, 0, 1, 0};
  const std::vector<float> router = {1, 0, 0.5f, 0, 0, 0};
  const std::vector<float> logits = {1, 1 - 0x1p-23f, 0, 1, 0.5f, 0};
  const RouteQuestion question{&desc, &x, &router, &logits};
  const RouteComparison result = compare_routes({1, 1}, {0, 0}, question);
  EXPECT_EQ(result.same, 0u);
  EXPECT_EQ(result.near_ties, 1u);
  EXPECT_EQ(result.wrong, 1u);
  EXPECT_TRUE(result.excluded[0]);
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(compare_routes({0, 0}, {0, 0}, question).ok());
  desc.flags = MOE_LAYER_SELECTION_BIAS;  // the key is not the logit: nothing is excused
  EXPECT_EQ(compare_routes({1, 0}, {0, 0}, question).wrong, 1u);
}

TEST(Roofline, FollowsTheFormulas) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = 2048;
  desc.intermediate = 768;
  desc.experts = 128;
  desc.top_k = 8;
  EXPECT_DOUBLE_EQ(roofline(desc, 1, 16).distinct_experts, 8);
  EXPECT_NEAR(roofline(desc, 8, 16).distinct_experts, 51.6, 0.05);
  EXPECT_NEAR(roofline(desc, 32, 16).distinct_experts, 111.8, 0.05);
  const Roofline one = roofline(desc, 1, 16);
  EXPECT_DOUBLE_EQ(one.flops, 6.0 * 8 * 2048 * 768 + 2.0 * 2048 * 128);
  EXPECT_DOUBLE_EQ(
      one.bytes, 8.0 * 3 * 2048 * 768 * 2 + 4.0 * 128 * 2048 + 4.0 * (2048 + 2 * 8 * 768 + 2 * 8 * 2048) + 4.0 * 2048);
  EXPECT_DOUBLE_EQ(roofline(desc, 64, 16, 8.0).distinct_experts, 8);
}

}  // namespace
}  // namespace moevk::cli
