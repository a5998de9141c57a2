// SPDX-License-Identifier: MIT
//
// In:  small model files of the architectures that came after the first four, made in memory.
// Out: their descriptors follow from metadata and tensors, every tensor is found, and what would change the result but
//      is not understood is refused by name.
// Why: the keys differ from family to family, and a key that is overlooked changes the text, not the size, of a model.
#include "tools/model/gguf_architectures.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/opened_model.h"

namespace moevk::model {
namespace {

TEST(Architectures, RouterAndExpertsAlone) {
  const struct {
    const char* name;
    uint32_t score, selection, weight, normalize, activation;
  } rows[] = {
      {"llama", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_SUM_EPS, MOE_ACTIVATION_SILU},
      {"qwen3moe", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_SUM_EPS, MOE_ACTIVATION_SILU},
      {"olmoe", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_NONE, MOE_ACTIVATION_SILU},
      {"phimoe", MOE_SCORE_IDENTITY, MOE_SELECT_SPARSEMIXER, 0, MOE_NORMALIZE_NONE, MOE_ACTIVATION_SILU},
      {"dbrx", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_P_NORM, MOE_ACTIVATION_SILU},
      {"grok", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_NONE, MOE_ACTIVATION_GELU_TANH},
      {"jamba", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_NONE, MOE_ACTIVATION_SILU},
      {"granitemoe", MOE_SCORE_IDENTITY, 0, MOE_WEIGHT_SOFTMAX, MOE_NORMALIZE_NONE, MOE_ACTIVATION_SILU},
      {"ernie4_5-moe", MOE_SCORE_SOFTMAX, 0, 0, MOE_NORMALIZE_SUM_FLOOR, MOE_ACTIVATION_SILU},
  };
  for (const auto& row : rows) {
    const Opened opened(plain(row.name));
    const moe_layer_desc& d = desc_of(opened);
    EXPECT_EQ(d.hidden, 8u) << row.name;
    EXPECT_EQ(d.intermediate, 6u) << row.name;
    EXPECT_EQ(d.experts, 4u) << row.name;
    EXPECT_EQ(d.top_k, 2u) << row.name;
    EXPECT_EQ(d.flags, 0u) << row.name;
    EXPECT_EQ(d.score, row.score) << row.name;
    EXPECT_EQ(d.selection, row.selection) << row.name;
    EXPECT_EQ(d.weight, row.weight) << row.name;
    EXPECT_EQ(d.normalize, row.normalize) << row.name;
    EXPECT_EQ(d.activation, row.activation) << row.name;
    EXPECT_EQ(d.shared_intermediate, 0u) << row.name;
  }
}

TEST(Architectures, DeepseekV3) {
  const Opened opened(sample_deepseek2());
  const moe_layer_desc& d = desc_of(opened);
  ASSERT_EQ(opened.model->layers.size(), 1u);
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(layer.block, 1u);
  EXPECT_EQ(d.score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(d.flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(d.groups, 4u);
  EXPECT_EQ(d.groups_kept, 2u);
  EXPECT_EQ(d.group_score, MOE_GROUP_SCORE_SUM_TOP_N);
  EXPECT_EQ(d.group_top_n, 2u);
  EXPECT_EQ(d.normalize, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(d.normalize_eps, 1e-20f);
  EXPECT_EQ(d.routed_scale, 2.5f);
  EXPECT_EQ(d.shared_intermediate, 12u);
  EXPECT_EQ(d.shared_gate, MOE_SHARED_GATE_ONE);
  EXPECT_EQ(d.shared_up_format.element, MOE_ELEMENT_F16);
  EXPECT_EQ(opened.model->shared_intermediate, 12u);
  EXPECT_EQ(source(layer, "router.selection_bias").tensor->name, "blk.1.exp_probs_b.bias");
  EXPECT_EQ(source(layer, "shared.down").tensor->shape_text(), "[12, 8]");
  // Router 64, experts 8 * 144, bias 8, shared 3 * 96; 2 of 8 experts active.
  EXPECT_EQ(layer.parameters, 64u + 1152 + 8 + 288);
  EXPECT_EQ(layer.active_parameters, 64u + 288 + 8 + 288);
}

TEST(Architectures, DeepseekV2AndOlderFiles) {
  GgufWriter file = plain("deepseek2");
  file.u32("deepseek2.expert_shared_count", 1).f32("deepseek2.expert_weights_scale", 16);
  file.u32("deepseek2.expert_group_count", 2).u32("deepseek2.expert_group_used_count", 1);
  shared(file, 2, 6);
  GgufWriter biased = file;
  const Opened opened(file);  // no expert_gating_func: softmax
  const moe_layer_desc& d = desc_of(opened);
  EXPECT_EQ(d.score, MOE_SCORE_SOFTMAX);
  EXPECT_EQ(d.groups, 2u);
  EXPECT_EQ(d.group_score, MOE_GROUP_SCORE_MAX);
  EXPECT_EQ(d.group_top_n, 0u);
  EXPECT_EQ(d.normalize, MOE_NORMALIZE_NONE);
  EXPECT_EQ(d.routed_scale, 16);
  EXPECT_EQ(d.flags, 0u);
  selection_bias(biased, 1);
  expect_refused(biased, "blk.0.exp_probs_b.bias", "not understood for deepseek2");

  GgufWriter lite = plain("deepseek2");
  lite.u32("deepseek2.expert_shared_count", 2).f32("deepseek2.expert_weights_scale", 1);
  shared(lite, 2, 12);
  const Opened lite_opened(lite);
  EXPECT_EQ(desc_of(lite_opened).routed_scale, 0);  // 1
  EXPECT_EQ(desc_of(lite_opened).groups, 0u);
}

TEST(Architectures, DeepseekKeysThatDoNotFit) {
  const auto with = [](auto change) {
    GgufWriter file = plain("deepseek2");
    shared(file, 2, 6);
    change(file);
    return file;
  };
  expect_refused(with([](GgufWriter&) {}), "deepseek2.expert_shared_count", "is missing");
  const auto counted = [&](auto change) {
    return with([&](GgufWriter& file) { change(file.u32("deepseek2.expert_shared_count", 1)); });
  };
  expect_refused(counted([](GgufWriter& f) { f.u32("deepseek2.expert_gating_func", 4); }),
                 "deepseek2.expert_gating_func", "4");
  expect_refused(counted([](GgufWriter& f) { f.u32("deepseek2.expert_group_count", 3); }),
                 "deepseek2.expert_group_count", "do not fit 4 experts");
  expect_refused(counted([](GgufWriter& f) {
                   f.u32("deepseek2.expert_group_count", 2).u32("deepseek2.expert_group_used_count", 3);
                 }),
                 "deepseek2.expert_group_count", "do not fit");
  expect_refused(counted([](GgufWriter& f) { f.f32("deepseek2.expert_weights_scale", std::nanf("")); }),
                 "deepseek2.expert_weights_scale", "nan");
  expect_refused(with([](GgufWriter& f) { f.u32("deepseek2.expert_shared_count", 4000000); }),
                 "deepseek2.expert_shared_count", "4000000");
  EXPECT_TRUE(Opened(counted([](GgufWriter&) {})).model.ok());
}

// The first block takes its experts from a table by token, the second from its router.
TEST(Architectures, DeepseekV4) {
  GgufWriter file = plain("deepseek4");
  file.u32("deepseek4.expert_shared_count", 1).u32("deepseek4.expert_gating_func", 4);
  file.f32("deepseek4.expert_weights_scale", 1.5f).boolean("deepseek4.expert_weights_norm", true);
  file.tensor("blk.0.ffn_gate_tid2eid.weight", {2, 5}, kGgmlI32).tensor("blk.1.exp_probs_b.bias", {4}, kGgmlF32);
  shared(file, 2, 6);
  GgufWriter uneven = file, apart = file;
  const Opened opened(file.array<float>("deepseek4.swiglu_clamp_exp", ValueType::f32, {10, 10}));
  const moe_layer_desc& hash = desc_of(opened);
  EXPECT_EQ(hash.route_source, MOE_ROUTE_FROM_TOKEN_TABLE);
  EXPECT_EQ(hash.token_table_rows, 5u);
  EXPECT_EQ(hash.flags, 0u);
  const MoeLayer& first = opened.model->layers[0];
  EXPECT_EQ(source(first, "router.token_table").dtype, MOE_DTYPE_I32);
  EXPECT_EQ(source(first, "router.token_table").tensor->shape_text(), "[2, 5]");
  EXPECT_EQ(first.refusal, "");
  const moe_layer_desc& learnt = opened.model->layers[1].desc;
  EXPECT_EQ(learnt.route_source, MOE_ROUTE_FROM_ROUTER);
  EXPECT_EQ(learnt.flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(learnt.score, MOE_SCORE_SQRT_SOFTPLUS);
  EXPECT_EQ(learnt.normalize_eps, 1e-20f);
  EXPECT_EQ(learnt.routed_scale, 1.5f);
  EXPECT_EQ(learnt.activation, MOE_ACTIVATION_SWIGLU_CLAMP_PRE);
  EXPECT_EQ(learnt.activation_limit, 10);

  expect_refused(uneven.array<float>("deepseek4.swiglu_clamp_exp", ValueType::f32, {10, 9}),
                 "deepseek4.swiglu_clamp_exp", "differs from block to block");
  apart.f32("deepseek4.swiglu_clamp_exp", 10);
  expect_refused(apart.f32("deepseek4.swiglu_clamp_shexp", 7), "deepseek4.swiglu_clamp_shexp", "routed to shared");
  GgufWriter olmoe = plain("olmoe");
  expect_refused(olmoe.f32("olmoe.swiglu_clamp_exp", 10), "olmoe.swiglu_clamp_exp", "not a number that is read");
}

TEST(Architectures, DeepseekV32AndQwen35) {
  GgufWriter v32 = plain("deepseek32");
  v32.u32("deepseek32.expert_shared_count", 1).boolean("deepseek32.expert_weights_norm", true);
  selection_bias(v32, 2);
  shared(v32, 2, 6);
  const Opened opened(v32);
  EXPECT_EQ(desc_of(opened).score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(desc_of(opened).flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(desc_of(opened).normalize, MOE_NORMALIZE_SUM_EPS);

  GgufWriter qwen = plain("qwen35moe");
  qwen.u32("qwen35moe.expert_shared_feed_forward_length", 10).u32("qwen35moe.nextn_predict_layers", 1);
  shared(qwen, 1, 10);
  const Opened next(qwen.tensor("blk.0.ffn_gate_inp_shexp.weight", {8}, kGgmlF32));
  EXPECT_EQ(desc_of(next).normalize, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(desc_of(next).shared_gate, MOE_SHARED_GATE_SIGMOID);
  EXPECT_EQ(next.model->layers.size(), 1u);
}

TEST(Architectures, Deepseek16B) {
  GgufWriter file = plain("deepseek");
  file.u32("deepseek.expert_shared_count", 2).f32("deepseek.expert_weights_scale", 1);
  shared(file, 2, 12);
  const Opened opened(file);
  EXPECT_EQ(desc_of(opened).normalize, MOE_NORMALIZE_NONE);
  EXPECT_EQ(desc_of(opened).shared_intermediate, 12u);
}

TEST(Architectures, Glm45LeavesOutItsDraftBlock) {
  GgufWriter file = plain("glm4moe");
  file.u32("glm4moe.expert_shared_count", 1).u32("glm4moe.nextn_predict_layers", 1);
  file.f32("glm4moe.expert_weights_scale", 2.5f).boolean("glm4moe.expert_weights_norm", true);
  file.u32("glm4moe.expert_gating_func", 2);
  selection_bias(file, 1);
  shared(file, 1, 6);  // the second block has neither: it would be refused
  const Opened opened(file);
  const moe_layer_desc& d = desc_of(opened);
  EXPECT_EQ(opened.model->layers.size(), 1u);
  EXPECT_EQ(d.score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(d.flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(d.normalize, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(d.routed_scale, 2.5f);
  EXPECT_EQ(d.groups, 0u);
  // The draft block is resident, but no token reads it.
  uint64_t draft = 0, draft_bytes = 0;
  for (const TensorInfo& tensor : opened.file->tensors()) {
    if (!tensor.name.starts_with("blk.1.")) continue;
    draft += tensor.numbers;
    draft_bytes += tensor.bytes;
  }
  ASSERT_GT(draft, 0u);
  const MoeLayer& layer = opened.model->layers.front();
  const ModelTotals& totals = opened.model->totals;
  EXPECT_EQ(totals.active_parameters, totals.parameters - draft - (layer.parameters - layer.active_parameters));
  EXPECT_EQ(totals.moe_bytes, layer.bytes);
  EXPECT_LE(totals.bytes_per_token, totals.bytes - draft_bytes - (layer.bytes - layer.bytes_per_token));

  GgufWriter all = plain("glm4moe");
  all.u32("glm4moe.expert_shared_count", 0).u32("glm4moe.nextn_predict_layers", 2);
  expect_refused(all, "glm4moe.nextn_predict_layers", "2 of 2 blocks");
  GgufWriter bare = plain("glm4moe");
  expect_refused(bare.u32("glm4moe.expert_shared_count", 0), "blk.0.exp_probs_b.bias", "is missing; expected [4]");
}

TEST(Architectures, GptOss) {
  const Opened opened(sample_gpt_oss());
  const moe_layer_desc& d = desc_of(opened);
  EXPECT_EQ(d.flags, MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS);
  EXPECT_EQ(d.score, MOE_SCORE_IDENTITY);
  EXPECT_EQ(d.weight, MOE_WEIGHT_SOFTMAX);
  EXPECT_EQ(d.activation, MOE_ACTIVATION_SWIGLU_OAI);
  EXPECT_EQ(d.gate_up_layout, MOE_GATE_UP_SEPARATE);  // the file has them apart, the release interleaved
  const MoeLayer& layer = opened.model->layers[1];
  EXPECT_EQ(source(layer, "router.bias").tensor->name, "blk.1.ffn_gate_inp.bias");
  EXPECT_EQ(source(layer, "experts.gate.bias").tensor->shape_text(), "[6, 4]");
  EXPECT_EQ(source(layer, "experts.down.bias").tensor->name, "blk.1.ffn_down_exps.bias");
  EXPECT_EQ(source(layer, "experts.up.bias").expert_count, 4u);
  EXPECT_EQ(source(layer, "experts.up.bias").dtype, MOE_DTYPE_F32);
  // Router 32 + 4, experts 4 * (144 + 20); 2 of 4 active.
  EXPECT_EQ(layer.parameters, 36u + 4 * 164);
  EXPECT_EQ(layer.active_parameters, 36u + 2 * 164);
  expect_refused(plain("gpt-oss"), "blk.0.ffn_gate_inp.bias", "is missing");
}

TEST(Architectures, Llama4) {
  GgufWriter file = plain("llama4");
  shared(file, 2, 6);
  GgufWriter other = file;
  const Opened opened(file);
  const moe_layer_desc& d = desc_of(opened);
  EXPECT_EQ(d.score, MOE_SCORE_IDENTITY);
  EXPECT_EQ(d.weight, MOE_WEIGHT_SIGMOID);
  EXPECT_EQ(d.flags, MOE_LAYER_WEIGHT_ON_INPUT);
  EXPECT_EQ(d.shared_intermediate, 6u);
  expect_refused(other.u32("llama4.expert_gating_func", 1), "llama4.expert_gating_func", "1");
}

TEST(Architectures, Gemma4) {
  const Opened opened(sample_gemma4());
  const moe_layer_desc& d = desc_of(opened);
  EXPECT_EQ(d.flags, MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE |
                         MOE_LAYER_PER_EXPERT_SCALE);
  EXPECT_FLOAT_EQ(d.router_input_multiplier, 1 / std::sqrt(8.0f));
  EXPECT_EQ(d.norm_eps, 1e-5f);
  EXPECT_EQ(d.gate_up_layout, MOE_GATE_UP_CONCATENATED);
  EXPECT_EQ(d.gate_format.element, MOE_ELEMENT_F16);
  EXPECT_EQ(d.up_format.element, MOE_ELEMENT_F16);
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(source(layer, "experts.gate_up").tensor->shape_text(), "[8, 12, 4]");
  EXPECT_EQ(source(layer, "router.input_scale").tensor->name, "blk.0.ffn_gate_inp.scale");
  EXPECT_EQ(source(layer, "router.expert_scale").tensor->name, "blk.0.ffn_down_exps.scale");
  EXPECT_EQ(layer.refusal, "");
  // The dense network beside the experts is not the layer's: router 32, scales 12, experts 4 * 144.
  EXPECT_EQ(layer.parameters, 32u + 12 + 576);

  const Opened without(sample_gemma4(false));
  EXPECT_EQ(desc_of(without).flags & MOE_LAYER_PER_EXPERT_SCALE, 0u);
}

TEST(Architectures, SelectionBiasWhereAFileHasOne) {
  GgufWriter ernie = plain("ernie4_5-moe");
  ernie.u32("ernie4_5-moe.expert_shared_feed_forward_length", 12);
  selection_bias(ernie, 2);
  shared(ernie, 2, 12);
  const Opened opened(ernie);
  EXPECT_EQ(desc_of(opened).flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(desc_of(opened).shared_intermediate, 12u);

  GgufWriter minimax = plain("minimax-m2");
  selection_bias(minimax, 2);
  const Opened m2(minimax.u32("minimax-m2.expert_gating_func", 2));
  EXPECT_EQ(desc_of(m2).score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(desc_of(m2).flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(desc_of(m2).normalize_eps, 0);

  GgufWriter laguna = plain("laguna");
  laguna.u32("laguna.expert_shared_feed_forward_length", 10).f32("laguna.expert_weights_scale", 2.5f);
  laguna.boolean("laguna.expert_weights_norm", true);
  selection_bias(laguna, 2);
  shared(laguna, 2, 10);
  const Opened xs(laguna);
  EXPECT_EQ(desc_of(xs).routed_scale, 2.5f);
  EXPECT_EQ(desc_of(xs).normalize, MOE_NORMALIZE_SUM_EPS);
}

TEST(Architectures, DenseNetworksBesideAndSharedWidths) {
  GgufWriter arctic = plain("arctic");
  GgufWriter mixtral = plain("llama");
  for (GgufWriter* file : {&arctic, &mixtral}) {
    file->tensor("blk.0.ffn_up.weight", {8, 8}).tensor("blk.0.ffn_norm_exps.weight", {8}, kGgmlF32);
  }
  const Opened opened(arctic);
  EXPECT_EQ(desc_of(opened).normalize, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(opened.model->layers.size(), 2u);
  expect_refused(mixtral, "blk.0.ffn_up.weight", "not understood for llama");

  GgufWriter hunyuan = plain("hunyuan-moe");
  shared(hunyuan, 2, 9);
  const Opened a13b(hunyuan.u32("hunyuan-moe.feed_forward_length", 9));  // where the key of its own is absent
  EXPECT_EQ(desc_of(a13b).shared_intermediate, 9u);
  EXPECT_EQ(desc_of(a13b).normalize, MOE_NORMALIZE_SUM_FLOOR);

  GgufWriter granite = plain("granitemoe");
  shared(granite, 2, 10);
  expect_refused(granite, "blk.0.ffn_gate_shexp.weight", "not understood");  // the metadata say there is none
  const Opened with_key(granite.u32("granitemoe.expert_shared_feed_forward_length", 10));
  EXPECT_EQ(desc_of(with_key).shared_intermediate, 10u);
}

// Qwen3-Next files may join gate and up of the routed experts, but never of the shared one.
TEST(Architectures, JoinedGateAndUpBesideSeparateSharedExperts) {
  GgufWriter file;
  SampleShape shape;
  shape.blocks = 1;
  sample_metadata(file, "qwen3next", shape);
  file.u32("qwen3next.expert_feed_forward_length", 6).u32("qwen3next.expert_shared_feed_forward_length", 10);
  file.tensor("blk.0.ffn_gate_inp.weight", {8, 4}, kGgmlF32).tensor("blk.0.ffn_gate_up_exps.weight", {8, 12, 4});
  file.tensor("blk.0.ffn_down_exps.weight", {6, 8, 4}).tensor("blk.0.ffn_gate_inp_shexp.weight", {8}, kGgmlF32);
  shared(file, 1, 10);
  const Opened opened(file);
  EXPECT_EQ(desc_of(opened).shared_gate, MOE_SHARED_GATE_SIGMOID);
  EXPECT_EQ(desc_of(opened).normalize, MOE_NORMALIZE_SUM_EPS);
  const std::string& refusal = opened.model->layers[0].refusal;
  EXPECT_NE(refusal.find("blk.0.ffn_gate_up_exps.weight joins gate and up"), std::string::npos) << refusal;
}

TEST(Architectures, NamesAreUnique) {
  for (const GgufArchitecture& one : gguf_architectures()) {
    int times = 0;
    for (const GgufArchitecture& other : gguf_architectures()) times += std::string(one.name) == other.name ? 1 : 0;
    EXPECT_EQ(times, 1) << one.name;
  }
  EXPECT_EQ(gguf_architectures().size(), 26u);
}

}  // namespace
}  // namespace moevk::model
