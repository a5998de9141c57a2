// SPDX-License-Identifier: MIT
//
// In:  configs (see deepseek_families.h).
// Out: descriptors and presets.
// Why: sources are the families' implementations in transformers, sizes those of the released config.json files;
//      docs/semantics.md has the formulas. Multi-token prediction modules are not counted.
#include "tools/model/presets/deepseek_families.h"

#include "tools/model/presets/layer_forms.h"

namespace moevk::model {
namespace {

// One group is none.
void limit_to_groups(moe_layer_desc& desc, uint32_t groups, uint32_t kept, uint32_t score) {
  if (groups <= 1) return;
  desc.groups = groups;
  desc.groups_kept = kept;
  desc.group_score = score;
  if (score == MOE_GROUP_SCORE_SUM_TOP_N) desc.group_top_n = 2;
}

ModelParts deepseek_parts(const DeepseekConfig& c) {
  LatentAttention attention = {.hidden = c.hidden_size,
                               .heads = c.num_attention_heads,
                               .q_lora_rank = c.q_lora_rank,
                               .kv_lora_rank = c.kv_lora_rank,
                               .qk_nope_head_dim = c.qk_nope_head_dim,
                               .qk_rope_head_dim = c.qk_rope_head_dim,
                               .v_head_dim = c.v_head_dim};
  ModelParts parts;
  parts.layers = c.num_hidden_layers;
  parts.moe_layers = c.num_hidden_layers - c.first_k_dense_replace;
  parts.mixers = c.num_hidden_layers * count(attention);
  parts.dense = c.first_k_dense_replace * count_gated_ffn(c.hidden_size, c.intermediate_size);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return parts;
}

}  // namespace

// Groups are kept by the best score in them; weights as the softmax gives them, times a factor; ungated shared experts.
moe_layer_desc deepseek_v2_layer(const DeepseekConfig& c) {
  moe_layer_desc desc =
      canonical_layer(c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
  limit_to_groups(desc, c.n_group, c.topk_group, MOE_GROUP_SCORE_MAX);
  if (c.norm_topk_prob) normalize_by_sum(desc, 1e-20f);
  scale_routed(desc, c.routed_scaling_factor);
  desc.shared_intermediate = c.n_shared_experts * c.moe_intermediate_size;
  return desc;
}

Preset deepseek_v2_preset() {
  DeepseekConfig c;
  c.hidden_size = 5120, c.intermediate_size = 12288, c.moe_intermediate_size = 1536, c.n_routed_experts = 160;
  c.n_shared_experts = 2, c.num_experts_per_tok = 6, c.n_group = 8, c.topk_group = 3, c.routed_scaling_factor = 16;
  c.first_k_dense_replace = 1, c.num_hidden_layers = 60, c.num_attention_heads = 128, c.q_lora_rank = 1536;
  c.kv_lora_rank = 512, c.qk_nope_head_dim = 128, c.qk_rope_head_dim = 64, c.v_head_dim = 128, c.vocab_size = 102400;
  return {"deepseek-v2",
          "DeepSeek-V2",
          deepseek_v2_layer(c),
          "8 groups, 3 kept by the best score in each; masked groups are never chosen; weights not renormalised, x 16; "
          "2 shared experts, ungated",
          deepseek_parts(c),
          "236 B total, 21 B active"};
}

Preset deepseek_v2_lite_preset() {
  DeepseekConfig c;
  c.hidden_size = 2048, c.intermediate_size = 10944, c.moe_intermediate_size = 1408, c.n_routed_experts = 64;
  c.n_shared_experts = 2, c.num_experts_per_tok = 6, c.n_group = 1, c.topk_group = 1, c.first_k_dense_replace = 1;
  c.num_hidden_layers = 27, c.num_attention_heads = 16, c.kv_lora_rank = 512, c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64, c.v_head_dim = 128, c.vocab_size = 102400;
  return {"deepseek-v2-lite",   "DeepSeek-V2-Lite",
          deepseek_v2_layer(c), "weights not renormalised; 2 shared experts, ungated",
          deepseek_parts(c),    "15.7 B total, 2.4 B active"};
}

// A group is as good as the sum of its top two; groups that are not kept are never chosen (transformers once gave them
// a score of 0, which could win against a negative bias). Weights come from the score without the bias.
moe_layer_desc deepseek_v3_layer(const DeepseekConfig& c) {
  moe_layer_desc desc =
      canonical_layer(c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
  limit_to_groups(desc, c.n_group, c.topk_group, MOE_GROUP_SCORE_SUM_TOP_N);
  sigmoid_with_selection_bias(desc, c.norm_topk_prob, c.routed_scaling_factor);
  desc.shared_intermediate = c.n_shared_experts * c.moe_intermediate_size;
  return desc;
}

Preset deepseek_v3_preset() {
  DeepseekConfig c;
  c.hidden_size = 7168, c.intermediate_size = 18432, c.moe_intermediate_size = 2048, c.n_routed_experts = 256;
  c.n_shared_experts = 1, c.num_experts_per_tok = 8, c.n_group = 8, c.topk_group = 4, c.norm_topk_prob = true;
  c.routed_scaling_factor = 2.5f, c.first_k_dense_replace = 3, c.num_hidden_layers = 61, c.num_attention_heads = 128;
  c.q_lora_rank = 1536, c.kv_lora_rank = 512, c.qk_nope_head_dim = 128, c.qk_rope_head_dim = 64, c.v_head_dim = 128;
  c.vocab_size = 129280;
  return {"deepseek-v3",
          "DeepSeek-V3",
          deepseek_v3_layer(c),
          "sigmoid; a bias selects but never weighs; 8 groups, 4 kept by the sum of the top two of each; masked groups "
          "are never chosen; weights / (sum + 1e-20), x 2.5; 1 shared expert, ungated",
          deepseek_parts(c),
          "671 B total, 37 B active without the embedding table"};
}

// DeepSeek-V3 with one group.
moe_layer_desc kimi_k2_layer(const DeepseekConfig& c) { return deepseek_v3_layer(c); }

Preset kimi_k2_preset() {
  DeepseekConfig c;
  c.hidden_size = 7168, c.intermediate_size = 18432, c.moe_intermediate_size = 2048, c.n_routed_experts = 384;
  c.n_shared_experts = 1, c.num_experts_per_tok = 8, c.n_group = 1, c.topk_group = 1, c.norm_topk_prob = true;
  c.routed_scaling_factor = 2.827f, c.first_k_dense_replace = 1, c.num_hidden_layers = 61, c.num_attention_heads = 64;
  c.q_lora_rank = 1536, c.kv_lora_rank = 512, c.qk_nope_head_dim = 128, c.qk_rope_head_dim = 64, c.v_head_dim = 128;
  c.vocab_size = 163840;
  return {"kimi-k2",
          "Kimi-K2",
          kimi_k2_layer(c),
          "as DeepSeek-V3 without groups: sigmoid; a bias selects but never weighs; weights / (sum + 1e-20), x 2.827; "
          "1 shared expert, ungated",
          deepseek_parts(c),
          "1.04 T total, 32 B active"};
}

// sqrt(softplus(l)) scores; gate and up clamped before the activation, in shared experts too. The first layers take
// their experts from a table by token id, and only the weights from the router.
moe_layer_desc deepseek_v4_layer(const DeepseekV4Config& c, bool hash_moe) {
  moe_layer_desc desc =
      canonical_layer(c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
  desc.score = MOE_SCORE_SQRT_SOFTPLUS;
  if (hash_moe) {
    desc.route_source = MOE_ROUTE_FROM_TOKEN_TABLE;
    desc.token_table_rows = c.vocab_size;
  } else {
    desc.flags |= MOE_LAYER_SELECTION_BIAS;
  }
  if (c.norm_topk_prob) normalize_by_sum(desc, 1e-20f);
  scale_routed(desc, c.routed_scaling_factor);
  desc.activation = MOE_ACTIVATION_SWIGLU_CLAMP_PRE;
  desc.activation_limit = c.swiglu_limit;
  desc.shared_intermediate = c.n_shared_experts * c.moe_intermediate_size;
  return desc;
}

Preset deepseek_v4_preset() {
  DeepseekV4Config c;  // as transformers' defaults, which are those of V4-Flash
  c.hidden_size = 4096, c.moe_intermediate_size = 2048, c.n_routed_experts = 256, c.n_shared_experts = 1;
  c.num_experts_per_tok = 6, c.routed_scaling_factor = 1.5f, c.swiglu_limit = 10, c.vocab_size = 129280;
  return {
      "deepseek-v4",
      "DeepSeek-V4-Flash",
      deepseek_v4_layer(c),
      "sqrt(softplus(l)); a bias selects but never weighs; weights / (sum + 1e-20), x 1.5; gate and up clamped to 10 "
      "before silu; 1 shared expert, ungated, clamped too; the first 3 layers take ids from a table by token id",
      std::nullopt,
      ""};
}

// Routed experts work in a narrower space and leave it through an RMSNorm; shared experts stay at full width.
moe_layer_desc kimi_k3_layer(const KimiK3Config& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_token);
  sigmoid_with_selection_bias(desc, c.moe_renormalize, c.routed_scaling_factor);
  desc.activation = MOE_ACTIVATION_SITU;
  desc.activation_alpha = c.activation_situ_beta;
  desc.activation_beta = c.activation_situ_linear_beta;
  desc.latent = c.routed_expert_hidden_size;
  if (desc.latent > 0 && c.latent_moe_use_norm) {
    desc.flags |= MOE_LAYER_LATENT_NORM;
    desc.norm_eps = c.rms_norm_eps;
  }
  desc.shared_intermediate = c.num_shared_experts * c.moe_intermediate_size;
  return desc;
}

Preset kimi_k3_preset() {
  KimiK3Config c;
  c.hidden_size = 7168, c.routed_expert_hidden_size = 3584, c.moe_intermediate_size = 3072, c.num_experts = 896;
  c.num_experts_per_token = 16, c.num_shared_experts = 2;
  return {"kimi-k3",
          "Kimi-K3",
          kimi_k3_layer(c),
          "sigmoid; a bias selects but never weighs; weights / (sum + 1e-20); routed experts at width 3584 with an "
          "RMSNorm before the way back, 2 shared experts at full width, ungated; SiTU activation",
          std::nullopt,
          ""};
}

// DeepSeek-V3's router; released models have one group.
moe_layer_desc glm4_moe_layer(const Glm4MoeConfig& c) {
  moe_layer_desc desc =
      canonical_layer(c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
  limit_to_groups(desc, c.n_group, c.topk_group, MOE_GROUP_SCORE_SUM_TOP_N);
  sigmoid_with_selection_bias(desc, c.norm_topk_prob, c.routed_scaling_factor);
  desc.shared_intermediate = c.n_shared_experts * c.moe_intermediate_size;
  return desc;
}

namespace {

ModelParts glm4_moe_parts(const Glm4MoeConfig& c) {
  ModelParts parts;
  parts.layers = c.num_hidden_layers;
  parts.moe_layers = c.num_hidden_layers - c.first_k_dense_replace;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim,
                                                                   .qkv_bias = true,
                                                                   .norms_of_heads = c.use_qk_norm});
  parts.dense = c.first_k_dense_replace * count_gated_ffn(c.hidden_size, c.intermediate_size);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return parts;
}

}  // namespace

Preset glm45_preset() {
  Glm4MoeConfig c;
  c.hidden_size = 5120, c.intermediate_size = 12288, c.moe_intermediate_size = 1536, c.n_routed_experts = 160;
  c.n_shared_experts = 1, c.num_experts_per_tok = 8, c.routed_scaling_factor = 2.5f, c.first_k_dense_replace = 3;
  c.use_qk_norm = true, c.num_hidden_layers = 92, c.num_attention_heads = 96, c.num_key_value_heads = 8;
  c.head_dim = 128, c.vocab_size = 151552;
  return {"glm-4.5",
          "GLM-4.5",
          glm4_moe_layer(c),
          "sigmoid; a bias selects but never weighs; weights / (sum + 1e-20), x 2.5; 1 shared expert, ungated",
          glm4_moe_parts(c),
          "355 B total, 32 B active without embeddings"};
}

Preset glm45_air_preset() {
  Glm4MoeConfig c;
  c.hidden_size = 4096, c.intermediate_size = 10944, c.moe_intermediate_size = 1408, c.n_routed_experts = 128;
  c.n_shared_experts = 1, c.num_experts_per_tok = 8, c.first_k_dense_replace = 1, c.num_hidden_layers = 46;
  c.num_attention_heads = 96, c.num_key_value_heads = 8, c.head_dim = 128, c.vocab_size = 151552;
  return {
      "glm-4.5-air",     "GLM-4.5-Air",
      glm4_moe_layer(c), "sigmoid; a bias selects but never weighs; weights / (sum + 1e-20); 1 shared expert, ungated",
      glm4_moe_parts(c), "106 B total, 12 B active without embeddings"};
}

// The bias selects but never weighs, as in DeepSeek-V3; weights / sum without eps.
moe_layer_desc minimax_m2_layer(const MinimaxM2Config& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  sigmoid_with_selection_bias(desc, true, 1);
  desc.normalize_eps = 0;
  return desc;
}

Preset minimax_m2_preset() {
  MinimaxM2Config c;
  c.hidden_size = 3072, c.intermediate_size = 1536, c.num_local_experts = 256, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 62, c.num_attention_heads = 48, c.num_key_value_heads = 8, c.head_dim = 128;
  c.vocab_size = 200064;
  const uint64_t queries = uint64_t{c.num_attention_heads} * c.head_dim;
  const uint64_t keys = uint64_t{c.num_key_value_heads} * c.head_dim;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim});
  parts.mixers += c.num_hidden_layers * (queries + keys);  // norms over all heads
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"minimax-m2",
          "MiniMax-M2",
          minimax_m2_layer(c),
          "sigmoid; a bias selects but never weighs; weights / sum, no eps",
          parts,
          "230 B total, 10 B active without embeddings"};
}

// DeepSeek-V3's router; experts relu squared without a gate, in a latent space in the larger models.
moe_layer_desc nemotron_h_layer(const NemotronHConfig& c) {
  moe_layer_desc desc =
      canonical_layer(c.hidden_size, c.moe_intermediate_size, c.n_routed_experts, c.num_experts_per_tok);
  limit_to_groups(desc, c.n_group, c.topk_group, MOE_GROUP_SCORE_SUM_TOP_N);
  sigmoid_with_selection_bias(desc, c.norm_topk_prob, c.routed_scaling_factor);
  desc.activation = MOE_ACTIVATION_RELU2;
  desc.flags |= MOE_LAYER_UNGATED;
  desc.latent = c.moe_latent_size;
  desc.shared_intermediate = c.moe_shared_expert_intermediate_size;
  return desc;
}

Preset nemotron_h_preset() {
  NemotronHConfig c;
  c.hidden_size = 2688, c.moe_intermediate_size = 1856, c.moe_shared_expert_intermediate_size = 3712;
  c.n_routed_experts = 128, c.num_experts_per_tok = 6, c.routed_scaling_factor = 2.5f, c.mamba_layers = 23;
  c.attention_layers = 6, c.moe_layers = 23, c.mamba_num_heads = 64, c.mamba_head_dim = 64, c.n_groups = 8;
  c.ssm_state_size = 128, c.conv_kernel = 4, c.num_attention_heads = 32, c.num_key_value_heads = 2, c.head_dim = 128;
  c.vocab_size = 131072;
  ModelParts parts;
  parts.layers = c.mamba_layers + c.attention_layers + c.moe_layers;
  parts.moe_layers = c.moe_layers;
  parts.mixers = c.attention_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                  .heads = c.num_attention_heads,
                                                                  .kv_heads = c.num_key_value_heads,
                                                                  .head_dim = c.head_dim});
  parts.mixers += c.mamba_layers * count(Mamba2{.hidden = c.hidden_size,
                                                .heads = c.mamba_num_heads,
                                                .head_dim = c.mamba_head_dim,
                                                .groups = c.n_groups,
                                                .state = c.ssm_state_size,
                                                .conv_kernel = c.conv_kernel});
  parts.norms = uint64_t{parts.layers + 1} * c.hidden_size;  // a layer is one block
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"nemotron-h",
          "Nemotron-3-Nano-30B-A3B",
          nemotron_h_layer(c),
          "sigmoid; a bias selects but never weighs; weights / (sum + 1e-20), x 2.5; experts relu squared without a "
          "gate; 1 shared expert of its own width, ungated; larger models work in a latent space",
          parts,
          "31.6 B total, 3.2 B active without the embedding table"};
}

// The factor multiplies the routed sum, which is the same as each weight; a soft cap on the logits where one is set.
moe_layer_desc laguna_layer(const LagunaConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_tok);
  sigmoid_with_selection_bias(desc, c.norm_topk_prob, c.moe_routed_scaling_factor);
  desc.normalize_eps = 0;
  desc.logit_soft_cap = c.moe_router_logit_softcapping;
  desc.shared_intermediate = c.shared_expert_intermediate_size;
  return desc;
}

Preset laguna_preset() {
  LagunaConfig c;  // as transformers' defaults, which are those of XS.2, but for the factor
  c.hidden_size = 2048, c.moe_intermediate_size = 512, c.shared_expert_intermediate_size = 512, c.num_experts = 256;
  c.num_experts_per_tok = 8, c.moe_routed_scaling_factor = 2.5f;
  return {
      "laguna",
      "Laguna-XS.2",
      laguna_layer(c),
      "sigmoid; a bias selects but never weighs; weights / sum, no eps, x 2.5; 1 shared expert, ungated; a soft cap "
      "on the logits where the config sets one (here it does not)",
      std::nullopt,
      ""};
}

}  // namespace moevk::model
