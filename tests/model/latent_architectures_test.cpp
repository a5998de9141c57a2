// SPDX-License-Identifier: MIT
//
// In:  small model files of the architectures whose routed experts may work in a latent space, made in memory.
// Out: the width comes from its key, every tensor is found, and files whose keys and tensors contradict are refused.
// Why: the two architectures name the same things differently, and with the wrong width experts would still be read.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/opened_model.h"
#include "tools/model/gguf_architectures.h"

namespace moevk::model {
namespace {

// The middle one of three blocks has experts.
GgufWriter nemotron_h(uint32_t latent) {
  GgufWriter file;
  SampleShape shape;
  shape.blocks = 3;
  sample_metadata(file, "nemotron_h_moe", shape);
  file.u32("nemotron_h_moe.expert_feed_forward_length", 6);
  file.u32("nemotron_h_moe.expert_shared_feed_forward_length", 10);
  file.f32("nemotron_h_moe.expert_weights_scale", 2.5f).boolean("nemotron_h_moe.expert_weights_norm", true);
  file.tensor("blk.0.attn_norm.weight", {8}, kGgmlF32).tensor("blk.2.attn_norm.weight", {8}, kGgmlF32);
  file.tensor("blk.1.ffn_gate_inp.weight", {8, 4}, kGgmlF32).tensor("blk.1.exp_probs_b.bias", {4}, kGgmlF32);
  const uint64_t inner = latent > 0 ? latent : 8;
  file.tensor("blk.1.ffn_up_exps.weight", {inner, 6, 4}).tensor("blk.1.ffn_down_exps.weight", {6, inner, 4});
  file.tensor("blk.1.ffn_up_shexp.weight", {8, 10}).tensor("blk.1.ffn_down_shexp.weight", {10, 8});
  return file;
}

TEST(LatentArchitectures, NemotronHWithoutOne) {
  GgufWriter file = nemotron_h(0), said = file, unsaid = file;
  const Opened opened(file.u32("nemotron_h_moe.moe_latent_size", 0));
  const moe_layer_desc& d = desc_of(opened);
  ASSERT_EQ(opened.model->layers.size(), 1u);
  EXPECT_EQ(opened.model->layers[0].block, 1u);
  EXPECT_EQ(d.flags, MOE_LAYER_UNGATED | MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(d.activation, MOE_ACTIVATION_RELU2);
  EXPECT_EQ(d.score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(d.routed_scale, 2.5f);
  EXPECT_EQ(d.shared_intermediate, 10u);
  EXPECT_EQ(d.latent, 0u);
  EXPECT_EQ(opened.model->layers[0].tensors.size(), 6u);
  expect_refused(said.u32("nemotron_h_moe.moe_latent_size", 4), "blk.1.ffn_up_exps.weight",
                 "the metadata says [4, 6, 4]");
  expect_refused(unsaid.tensor("blk.1.ffn_latent_down.weight", {8, 4}), "blk.1.ffn_latent_down.weight",
                 "nemotron_h_moe.moe_latent_size says that there is no latent space");
}

TEST(LatentArchitectures, NemotronH) {
  GgufWriter file = nemotron_h(4).u32("nemotron_h_moe.moe_latent_size", 4);
  file.tensor("blk.1.ffn_latent_down.weight", {8, 4});
  GgufWriter no_way_back = file, norm = file;
  const Opened opened(file.tensor("blk.1.ffn_latent_up.weight", {4, 8}));
  EXPECT_EQ(desc_of(opened).latent, 4u);
  EXPECT_EQ(desc_of(opened).flags, MOE_LAYER_UNGATED | MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(desc_of(opened).norm_eps, 0);
  EXPECT_EQ(opened.model->layers[0].tensors.size(), 8u);
  EXPECT_EQ(opened.model->layers[0].refusal, "");
  expect_refused(no_way_back, "blk.1.ffn_latent_up.weight", "is missing; expected [4, 8]");
  norm.tensor("blk.1.ffn_latent_up.weight", {4, 8}).tensor("blk.1.ffn_latent_norm.weight", {4}, kGgmlF32);
  expect_refused(norm, "blk.1.ffn_latent_norm.weight", "not understood");

  expect_refused(nemotron_h(16).u32("nemotron_h_moe.moe_latent_size", 16), "nemotron_h_moe.moe_latent_size",
                 "more than nemotron_h_moe.embedding_length, 8");
  GgufWriter whole = nemotron_h(4).u32("nemotron_h_moe.moe_latent_size", 4);
  whole.tensor("blk.1.ffn_latent_down.weight", {8, 4}).tensor("blk.1.ffn_latent_up.weight", {4, 8}, kGgmlI32);
  const Opened integers(whole);  // any type of weights would do, as for experts
  ASSERT_TRUE(integers.model.ok()) << integers.model.error().text();
  EXPECT_NE(integers.model->layers[0].refusal.find("no type of weights"), std::string::npos);
}

GgufWriter kimi_k3(const SampleKimi& kimi = {}) { return sample_kimi_k3(kimi, static_cast<uint32_t>(kimi.latent)); }

TEST(LatentArchitectures, KimiK3) {
  const Opened opened(kimi_k3());
  const moe_layer_desc& d = desc_of(opened);
  ASSERT_EQ(opened.model->layers.size(), 1u);
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(layer.block, 1u);
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(d.hidden, 8u);
  EXPECT_EQ(d.latent, 4u);
  EXPECT_EQ(d.flags, MOE_LAYER_SELECTION_BIAS | MOE_LAYER_LATENT_NORM);
  EXPECT_EQ(d.norm_eps, 1e-5f);
  EXPECT_EQ(d.score, MOE_SCORE_SIGMOID);
  EXPECT_EQ(d.normalize, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(d.normalize_eps, 1e-20f);
  EXPECT_EQ(d.routed_scale, 2.5f);
  EXPECT_EQ(d.activation, MOE_ACTIVATION_SITU);
  EXPECT_EQ(d.activation_alpha, 3);
  EXPECT_EQ(d.activation_beta, 20);
  EXPECT_EQ(d.shared_intermediate, 12u);
  EXPECT_EQ(d.latent_down_format.element, MOE_ELEMENT_BF16);
  EXPECT_EQ(d.latent_up_format.element, MOE_ELEMENT_F32);
  EXPECT_EQ(layer.tensors.size(), 11u);
  EXPECT_EQ(source(layer, "latent.down").tensor->name, "blk.1.ffn_routed_down.weight");
  EXPECT_EQ(source(layer, "latent.up").tensor->shape_text(), "[4, 8]");
  EXPECT_EQ(source(layer, "latent.norm").tensor->name, "blk.1.ffn_routed_norm.weight");
  EXPECT_EQ(source(layer, "experts.down").tensor->shape_text(), "[6, 4, 4]");
  // Router 32 and bias 4, experts 4 * 72, shared 3 * 96, ways in and out 64, norm 4.
  EXPECT_EQ(layer.parameters, 36u + 288 + 288 + 64 + 4);
}

TEST(LatentArchitectures, KimiK3WithoutNormOrLatentSpace) {
  const Opened bare(kimi_k3({.norm = false, .eps = false}));
  EXPECT_EQ(desc_of(bare).latent, 4u);
  EXPECT_EQ(desc_of(bare).flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(desc_of(bare).norm_eps, 0);
  EXPECT_EQ(bare.model->layers[0].tensors.size(), 10u);
  const Opened wide(kimi_k3({.latent = 0}));
  EXPECT_EQ(desc_of(wide).latent, 0u);
  EXPECT_EQ(desc_of(wide).flags, MOE_LAYER_SELECTION_BIAS);
  EXPECT_EQ(wide.model->layers[0].tensors.size(), 8u);
  const Opened uncapped(kimi_k3({.linear_value = 0}));
  EXPECT_EQ(desc_of(uncapped).activation_beta, 0);
}

TEST(LatentArchitectures, KimiK3Contradictions) {
  expect_refused(sample_kimi_k3({}, 0), "blk.1.ffn_routed_down.weight",
                 "kimi-k3.expert_latent_length says that there is no");
  expect_refused(sample_kimi_k3({}, 5), "blk.1.ffn_gate_exps.weight", "the metadata says [5, 6, 4]");
  expect_refused(sample_kimi_k3({}, 9), "kimi-k3.expert_latent_length", "9 is more than kimi-k3.embedding_length, 8");
  expect_refused(kimi_k3({.eps = false}), "kimi-k3.attention.layer_norm_rms_epsilon", "is missing");
  expect_refused(kimi_k3({.beta = false}), "kimi-k3.activation.situ_beta", "is missing");
  expect_refused(kimi_k3({.linear_beta = false}), "kimi-k3.activation.situ_linear_beta", "is missing");
  expect_refused(kimi_k3({.beta_value = 0}), "kimi-k3.activation.situ_beta", "is not a number above 0");
  expect_refused(kimi_k3({.linear_value = INFINITY}), "kimi-k3.activation.situ_linear_beta", "not a finite number");
  expect_refused(kimi_k3().u32("kimi-k3.expert_group_count", 2), "kimi-k3.expert_group_count", "not read for kimi-k3");
  expect_refused(kimi_k3().tensor("blk.1.ffn_latent_down.weight", {8, 4}), "blk.1.ffn_latent_down.weight",
                 "not understood for kimi-k3");
  expect_refused(plain("olmoe").tensor("blk.0.ffn_res_score.weight", {8}, kGgmlF32), "blk.0.ffn_res_score.weight",
                 "not understood for olmoe");
}

}  // namespace
}  // namespace moevk::model
