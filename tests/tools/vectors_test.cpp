// SPDX-License-Identifier: MIT
//
// In:  the built moevk, the shipped vectors, and wrong copies of them.
// Out: what passes passes, what is wrong fails with its place, what cannot be read is refused with its line.
// Why: a judge that calls everything right is worth nothing.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/tools/run_moevk.h"

namespace {

using moe_tests::contains;
using moe_tests::expect_refused;
using moe_tests::Output;
using moe_tests::run_moevk;
using moe_tests::temporary;

const std::string kVectors = MOEVK_SOURCE_DIR "/tests/vectors";

// A copy of a shipped vector with one piece changed, in a file of its own.
std::string changed_copy(const std::string& vector, const std::string& from, const std::string& to) {
  std::string text = moe_tests::read_text(kVectors + "/" + vector);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << vector << " has no " << from;
  text.replace(at, from.size(), to);
  const std::string path = temporary("changed.vec");
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

Output run_changed(const std::string& vector, const std::string& from, const std::string& to) {
  const std::string path = changed_copy(vector, from, to);
  Output output = run_moevk("vectors --device reference '" + path + "'");
  std::filesystem::remove(path);
  return output;
}

}  // namespace

TEST(Vectors, AllPassOnTheReference) {
  const Output output = run_moevk("vectors --device reference --require-all '" + kVectors + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, " passed, 0 failed, ")) << output.out;
  EXPECT_TRUE(contains(output.out, "\npass    mixtral ")) << output.out;
}

TEST(Vectors, AllPassOnTheBestDevice) {
  if (contains(run_moevk("devices").out, "\nno GPU: ")) GTEST_SKIP() << "no Vulkan device here";
  const Output output = run_moevk("vectors --require-all '" + kVectors + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, " passed, 0 failed, ")) << output.out;
}

// One wrong number in what a family is about; each must be found, at its place.
TEST(Vectors, AWrongNumberFails) {
  const struct {
    const char* vector;
    const char* from;
    const char* to;
    const char* problem;
  } cases[] = {
      {"mixtral.vec", "expect ids\n  1 2", "expect ids\n  2 1", "ids: token 0 slot 0 is 1, expected 2"},
      {"mixtral.vec", "  1/2 1/2\n", "  1/2 1/3\n", "weights: token 1 slot 1 is 0.5, expected 0.333333333"},
      {"mixtral.vec", "2/3*-2*s", "2/3*2*s", "y: token 0 column 1 is "},
      // Ties to the highest id.
      {"qwen3-moe.vec", "2 1 4\n", "2 4 1\n", "ids: token 0 slot 1 is 1, expected 4"},
      // A bias that weighs.
      {"glm-4.5.vec", "tensor router.selection_bias\n  -1 0 0", "tensor router.selection_bias\n  -1 1/4 0",
       "passed, 0 failed"},
      {"llama4.vec", "flags                weight_on_input\n",
       "flags                normalize_single\n  normalize sum_eps\n", "weights: token 0 slot 0 is 1, expected 0.75"},
      {"deepseek-v2.vec", "group_score          max", "group_score          sum_top_n\n  group_top_n 2",
       "ids: token 0 slot 1 is 2, expected 4"},
      {"deepseek-v4.vec", "activation_limit     10", "activation_limit     20", "y: token 0 column 0"},
      {"longcat.vec", "b*3*s+b*2+b*s", "b*3*s+b*s", "y: token 1 column 1"},
      {"gpt-oss.vec", "gate_up_layout    interleaved", "gate_up_layout    concatenated", "y: token 0 column 0"},
      {"gemma4.vec", "router_input_scale, ", "", "this layer has no tensor router.input_scale"},
  };
  for (const auto& one : cases) {
    const Output output = run_changed(one.vector, one.from, one.to);
    const std::string text = output.out + output.err;
    EXPECT_TRUE(contains(text, one.problem)) << one.vector << ": " << one.from << "\n" << text;
    const bool passes = contains(one.problem, "0 failed"), unread = contains(one.problem, "has no tensor");
    EXPECT_EQ(output.code, passes ? 0 : unread ? 2 : 1) << text;
    EXPECT_EQ(contains(text, "0 passed, 1 failed, 0 skipped"), !passes && !unread) << text;
  }
}

TEST(Vectors, ARefusalIsASkipUnlessAllAreRequired) {
  // The format has no names for what an unknown library may lack; batch_invariant is refused by ours.
  const std::string path =
      changed_copy("mixtral.vec", "normalize     sum_eps", "normalize     sum_eps\n  flags batch_invariant");
  const Output skipped = run_moevk("vectors --device reference '" + path + "' '" + kVectors + "/dbrx.vec'");
  EXPECT_EQ(skipped.code, 0) << skipped.out << skipped.err;
  EXPECT_TRUE(contains(skipped.out, "refused: desc.flags: ")) << skipped.out;
  EXPECT_TRUE(contains(skipped.out, "1 passed, 0 failed, 1 skipped")) << skipped.out;
  const Output required = run_moevk("vectors --require-all --device reference '" + path + "'");
  EXPECT_EQ(required.code, 1) << required.out;
  EXPECT_TRUE(contains(required.out, "0 passed, 1 failed, 0 skipped")) << required.out;
  const Output alone = run_moevk("vectors --device reference '" + path + "'");
  EXPECT_EQ(alone.code, 1) << "nothing passed: " << alone.out;
  std::filesystem::remove(path);
}

TEST(Vectors, ResultsAreAppendedALineEach) {
  const std::string results = temporary("results.txt");
  const std::string both = "'" + kVectors + "/mixtral.vec' '" + kVectors + "/switch.vec'";
  EXPECT_EQ(run_moevk("vectors --device reference --results '" + results + "' " + both).code, 0);
  const std::string wrong = changed_copy("dbrx.vec", "5/13 4/13", "4/13 5/13");
  EXPECT_EQ(run_moevk("vectors --device reference --results '" + results + "' '" + wrong + "'").code, 1);
  const std::string text = moe_tests::read_text(results);
  EXPECT_TRUE(text.starts_with("mixtral\thand\treference\tpass\tmixtral: ")) << text;
  EXPECT_TRUE(contains(text, " of the bound\nswitch\thand\treference\tpass\tswitch: ")) << text;
  EXPECT_TRUE(contains(text, "\ndbrx\thand\treference\tfail\t")) << text;
  EXPECT_TRUE(contains(text, "_changed: weights: token 0 slot 0 ")) << text;
  std::filesystem::remove(results);
  std::filesystem::remove(wrong);
}

TEST(Vectors, WhatCannotBeReadIsRefused) {
  const std::string path = changed_copy("mixtral.vec", "  top_k         2", "  topk          2");
  expect_refused("vectors '" + path + "'", ".vec:11: moe_layer_desc has no field 'topk'");
  std::filesystem::remove(path);
  expect_refused("vectors /nowhere.vec", "/nowhere.vec: cannot be read");
  expect_refused("vectors '" MOEVK_SOURCE_DIR "/docs'", "holds no file that ends in .vec");
  expect_refused("vectors --results /nowhere/x '" + kVectors + "/dbrx.vec'", "--results");
}
