// SPDX-License-Identifier: MIT
//
// In:  MoE blocks as llama.cpp builds them, and blocks with one thing changed.
// Out: the layer that each is read as, or that it is left alone.
// Why: a block that is read wrong gives wrong words without any message.
#include "hosts/ggml/match_layer.h"

#include <gtest/gtest.h>

#include "tests/hosts/graph_builder.h"

namespace moevk::hosts {
namespace {

using ggml::LayerMatch;
using ggml::Tensor;

struct Built {
  GraphBuilder graph;
  Tensor* x = nullptr;
  Tensor* y = nullptr;
  std::vector<std::string> why;

  explicit Built(const BlockOptions& options) {
    x = graph.leaf("ffn_norm", options.hidden, options.tokens);
    y = add_moe_block(graph, x, options);
  }
  std::vector<LayerMatch> match() {
    why.clear();
    return ggml::match_layers(graph.ops, graph.nodes, why);
  }
};

std::string names(const LayerMatch& match) {
  std::string all;
  for (const auto& [name, tensor] : match.weights) all += (all.empty() ? "" : " ") + name;
  return all;
}

// The whole block is one layer, and no node of it is left.
LayerMatch whole(Built& built) {
  const std::vector<LayerMatch> found = built.match();
  EXPECT_EQ(found.size(), 1u) << (built.why.empty() ? "" : built.why.front());
  if (found.size() != 1) return {};
  EXPECT_EQ(found[0].nodes.size(), built.graph.nodes.size());
  EXPECT_EQ(found[0].y, built.y);
  EXPECT_EQ(found[0].x, built.x);
  EXPECT_EQ(found[0].ids, nullptr);
  return found[0];
}

TEST(MatchLayer, ReadsSoftmaxAndRenormalisation) {  // qwen3moe, mixtral
  Built built({});
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match), "experts.gate experts.up experts.down router.weight");
  EXPECT_STREQ(match.weights[0].second->name, "blk.0.ffn_gate_exps.weight");
  EXPECT_STREQ(match.weights[1].second->name, "blk.0.ffn_up_exps.weight");
  EXPECT_EQ(match.desc.hidden, 64u);
  EXPECT_EQ(match.desc.intermediate, 32u);
  EXPECT_EQ(match.desc.experts, 8u);
  EXPECT_EQ(match.desc.top_k, 2u);
  EXPECT_EQ(match.desc.route_source, MOE_ROUTE_FROM_ROUTER);
  EXPECT_EQ(match.desc.score, MOE_SCORE_SOFTMAX);
  EXPECT_EQ(match.desc.weight, MOE_WEIGHT_IDENTITY);
  EXPECT_EQ(match.desc.normalize, MOE_NORMALIZE_SUM_FLOOR);
  EXPECT_EQ(match.desc.normalize_eps, 6.103515625e-5f);
  EXPECT_EQ(match.desc.activation, MOE_ACTIVATION_SILU);
  EXPECT_EQ(match.desc.routed_scale, 0);
  EXPECT_EQ(match.tokens, 5);
}

TEST(MatchLayer, ReadsNoRenormalisation) {  // olmoe, deepseek
  BlockOptions options;
  options.normalize = false;
  options.top_k = 3;
  Built built(options);
  EXPECT_EQ(whole(built).desc.normalize, MOE_NORMALIZE_NONE);
}

TEST(MatchLayer, ReadsSigmoidWithSelectionBiasAndScale) {  // deepseek2, glm4moe, minimax-m2
  BlockOptions options;
  options.softmax = false;
  options.selection_bias = true;
  options.scale = 2.5f;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match), "experts.gate experts.up experts.down router.weight router.selection_bias");
  EXPECT_EQ(match.desc.score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(match.desc.flags, MOE_LAYER_SELECTION_BIAS | MOE_LAYER_NORMALIZE_SINGLE);
  EXPECT_EQ(match.desc.routed_scale, 2.5f);
}

TEST(MatchLayer, ReadsBiasesAndSoftmaxOfTheChosen) {  // gpt-oss
  BlockOptions options;
  options.softmax = false;
  options.softmax_of_chosen = true;
  options.normalize = false;
  options.router_bias = options.expert_bias = options.oai = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match),
            "experts.gate experts.gate.bias experts.up experts.up.bias experts.down experts.down.bias router.weight "
            "router.bias");
  EXPECT_EQ(match.desc.weight, MOE_WEIGHT_SOFTMAX);
  EXPECT_EQ(match.desc.score, MOE_SCORE_IDENTITY);
  EXPECT_EQ(match.desc.activation, MOE_ACTIVATION_SWIGLU_OAI);
  EXPECT_EQ(match.desc.activation_alpha, 1.702f);
  EXPECT_EQ(match.desc.activation_limit, 7);
  EXPECT_EQ(match.desc.activation_beta, 1);
  EXPECT_EQ(match.desc.flags, MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS);
}

TEST(MatchLayer, ReadsJoinedGateAndUp) {
  BlockOptions options;
  options.joined = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match), "experts.gate_up experts.down router.weight");
  EXPECT_EQ(match.desc.gate_up_layout, MOE_GATE_UP_CONCATENATED);
  EXPECT_EQ(match.desc.intermediate, 32u);
}

TEST(MatchLayer, ReadsExpertsWithoutGate) {  // nemotron_h_moe
  BlockOptions options;
  options.ungated = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match), "experts.up experts.down router.weight");
  EXPECT_EQ(match.desc.activation, MOE_ACTIVATION_RELU2);
  EXPECT_NE(match.desc.flags & MOE_LAYER_UNGATED, 0u);
}

TEST(MatchLayer, ReadsOneRouteAToken) {
  BlockOptions options;
  options.top_k = 1;
  Built built(options);
  EXPECT_EQ(whole(built).desc.top_k, 1u);
}

TEST(MatchLayer, ReadsGroups) {  // deepseek2
  BlockOptions options;
  options.softmax = false;
  options.selection_bias = true;
  options.experts = 16;
  options.groups = 4;
  options.top_k = 3;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(match.desc.groups, 4u);
  EXPECT_EQ(match.desc.groups_kept, 2u);
  EXPECT_EQ(match.desc.group_score, MOE_GROUP_SCORE_SUM_TOP_N);
  EXPECT_EQ(match.desc.group_top_n, 2u);
  EXPECT_NE(match.desc.flags & MOE_LAYER_SELECTION_BIAS, 0u);
}

TEST(MatchLayer, ReadsClampedSwiGlu) {  // deepseek4
  BlockOptions options;
  options.clamp = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(match.desc.activation, MOE_ACTIVATION_SWIGLU_CLAMP_PRE);
  EXPECT_EQ(match.desc.activation_limit, 10);
}

TEST(MatchLayer, ReadsSitu) {  // kimi-k3
  BlockOptions options;
  options.situ = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(match.desc.activation, MOE_ACTIVATION_SITU);
  EXPECT_EQ(match.desc.activation_alpha, 2.5f);
  EXPECT_EQ(match.desc.activation_beta, 3.5f);
}

TEST(MatchLayer, ReadsWeightsBeforeTheExperts) {  // llama4
  BlockOptions options;
  options.softmax = options.normalize = false;
  options.weight_on_input = true;
  options.top_k = 1;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(match.desc.flags, MOE_LAYER_WEIGHT_ON_INPUT);
  EXPECT_EQ(match.desc.weight, MOE_WEIGHT_SIGMOID);
  EXPECT_EQ(match.desc.score, MOE_SCORE_IDENTITY);
}

TEST(MatchLayer, ReadsAScaleOfEachExpert) {  // gemma4
  BlockOptions options;
  options.expert_scale = true;
  Built built(options);
  const LayerMatch match = whole(built);
  EXPECT_EQ(names(match), "experts.gate experts.up experts.down router.expert_scale router.weight");
  EXPECT_NE(match.desc.flags & MOE_LAYER_PER_EXPERT_SCALE, 0u);
}

TEST(MatchLayer, BeginsAtTheProductsWhereRoutesAreGiven) {
  BlockOptions options;
  options.given_routes = true;
  Built built(options);
  const std::vector<LayerMatch> found = built.match();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].desc.route_source, MOE_ROUTE_FROM_IDS);
  EXPECT_STREQ(found[0].ids->name, "ids");
  EXPECT_STREQ(found[0].route_weights->name, "weights");
  EXPECT_EQ(names(found[0]), "experts.gate experts.up experts.down");
}

// A routing that is not known stays with the host, and the experts are a layer still.
TEST(MatchLayer, TakesRoutesOfARoutingItDoesNotKnow) {
  Built built({});
  for (Tensor* node : built.graph.nodes) {
    if (node->op == built.graph.ops.soft_max) GraphBuilder::set_param(node, 0, 0.5f);  // a temperature
  }
  const std::vector<LayerMatch> found = built.match();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].desc.route_source, MOE_ROUTE_FROM_IDS);
  EXPECT_LT(found[0].nodes.size(), built.graph.nodes.size());
}

TEST(MatchLayer, LeavesABlockWhoseInsideIsReadElsewhere) {
  Built built({});
  for (Tensor* node : std::vector<Tensor*>(built.graph.nodes)) {
    if (node->op == built.graph.ops.glu) built.graph.node(built.graph.ops.sqr, {node}, "reader");
  }
  EXPECT_TRUE(built.match().empty());
  ASSERT_FALSE(built.why.empty());
}

TEST(MatchLayer, LeavesABlockWithAnOutputInside) {
  Built built({});
  for (Tensor* node : built.graph.nodes) {
    if (node->op == built.graph.ops.glu) node->flags |= ggml::kFlagOutput;
  }
  EXPECT_TRUE(built.match().empty());
}

// All that follows is a block with one thing that the layer would not do.
TEST(MatchLayer, LeavesWhatItWouldComputeWrongly) {
  const auto refused = [](const BlockOptions& options, void (*change)(GraphBuilder&)) {
    Built built(options);
    change(built.graph);
    return built.match().empty();
  };
  EXPECT_FALSE(refused({}, [](GraphBuilder&) {}));
  // gate and up change places
  EXPECT_TRUE(refused({}, [](GraphBuilder& graph) {
    for (Tensor* node : graph.nodes) {
      if (node->op == graph.ops.glu) node->op_params[1] = 1;
    }
  }));
  // another operand of the GLU
  EXPECT_TRUE(refused({}, [](GraphBuilder& graph) {
    for (Tensor* node : graph.nodes) {
      if (node->op == graph.ops.glu) node->op_params[0] = graph.ops.reglu + 1000;
    }
  }));
  // down reads other routes than gate and up
  EXPECT_TRUE(refused({}, [](GraphBuilder& graph) {
    Tensor* others = graph.leaf("other ids", 2, 5);
    others->type = graph.ops.i32;
    for (Tensor* node : graph.nodes) {
      if (std::string_view(node->name) == "product ffn_down_exps") node->src[2] = others;
    }
  }));
  // one view of a route is taken twice
  EXPECT_TRUE(refused({}, [](GraphBuilder& graph) { graph.nodes[graph.nodes.size() - 2]->view_offs = 0; }));
  // the warm-up uses all experts and sums two
  BlockOptions all;
  all.top_k = 8;
  EXPECT_TRUE(refused(all, [](GraphBuilder& graph) { graph.nodes.resize(graph.nodes.size() - 3); }));
}

TEST(MatchLayer, FindsEveryBlock) {
  GraphBuilder graph;
  Tensor* x = graph.leaf("x", 64, 5);
  Tensor* first = add_moe_block(graph, x, {});
  Tensor* between = graph.node(graph.ops.sqr, {first});
  Tensor* second = add_moe_block(graph, between, {});
  std::vector<std::string> why;
  const std::vector<LayerMatch> found = ggml::match_layers(graph.ops, graph.nodes, why);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].y, first);
  EXPECT_EQ(found[1].y, second);
  EXPECT_EQ(found[1].x, between);
  EXPECT_TRUE(why.empty());
}

}  // namespace
}  // namespace moevk::hosts
