// SPDX-License-Identifier: MIT
//
// In:  operations as llama.cpp's loader and ggml's scheduler ask for them.
// Out: which of them the device takes.
// Why: one norm or residual too many, and every layer is cut into more pieces.
#include "hosts/ggml/claims.h"

#include <gtest/gtest.h>

#include "tests/hosts/graph_builder.h"

namespace moevk::hosts {
namespace {

using ggml::Tensor;

struct Claims : testing::Test {
  GraphBuilder graph;
  bool ours = true;
  std::string why;

  bool taken(const Tensor* op) {
    why.clear();
    const ggml::ClaimRules rules{graph.ops, [&](const Tensor&) { return ours; },
                                 [](const Tensor&, std::string&) { return true; }};
    return ggml::claims(rules, *op, why);
  }
  Tensor* dummy(int32_t op, const char* weight) {
    Tensor* w = graph.leaf(weight, 64, 32, 8);
    Tensor* b = graph.leaf("", 64, 1, 5);
    return op == graph.ops.mul || op == graph.ops.add ? graph.node(op, {b, w}) : graph.node(op, {w, b});
  }
};

TEST_F(Claims, TakesWeightsOfMoeBlocksAlone) {
  const ggml::Ops& ops = graph.ops;
  EXPECT_TRUE(taken(dummy(ops.mul_mat_id, "blk.0.ffn_gate_exps.weight")));
  EXPECT_TRUE(taken(dummy(ops.mul_mat_id, "blk.0.ffn_gate_up_exps.weight")));
  EXPECT_TRUE(taken(dummy(ops.mul_mat, "blk.0.ffn_gate_inp.weight")));
  EXPECT_TRUE(taken(dummy(ops.add, "blk.0.exp_probs_b.bias")));
  EXPECT_FALSE(taken(dummy(ops.mul_mat, "blk.0.attn_q.weight")));
  EXPECT_FALSE(taken(dummy(ops.mul_mat, "blk.0.ffn_gate_shexp.weight")));
  EXPECT_FALSE(taken(dummy(ops.mul_mat, "blk.0.ffn_gate_inp_shexp.weight")));
  EXPECT_FALSE(taken(dummy(ops.mul, "blk.0.ffn_norm.weight")));
  EXPECT_FALSE(taken(dummy(ops.add, "blk.0.attn_q.bias")));
  EXPECT_FALSE(taken(dummy(ops.get_rows, "token_embd.weight")));
  EXPECT_NE(why.find("token_embd.weight"), std::string::npos);
}

TEST_F(Claims, LeavesWeightsInOthersMemory) {
  ours = false;
  EXPECT_FALSE(taken(dummy(graph.ops.mul_mat_id, "blk.0.ffn_gate_exps.weight")));
  EXPECT_NE(why.find("memory"), std::string::npos);
}

TEST_F(Claims, TakesTheWholeBlockAndNothingBehindIt) {
  Tensor* x = graph.leaf("x", 64, 5);
  Tensor* y = add_moe_block(graph, x, {});
  for (const Tensor* node : graph.nodes) {
    // A view of what comes in belongs to whom it comes from.
    if (node->op == graph.ops.reshape && node->view_src == x) continue;
    EXPECT_TRUE(taken(node)) << node->name << ": " << why;
  }
  Tensor* inside = graph.node(graph.ops.mul, {x, graph.leaf("blk.0.ffn_norm.weight", 64)});
  Tensor* residual = graph.node(graph.ops.add, {y, x});
  EXPECT_FALSE(taken(inside));
  EXPECT_FALSE(taken(residual));
  EXPECT_FALSE(taken(graph.node(graph.ops.scale, {residual})));
  EXPECT_FALSE(taken(graph.node(graph.ops.soft_max, {x})));
}

TEST_F(Claims, LeavesTheBlockOfWeightsElsewhere) {
  Tensor* x = graph.leaf("x", 64, 5);
  add_moe_block(graph, x, {});
  ours = false;
  for (const Tensor* node : graph.nodes) EXPECT_FALSE(taken(node)) << node->name;
}

}  // namespace
}  // namespace moevk::hosts
