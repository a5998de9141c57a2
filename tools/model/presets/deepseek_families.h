// SPDX-License-Identifier: MIT
//
// In:  a family's config in its own words: the names of its config.json, those fields that are read here.
// Out: the descriptor of its MoE layer, and the preset of a released model.
// Why: DeepSeek-V2 to V4 and the families that follow their router: Kimi K2 and K3, GLM-4.5, MiniMax-M2, Nemotron-H,
//      Laguna. How each departs from the canonical form stands beside its function.
#pragma once

#include <cstdint>

#include "tools/model/presets/presets.h"

namespace moevk::model {

// Of DeepSeek-V2, DeepSeek-V3 and Kimi K2, which share a layout.
struct DeepseekConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;  // Of dense layers.
  uint32_t moe_intermediate_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t n_shared_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t n_group = 0;
  uint32_t topk_group = 0;
  bool norm_topk_prob = false;
  float routed_scaling_factor = 1;
  uint32_t first_k_dense_replace = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t q_lora_rank = 0;  // 0: queries have one matrix.
  uint32_t kv_lora_rank = 0;
  uint32_t qk_nope_head_dim = 0;
  uint32_t qk_rope_head_dim = 0;
  uint32_t v_head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc deepseek_v2_layer(const DeepseekConfig& config);
moe_layer_desc deepseek_v3_layer(const DeepseekConfig& config);
moe_layer_desc kimi_k2_layer(const DeepseekConfig& config);
Preset deepseek_v2_preset();
Preset deepseek_v2_lite_preset();
Preset deepseek_v3_preset();
Preset kimi_k2_preset();

struct DeepseekV4Config {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t n_shared_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = true;
  float routed_scaling_factor = 1;
  float swiglu_limit = 0;
  uint32_t vocab_size = 0;
};
// `hash_moe`: one of the first num_hash_layers, whose experts come from a table by token id.
moe_layer_desc deepseek_v4_layer(const DeepseekV4Config& config, bool hash_moe = false);
Preset deepseek_v4_preset();

struct KimiK3Config {
  uint32_t hidden_size = 0;
  uint32_t routed_expert_hidden_size = 0;  // The experts' own width; 0: hidden_size, without a latent space.
  uint32_t moe_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_token = 0;
  uint32_t num_shared_experts = 0;
  bool moe_renormalize = true;
  float routed_scaling_factor = 1;
  bool latent_moe_use_norm = true;
  float activation_situ_beta = 4;
  float activation_situ_linear_beta = 25;
  float rms_norm_eps = 1e-5f;
};
moe_layer_desc kimi_k3_layer(const KimiK3Config& config);
Preset kimi_k3_preset();

struct Glm4MoeConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;  // Of dense layers.
  uint32_t moe_intermediate_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t n_shared_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t n_group = 1;
  uint32_t topk_group = 1;
  bool norm_topk_prob = true;
  float routed_scaling_factor = 1;
  uint32_t first_k_dense_replace = 0;
  bool use_qk_norm = false;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc glm4_moe_layer(const Glm4MoeConfig& config);
Preset glm45_preset();
Preset glm45_air_preset();

struct MinimaxM2Config {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc minimax_m2_layer(const MinimaxM2Config& config);
Preset minimax_m2_preset();

struct NemotronHConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t moe_shared_expert_intermediate_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t n_group = 1;
  uint32_t topk_group = 1;
  bool norm_topk_prob = true;
  float routed_scaling_factor = 1;
  uint32_t moe_latent_size = 0;  // 0: experts work at hidden_size.
  // hybrid_override_pattern: M, * and E.
  uint32_t mamba_layers = 0;
  uint32_t attention_layers = 0;
  uint32_t moe_layers = 0;
  uint32_t mamba_num_heads = 0;
  uint32_t mamba_head_dim = 0;
  uint32_t n_groups = 0;
  uint32_t ssm_state_size = 0;
  uint32_t conv_kernel = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc nemotron_h_layer(const NemotronHConfig& config);
Preset nemotron_h_preset();

struct LagunaConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t shared_expert_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = true;
  float moe_routed_scaling_factor = 1;
  float moe_router_logit_softcapping = 0;
};
moe_layer_desc laguna_layer(const LagunaConfig& config);
Preset laguna_preset();

}  // namespace moevk::model
