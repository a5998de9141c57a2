// SPDX-License-Identifier: MIT
//
// In:  metadata of a GGUF file's MoE layers.
// Out: their descriptors, by the presets of tools/model/presets (see gguf_architectures.h).
// Why: keys and defaults are those that llama.cpp's loader reads for each architecture (mid-2026); what a layer
//      computes is the family's own definition. Where the two differ, a comment says so.
#include "tools/model/gguf_architectures.h"

#include "tools/model/presets/deepseek_families.h"
#include "tools/model/presets/early_families.h"
#include "tools/model/presets/softmax_families.h"
#include "tools/model/presets/special_families.h"

namespace moevk::model {
namespace {

moe_layer_desc mixtral(const MoeMetadata& m) {
  return mixtral_layer({.hidden_size = m.hidden,
                        .intermediate_size = m.intermediate,
                        .num_local_experts = m.experts,
                        .num_experts_per_tok = m.top_k});
}

// llama.cpp renormalises the two weights; xAI's model does not.
moe_layer_desc grok(const MoeMetadata& m) {
  return grok1_layer(
      {.emb_size = m.hidden, .ffn_size = m.intermediate, .num_experts = m.experts, .num_selected_experts = m.top_k});
}

moe_layer_desc dbrx(const MoeMetadata& m) {
  return dbrx_layer({.d_model = m.hidden,
                     .ffn_hidden_size = m.intermediate,
                     .moe_num_experts = m.experts,
                     .moe_top_k = m.top_k,
                     .moe_normalize_expert_weights = 1});
}

moe_layer_desc jamba(const MoeMetadata& m) {
  return jamba_layer({.hidden_size = m.hidden,
                      .intermediate_size = m.intermediate,
                      .num_experts = m.experts,
                      .num_experts_per_tok = m.top_k});
}

moe_layer_desc arctic(const MoeMetadata& m) {
  return arctic_layer({.hidden_size = m.hidden,
                       .intermediate_size = m.intermediate,
                       .num_local_experts = m.experts,
                       .num_experts_per_tok = m.top_k});
}

// llama.cpp takes the softmax over all and renormalises; the model was trained with the sparsemixer.
moe_layer_desc phimoe(const MoeMetadata& m) {
  return phimoe_layer({.hidden_size = m.hidden,
                       .intermediate_size = m.intermediate,
                       .num_local_experts = m.experts,
                       .num_experts_per_tok = m.top_k});
}

moe_layer_desc qwen2_moe(const MoeMetadata& m) {
  return qwen2_moe_layer({.hidden_size = m.hidden,
                          .moe_intermediate_size = m.intermediate,
                          .shared_expert_intermediate_size = m.shared_intermediate,
                          .num_experts = m.experts,
                          .num_experts_per_tok = m.top_k});
}

moe_layer_desc qwen3_moe(const MoeMetadata& m) {
  return qwen3_moe_layer({.hidden_size = m.hidden,
                          .moe_intermediate_size = m.intermediate,
                          .num_experts = m.experts,
                          .num_experts_per_tok = m.top_k});
}

moe_layer_desc qwen3_next(const MoeMetadata& m) {
  return qwen3_next_layer({.hidden_size = m.hidden,
                           .moe_intermediate_size = m.intermediate,
                           .shared_expert_intermediate_size = m.shared_intermediate,
                           .num_experts = m.experts,
                           .num_experts_per_tok = m.top_k});
}

moe_layer_desc olmoe(const MoeMetadata& m) {
  return olmoe_layer({.hidden_size = m.hidden,
                      .intermediate_size = m.intermediate,
                      .num_experts = m.experts,
                      .num_experts_per_tok = m.top_k});
}

moe_layer_desc granite_moe(const MoeMetadata& m) {
  return granite_moe_layer({.hidden_size = m.hidden,
                            .intermediate_size = m.intermediate,
                            .shared_intermediate_size = m.shared_intermediate,
                            .num_local_experts = m.experts,
                            .num_experts_per_tok = m.top_k});
}

moe_layer_desc hunyuan(const MoeMetadata& m) {
  return hunyuan_layer({.hidden_size = m.hidden,
                        .moe_intermediate_size = m.intermediate,
                        .shared_intermediate_size = m.shared_intermediate,
                        .num_experts = m.experts,
                        .moe_topk = m.top_k});
}

moe_layer_desc ernie45(const MoeMetadata& m) {
  moe_layer_desc desc = ernie45_layer({.hidden_size = m.hidden,
                                       .moe_intermediate_size = m.intermediate,
                                       .moe_num_experts = m.experts,
                                       .moe_k = m.top_k});
  desc.shared_intermediate = m.shared_intermediate;  // the file has the width of all, not their number
  return desc;
}

moe_layer_desc gpt_oss(const MoeMetadata& m) {
  return gpt_oss_layer({.hidden_size = m.hidden,
                        .intermediate_size = m.intermediate,
                        .num_local_experts = m.experts,
                        .num_experts_per_tok = m.top_k});
}

DeepseekConfig deepseek_config(const MoeMetadata& m) {
  return {.hidden_size = m.hidden,
          .moe_intermediate_size = m.intermediate,
          .n_routed_experts = m.experts,
          .n_shared_experts = m.shared_count,
          .num_experts_per_tok = m.top_k,
          .n_group = m.groups,
          .topk_group = m.groups_kept,
          .norm_topk_prob = m.weights_norm,
          .routed_scaling_factor = m.weights_scale};
}

// DeepSeek-MoE 16B: V2 without groups.
moe_layer_desc deepseek(const MoeMetadata& m) { return deepseek_v2_layer(deepseek_config(m)); }

// V2 and V3, and those built like them (Kimi K2); files from before the gating key are V2. llama.cpp keeps groups by
// the sum of their top two for both; V2 was trained with the best score.
moe_layer_desc deepseek2(const MoeMetadata& m) {
  return m.gating == kGatingSigmoid ? deepseek_v3_layer(deepseek_config(m)) : deepseek_v2_layer(deepseek_config(m));
}

moe_layer_desc deepseek4(const MoeMetadata& m) {
  return deepseek_v4_layer({.hidden_size = m.hidden,
                            .moe_intermediate_size = m.intermediate,
                            .n_routed_experts = m.experts,
                            .n_shared_experts = m.shared_count,
                            .num_experts_per_tok = m.top_k,
                            .norm_topk_prob = m.weights_norm,
                            .routed_scaling_factor = m.weights_scale,
                            .swiglu_limit = m.swiglu_clamp,
                            .vocab_size = m.token_table_rows},
                           m.token_table_rows > 0);
}

moe_layer_desc kimi_k3(const MoeMetadata& m) {
  return kimi_k3_layer({.hidden_size = m.hidden,
                        .routed_expert_hidden_size = m.latent,
                        .moe_intermediate_size = m.intermediate,
                        .num_experts = m.experts,
                        .num_experts_per_token = m.top_k,
                        .num_shared_experts = m.shared_count,
                        .moe_renormalize = m.weights_norm,
                        .routed_scaling_factor = m.weights_scale,
                        .latent_moe_use_norm = m.latent_norm,
                        .activation_situ_beta = m.situ_beta,
                        .activation_situ_linear_beta = m.situ_linear_beta,
                        .rms_norm_eps = m.norm_eps});
}

moe_layer_desc glm4_moe(const MoeMetadata& m) {
  return glm4_moe_layer({.hidden_size = m.hidden,
                         .moe_intermediate_size = m.intermediate,
                         .n_routed_experts = m.experts,
                         .n_shared_experts = m.shared_count,
                         .num_experts_per_tok = m.top_k,
                         .n_group = m.groups,
                         .topk_group = m.groups_kept,
                         .norm_topk_prob = m.weights_norm,
                         .routed_scaling_factor = m.weights_scale});
}

moe_layer_desc minimax_m2(const MoeMetadata& m) {
  return minimax_m2_layer({.hidden_size = m.hidden,
                           .intermediate_size = m.intermediate,
                           .num_local_experts = m.experts,
                           .num_experts_per_tok = m.top_k});
}

moe_layer_desc nemotron_h(const MoeMetadata& m) {
  return nemotron_h_layer({.hidden_size = m.hidden,
                           .moe_intermediate_size = m.intermediate,
                           .moe_shared_expert_intermediate_size = m.shared_intermediate,
                           .n_routed_experts = m.experts,
                           .num_experts_per_tok = m.top_k,
                           .n_group = m.groups,
                           .topk_group = m.groups_kept,
                           .norm_topk_prob = m.weights_norm,
                           .routed_scaling_factor = m.weights_scale,
                           .moe_latent_size = m.latent});
}

moe_layer_desc laguna(const MoeMetadata& m) {
  return laguna_layer({.hidden_size = m.hidden,
                       .moe_intermediate_size = m.intermediate,
                       .shared_expert_intermediate_size = m.shared_intermediate,
                       .num_experts = m.experts,
                       .num_experts_per_tok = m.top_k,
                       .norm_topk_prob = m.weights_norm,
                       .moe_routed_scaling_factor = m.weights_scale});
}

moe_layer_desc llama4(const MoeMetadata& m) {
  return llama4_layer({.hidden_size = m.hidden,
                       .intermediate_size = m.intermediate,
                       .num_local_experts = m.experts,
                       .num_experts_per_tok = m.top_k});
}

moe_layer_desc gemma4(const MoeMetadata& m) {
  return gemma4_layer({.hidden_size = m.hidden,
                       .moe_intermediate_size = m.intermediate,
                       .num_experts = m.experts,
                       .top_k_experts = m.top_k,
                       .rms_norm_eps = m.norm_eps});
}

using E = ExpertWidth;
using S = SharedWidth;
constexpr uint32_t kRouterKeys = kReadsNorm | kReadsScale | kReadsGroups;

constexpr LatentNames kKimiLatent = {"expert_latent_length", "ffn_routed_down.weight", "ffn_routed_up.weight",
                                     "ffn_routed_norm.weight"};
constexpr LatentNames kNemotronLatent = {"moe_latent_size", "ffn_latent_down.weight", "ffn_latent_up.weight", nullptr};

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "llama", .describe = mixtral, .expert_width = E::total, .normalizes = true},
    {.name = "qwen2moe", .describe = qwen2_moe, .expert_width = E::total_over_k, .shared_width = S::key_or_total},
    {.name = "qwen3moe", .describe = qwen3_moe, .expert_width = E::total_over_k, .normalizes = true},
    {.name = "qwen3next",
     .describe = qwen3_next,
     .expert_width = E::total_over_k,
     .shared_width = S::key_or_total,
     .normalizes = true},
    {.name = "qwen35moe",
     .describe = qwen3_next,
     .expert_width = E::total_over_k,
     .shared_width = S::key_or_total,
     .normalizes = true},
    {.name = "olmoe", .describe = olmoe, .expert_width = E::total},
    {.name = "deepseek", .describe = deepseek, .shared_width = S::count_of_experts},
    {.name = "deepseek2",
     .describe = deepseek2,
     .shared_width = S::count_of_experts,
     .other_gating = kGatingSigmoid,
     .reads = kRouterKeys,
     .optional_flags = MOE_LAYER_SELECTION_BIAS},
    {.name = "deepseek32",
     .describe = deepseek2,
     .shared_width = S::count_of_experts,
     .gating = kGatingSigmoid,
     .reads = kRouterKeys,
     .optional_flags = MOE_LAYER_SELECTION_BIAS},
    {.name = "deepseek4",
     .describe = deepseek4,
     .shared_width = S::count_of_experts,
     .gating = kGatingSqrtSoftplus,
     .reads = kReadsNorm | kReadsScale | kReadsClamp,
     .token_table = true},
    {.name = "kimi-k3",
     .describe = kimi_k3,
     .shared_width = S::count_of_experts,
     .gating = kGatingSigmoid,
     .reads = kReadsNorm | kReadsScale | kReadsSitu,
     .residual_score = true,
     .latent = &kKimiLatent},
    {.name = "glm4moe",
     .describe = glm4_moe,
     .expert_width = E::total_over_k,
     .shared_width = S::count_of_experts,
     .gating = kGatingSigmoid,
     .reads = kRouterKeys},
    {.name = "llama4", .describe = llama4, .gating = kGatingSigmoid},
    {.name = "gpt-oss", .describe = gpt_oss, .gating = kGatingSoftmaxOfChosen},
    {.name = "phimoe", .describe = phimoe, .expert_width = E::total, .normalizes = true},
    {.name = "dbrx", .describe = dbrx, .expert_width = E::total, .normalizes = true},
    {.name = "grok", .describe = grok, .expert_width = E::total, .normalizes = true},
    {.name = "jamba", .describe = jamba, .expert_width = E::total},
    {.name = "arctic", .describe = arctic, .expert_width = E::total, .normalizes = true, .dense_beside = true},
    {.name = "minimax-m2",
     .describe = minimax_m2,
     .expert_width = E::total,
     .gating = kGatingSigmoid,
     .normalizes = true},
    {.name = "ernie4_5-moe",
     .describe = ernie45,
     .shared_width = S::key,
     .normalizes = true,
     .optional_flags = MOE_LAYER_SELECTION_BIAS},
    {.name = "hunyuan-moe",
     .describe = hunyuan,
     .expert_width = E::total,
     .shared_width = S::key_or_total,
     .normalizes = true},
    {.name = "granitemoe",
     .describe = granite_moe,
     .expert_width = E::total,
     .shared_width = S::key,
     .normalizes = true},
    {.name = "gemma4",
     .describe = gemma4,
     .normalizes = true,
     .optional_flags = MOE_LAYER_PER_EXPERT_SCALE,
     .dense_beside = true},
    {.name = "nemotron_h_moe",
     .describe = nemotron_h,
     .shared_width = S::key,
     .gating = kGatingSigmoid,
     .reads = kRouterKeys,
     .mixed_blocks = true,
     .latent = &kNemotronLatent},
    {.name = "laguna",
     .describe = laguna,
     .shared_width = S::key,
     .gating = kGatingSigmoid,
     .reads = kReadsNorm | kReadsScale},
};

}  // namespace

std::span<const GgufArchitecture> gguf_architectures() { return kArchitectures; }

}  // namespace moevk::model
