// SPDX-License-Identifier: MIT
//
// In:  a made-up layer's results, spoilt in one place.
// Out: the comparison with a peer says so, and lets pass what rounding explains.
// Why: a judge that cannot fail says nothing.
#include "tests/peers/captured_layer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moevk::peers {
namespace {

// Two tokens, four experts, two of them chosen.
struct Layer {
  moe_layer_desc desc = MOE_INIT(moe_layer_desc);
  CapturedLayer theirs;
  LayerOutputs ours;
  std::vector<double> bounds = {1e-6, 1e-6};

  Layer() {
    desc.hidden = 2, desc.intermediate = 2, desc.experts = 4, desc.top_k = 2;
    theirs.inputs.tokens = 2;
    theirs.logits = {4, 3, 2, 1, 1, 2, 3, 4};
    theirs.ids = {0, 1, 3, 2};
    theirs.weights = {0.75f, 0.25f, 0.75f, 0.25f};
    theirs.y = {1, -2, 3, -4};
    ours.logits = ours.scores = theirs.logits;
    ours.ids = theirs.ids;
    ours.weights = theirs.weights;
    ours.y = theirs.y;
  }
  Comparison compare() const {
    Comparison comparison;
    peers::compare(theirs, ours, desc, bounds, kPeerBound, comparison);
    return comparison;
  }
};

TEST(CapturedLayer, TheSameIsTheSame) {
  const Comparison comparison = Layer().compare();
  EXPECT_EQ(comparison.problem, "");
  EXPECT_EQ(comparison.tokens, 2u);
  EXPECT_EQ(comparison.close_tokens, 0u);
  EXPECT_EQ(comparison.y.relative_rms(), 0);
}

TEST(CapturedLayer, OtherOutputsWeightsLogitsAreFound) {
  Layer y;
  y.ours.y[2] = 3.0005f;
  EXPECT_NE(y.compare().problem.find("outputs"), std::string::npos);
  Layer nan;
  nan.ours.y[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(nan.compare().problem.find("outputs"), std::string::npos);
  Layer weights;
  weights.ours.weights[1] = 0.2501f;
  EXPECT_NE(weights.compare().problem.find("weights"), std::string::npos);
  Layer logits;
  logits.ours.logits[7] = 4.00001f;
  EXPECT_NE(logits.compare().problem.find("logit of expert 3"), std::string::npos);
}

TEST(CapturedLayer, AnotherExpertIsFoundUnlessItsScoreIsAsGood) {
  Layer other;
  other.ours.ids[1] = 2;
  EXPECT_NE(other.compare().problem.find("slot 1: expert 2"), std::string::npos);
  Layer unknown;
  unknown.ours.ids[1] = -1;
  EXPECT_NE(unknown.compare().problem, "");
  Layer close;
  close.theirs.logits[2] = close.ours.logits[2] = close.ours.scores[2] = std::nextafter(3.0f, 0.0f);
  close.ours.ids[1] = 2;
  close.ours.y[0] = 9;  // follows from the other expert
  const Comparison comparison = close.compare();
  EXPECT_EQ(comparison.problem, "");
  EXPECT_EQ(comparison.close_tokens, 1u);
}

TEST(CapturedLayer, LogitBoundsFollowFromTheTerms) {
  const std::vector<float> x = {1, -2, 0, 4}, router = {3, 1, -1, 1};
  const std::vector<double> bounds = logit_bounds_of(x, router, 2);
  const double gamma = 10 * std::ldexp(1.0, -24) / (1 - 10 * std::ldexp(1.0, -24));
  ASSERT_EQ(bounds.size(), 2u);
  EXPECT_DOUBLE_EQ(bounds[0], 2 * gamma * 5);
  EXPECT_DOUBLE_EQ(bounds[1], 2 * gamma * 4);
}

}  // namespace
}  // namespace moevk::peers
