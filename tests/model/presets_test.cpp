// SPDX-License-Identifier: MIT
//
// In:  the presets of model families.
// Out: each sets the fields that its family's formula asks for, and no others.
// Why: a wrong field gives plausible text. The values here were written from the families' sources, not from the
//      presets.
#include "tools/model/presets/presets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "tests/model/preset_by_name.h"
#include "tools/model/presets/deepseek_families.h"
#include "tools/model/presets/early_families.h"
#include "tools/model/presets/softmax_families.h"

namespace moevk::model {
namespace {

// What the canonical form is, then what a family changes of it.
moe_layer_desc canonical(uint32_t h, uint32_t f, uint32_t e, uint32_t k) {
  moe_layer_desc d = MOE_INIT(moe_layer_desc);
  d.hidden = h, d.intermediate = f, d.experts = e, d.top_k = k;
  d.score = MOE_SCORE_SOFTMAX;
  d.gate_format.element = d.up_format.element = d.down_format.element = MOE_ELEMENT_BF16;
  return d;
}

void add_shared(moe_layer_desc& d, uint32_t width) {
  d.shared_intermediate = width;
  d.shared_gate_format.element = d.shared_up_format.element = d.shared_down_format.element = MOE_ELEMENT_BF16;
}

void sum(moe_layer_desc& d, float eps = 0) {
  d.normalize = MOE_NORMALIZE_SUM_EPS;
  d.normalize_eps = eps;
}

void ungated(moe_layer_desc& d, uint32_t activation) {
  d.flags |= MOE_LAYER_UNGATED;
  d.activation = activation;
  d.gate_format.element = d.shared_gate_format.element = MOE_ELEMENT_F32;
}

// Every field at once, so that a field that nobody thought of shows.
void expect_desc(const char* name, const moe_layer_desc& want) {
  const moe_layer_desc got = preset(name).desc;
#define SAME(field) EXPECT_EQ(got.field, want.field) << name
  SAME(struct_size);
  SAME(next);
  SAME(hidden);
  SAME(intermediate);
  SAME(experts);
  SAME(top_k);
  SAME(identity_experts);
  SAME(flags);
  SAME(route_source);
  SAME(logit_soft_cap);
  SAME(score);
  SAME(selection);
  SAME(groups);
  SAME(groups_kept);
  SAME(group_score);
  SAME(group_top_n);
  SAME(weight);
  SAME(normalize);
  SAME(normalize_eps);
  SAME(normalize_p);
  SAME(routed_scale);
  SAME(sparsemixer_eps);
  SAME(router_input_multiplier);
  SAME(token_table_rows);
  SAME(capacity);
  SAME(capacity_factor);
  SAME(capacity_minimum);
  SAME(noise_seed);
  SAME(activation);
  SAME(activation_alpha);
  SAME(activation_beta);
  SAME(activation_limit);
  SAME(gate_up_layout);
  SAME(matrix_order);
  SAME(latent);
  SAME(lora_rank);
  SAME(lora_alpha);
  SAME(norm_eps);
  SAME(shared_intermediate);
  SAME(shared_gate);
  SAME(shared_constant);
  SAME(out_scale);
  SAME(precision);
  SAME(reserved);
  SAME(gate_format.element);
  SAME(up_format.element);
  SAME(down_format.element);
  SAME(shared_gate_format.element);
  SAME(shared_up_format.element);
  SAME(shared_down_format.element);
  SAME(latent_down_format.element);
  SAME(latent_up_format.element);
  SAME(gate_format.preset);
#undef SAME
}

TEST(Presets, OneFunctionForEachFamily) {
  for (const char* name :
       {"switch",      "gshard",      "mixtral",     "qwen2-moe", "qwen3-moe", "qwen3-next", "deepseek-v2",
        "deepseek-v3", "deepseek-v4", "kimi-k2",     "kimi-k3",   "glm-4.5",   "llama4",     "gpt-oss",
        "olmoe",       "phi-3.5-moe", "dbrx",        "grok-1",    "jamba",     "arctic",     "minimax-m2",
        "ernie-4.5",   "hunyuan",     "granite-moe", "gemma4",    "longcat",   "laguna",     "nemotron-h"}) {
    EXPECT_NE(find_preset(name), nullptr) << name;
  }
  std::set<std::string> names;
  for (const Preset& one : all_presets()) {
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
    EXPECT_STRNE(one.model, "") << one.name;
    EXPECT_STRNE(one.divergences, "") << one.name;
  }
  // Results are told by family (docs/families.md): one row, whichever of its models was judged.
  std::map<std::string, std::string> others;
  for (const Preset& one : all_presets()) {
    ASSERT_NE(find_preset(one.family), nullptr) << one.name;
    EXPECT_STREQ(find_preset(one.family)->family, one.family) << one.name;
    if (std::string(one.family) != one.name) others[one.name] = one.family;
  }
  const std::map<std::string, std::string> expected = {{"mixtral-8x22b", "mixtral"}, {"qwen3-moe-235b", "qwen3-moe"},
                                                       {"glm-4.5-air", "glm-4.5"},   {"llama4-maverick", "llama4"},
                                                       {"gpt-oss-120b", "gpt-oss"},  {"granite-moe-1b", "granite-moe"}};
  EXPECT_EQ(others, expected);
  EXPECT_EQ(find_preset("mixtra"), nullptr);
  EXPECT_EQ(find_preset("list"), nullptr);  // a word of the command line
}

TEST(Presets, EarlyFamilies) {
  moe_layer_desc d = canonical(768, 3072, 8, 1);
  ungated(d, MOE_ACTIVATION_RELU);
  d.capacity = MOE_CAPACITY_POSITION, d.capacity_factor = 1.25f;
  expect_desc("switch", d);

  d = canonical(1024, 8192, 128, 2);
  ungated(d, MOE_ACTIVATION_RELU);
  sum(d, 1e-9f);
  d.capacity = MOE_CAPACITY_POSITION, d.capacity_factor = 1;
  expect_desc("gshard", d);

  d = canonical(4096, 14336, 8, 2);
  sum(d);
  expect_desc("mixtral", d);
  d = canonical(6144, 16384, 8, 2);
  sum(d);
  expect_desc("mixtral-8x22b", d);

  d = canonical(6144, 32768, 8, 2);
  d.activation = MOE_ACTIVATION_GELU_TANH;
  expect_desc("grok-1", d);

  d = canonical(6144, 10752, 16, 4);
  d.normalize = MOE_NORMALIZE_P_NORM, d.normalize_p = 1;
  expect_desc("dbrx", d);

  expect_desc("jamba", canonical(4096, 14336, 16, 2));

  d = canonical(7168, 4864, 128, 2);
  sum(d);
  expect_desc("arctic", d);

  d = canonical(4096, 6400, 16, 2);
  d.score = MOE_SCORE_IDENTITY, d.selection = MOE_SELECT_SPARSEMIXER, d.sparsemixer_eps = 0.01f;
  expect_desc("phi-3.5-moe", d);
}

TEST(Presets, SoftmaxFamilies) {
  moe_layer_desc d = canonical(2048, 1408, 60, 4);
  add_shared(d, 5632);
  d.shared_gate = MOE_SHARED_GATE_SIGMOID;
  expect_desc("qwen2-moe", d);

  d = canonical(2048, 768, 128, 8);
  sum(d);
  expect_desc("qwen3-moe", d);
  d = canonical(4096, 1536, 128, 8);
  sum(d);
  expect_desc("qwen3-moe-235b", d);

  d = canonical(2048, 512, 512, 10);
  sum(d);
  add_shared(d, 512);
  d.shared_gate = MOE_SHARED_GATE_SIGMOID;
  expect_desc("qwen3-next", d);

  expect_desc("olmoe", canonical(2048, 1024, 64, 8));

  d = canonical(1536, 512, 40, 8);
  d.score = MOE_SCORE_IDENTITY, d.weight = MOE_WEIGHT_SOFTMAX;
  expect_desc("granite-moe", d);
  d.hidden = 1024, d.experts = 32;
  expect_desc("granite-moe-1b", d);

  d = canonical(4096, 3072, 64, 8);
  d.normalize = MOE_NORMALIZE_SUM_FLOOR, d.normalize_eps = 0x1p-23f;
  add_shared(d, 3072);
  expect_desc("hunyuan", d);

  d = canonical(2560, 1536, 64, 6);
  d.flags = MOE_LAYER_SELECTION_BIAS;
  d.normalize = MOE_NORMALIZE_SUM_FLOOR, d.normalize_eps = 1e-12f;
  add_shared(d, 3072);
  expect_desc("ernie-4.5", d);

  d = canonical(2880, 2880, 32, 4);
  d.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS;
  d.score = MOE_SCORE_IDENTITY, d.weight = MOE_WEIGHT_SOFTMAX;
  d.activation = MOE_ACTIVATION_SWIGLU_OAI;
  d.activation_alpha = 1.702f, d.activation_beta = 1, d.activation_limit = 7;
  d.gate_up_layout = MOE_GATE_UP_INTERLEAVED;
  expect_desc("gpt-oss", d);
  d.experts = 128;
  expect_desc("gpt-oss-120b", d);
}

// DeepSeek-V3's router without groups and scale.
moe_layer_desc sigmoid(uint32_t h, uint32_t f, uint32_t e, uint32_t k, uint32_t shared) {
  moe_layer_desc d = canonical(h, f, e, k);
  d.score = MOE_SCORE_SIGMOID;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  sum(d, 1e-20f);
  if (shared > 0) add_shared(d, shared);
  return d;
}

TEST(Presets, DeepseekFamilies) {
  moe_layer_desc d = canonical(5120, 1536, 160, 6);
  d.groups = 8, d.groups_kept = 3, d.group_score = MOE_GROUP_SCORE_MAX, d.routed_scale = 16;
  add_shared(d, 3072);
  expect_desc("deepseek-v2", d);
  d = canonical(2048, 1408, 64, 6);
  add_shared(d, 2816);
  expect_desc("deepseek-v2-lite", d);

  d = sigmoid(7168, 2048, 256, 8, 2048);
  d.groups = 8, d.groups_kept = 4, d.group_score = MOE_GROUP_SCORE_SUM_TOP_N, d.group_top_n = 2;
  d.routed_scale = 2.5f;
  expect_desc("deepseek-v3", d);

  d = sigmoid(7168, 2048, 384, 8, 2048);
  d.routed_scale = 2.827f;
  expect_desc("kimi-k2", d);

  d = sigmoid(4096, 2048, 256, 6, 2048);
  d.score = MOE_SCORE_SQRT_SOFTPLUS, d.routed_scale = 1.5f;
  d.activation = MOE_ACTIVATION_SWIGLU_CLAMP_PRE, d.activation_limit = 10;
  expect_desc("deepseek-v4", d);

  d = sigmoid(7168, 3072, 896, 16, 6144);
  d.flags |= MOE_LAYER_LATENT_NORM;
  d.latent = 3584, d.norm_eps = 1e-5f;
  d.latent_down_format.element = d.latent_up_format.element = MOE_ELEMENT_BF16;
  d.activation = MOE_ACTIVATION_SITU, d.activation_alpha = 4, d.activation_beta = 25;
  expect_desc("kimi-k3", d);

  d = sigmoid(5120, 1536, 160, 8, 1536);
  d.routed_scale = 2.5f;
  expect_desc("glm-4.5", d);
  expect_desc("glm-4.5-air", sigmoid(4096, 1408, 128, 8, 1408));

  d = sigmoid(3072, 1536, 256, 8, 0);
  d.normalize_eps = 0;
  expect_desc("minimax-m2", d);

  d = sigmoid(2688, 1856, 128, 6, 3712);
  d.routed_scale = 2.5f;
  ungated(d, MOE_ACTIVATION_RELU2);
  expect_desc("nemotron-h", d);

  d = sigmoid(2048, 512, 256, 8, 512);
  d.normalize_eps = 0, d.routed_scale = 2.5f;
  expect_desc("laguna", d);
}

TEST(Presets, SpecialFamilies) {
  moe_layer_desc d = canonical(5120, 8192, 16, 1);
  d.score = MOE_SCORE_IDENTITY, d.weight = MOE_WEIGHT_SIGMOID, d.flags = MOE_LAYER_WEIGHT_ON_INPUT;
  add_shared(d, 8192);
  expect_desc("llama4", d);
  d.experts = 128;
  expect_desc("llama4-maverick", d);

  d = canonical(2816, 704, 128, 8);
  sum(d);
  d.flags = MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE |
            MOE_LAYER_PER_EXPERT_SCALE;
  d.router_input_multiplier = static_cast<float>(1 / std::sqrt(2816.0));
  d.norm_eps = 1e-6f;
  d.activation = MOE_ACTIVATION_GELU_TANH;
  expect_desc("gemma4", d);

  d = canonical(6144, 2048, 512, 12);
  d.identity_experts = 256, d.flags = MOE_LAYER_SELECTION_BIAS, d.routed_scale = 6;
  expect_desc("longcat", d);
}

// What a config may say besides what the released models do.
TEST(Presets, ConfigsOtherThanTheReleasedOnes) {
  MixtralConfig mixtral;
  mixtral.hidden_size = 64, mixtral.intermediate_size = 32, mixtral.num_local_experts = 4;
  mixtral.num_experts_per_tok = 1;
  EXPECT_EQ(mixtral_layer(mixtral).flags, MOE_LAYER_NORMALIZE_SINGLE);
  mixtral.num_experts_per_tok = 2;
  EXPECT_EQ(mixtral_layer(mixtral).flags, 0u);

  HunyuanConfig hunyuan;
  hunyuan.moe_topk = 1;
  EXPECT_EQ(hunyuan_layer(hunyuan).flags, 0u);  // k = 1 is not normalised

  OlmoeConfig olmoe;
  olmoe.norm_topk_prob = true, olmoe.num_experts_per_tok = 8;
  EXPECT_EQ(olmoe_layer(olmoe).normalize, MOE_NORMALIZE_SUM_EPS);
  Qwen3MoeConfig qwen3;
  qwen3.norm_topk_prob = false;
  EXPECT_EQ(qwen3_moe_layer(qwen3).normalize, MOE_NORMALIZE_NONE);

  DbrxConfig dbrx;
  EXPECT_EQ(dbrx_layer(dbrx).normalize, MOE_NORMALIZE_NONE);

  DeepseekV4Config v4;
  v4.vocab_size = 129280;
  const moe_layer_desc hash = deepseek_v4_layer(v4, true);
  EXPECT_EQ(hash.route_source, MOE_ROUTE_FROM_TOKEN_TABLE);
  EXPECT_EQ(hash.token_table_rows, 129280u);
  EXPECT_EQ(hash.flags, 0u);
  EXPECT_EQ(hash.score, MOE_SCORE_SQRT_SOFTPLUS);

  LagunaConfig laguna;
  laguna.moe_router_logit_softcapping = 30;
  EXPECT_EQ(laguna_layer(laguna).logit_soft_cap, 30);
  NemotronHConfig nemotron;
  nemotron.moe_latent_size = 1024;
  EXPECT_EQ(nemotron_h_layer(nemotron).latent, 1024u);
}

}  // namespace
}  // namespace moevk::model
