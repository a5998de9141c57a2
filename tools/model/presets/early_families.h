// SPDX-License-Identifier: MIT
//
// In:  a family's config in its own words: the names of its config.json, those fields that are read here.
// Out: the descriptor of its MoE layer, and the preset of a released model.
// Why: families with few large experts and a softmax router: Switch, GShard, Mixtral, Grok-1, DBRX, Jamba, Arctic,
//      Phi-3.5-MoE. How each departs from the canonical form stands beside its function.
#pragma once

#include <cstdint>

#include "tools/model/presets/presets.h"

namespace moevk::model {

struct SwitchConfig {
  uint32_t d_model = 0;
  uint32_t d_ff = 0;
  uint32_t d_kv = 0;
  uint32_t num_heads = 0;
  uint32_t num_layers = 0;          // Of the encoder.
  uint32_t num_decoder_layers = 0;  // They also attend to the encoder.
  uint32_t num_sparse_encoder_layers = 0;
  uint32_t num_sparse_decoder_layers = 0;
  uint32_t relative_attention_num_buckets = 32;
  uint32_t num_experts = 0;
  float capacity_factor = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc switch_layer(const SwitchConfig& config);
Preset switch_preset();

struct GshardConfig {
  uint32_t model_dim = 0;
  uint32_t hidden_dim = 0;
  uint32_t num_experts = 0;
  float capacity_factor = 0;
};
moe_layer_desc gshard_layer(const GshardConfig& config);
Preset gshard_preset();

struct MixtralConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc mixtral_layer(const MixtralConfig& config);
Preset mixtral_preset();
Preset mixtral_8x22b_preset();

struct Grok1Config {
  uint32_t emb_size = 0;
  uint32_t ffn_size = 0;  // emb_size * widening_factor * 2/3.
  uint32_t num_experts = 0;
  uint32_t num_selected_experts = 0;
  uint32_t num_layers = 0;
  uint32_t num_q_heads = 0;
  uint32_t num_kv_heads = 0;
  uint32_t key_size = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc grok1_layer(const Grok1Config& config);
Preset grok1_preset();

struct DbrxConfig {
  uint32_t d_model = 0;
  uint32_t ffn_hidden_size = 0;
  uint32_t moe_num_experts = 0;
  uint32_t moe_top_k = 0;
  float moe_normalize_expert_weights = 0;  // p of the norm; 0: none.
  uint32_t n_layers = 0;
  uint32_t n_heads = 0;
  uint32_t kv_n_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc dbrx_layer(const DbrxConfig& config);
Preset dbrx_preset();

struct JambaConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t expert_layer_period = 0;
  uint32_t attn_layer_period = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t mamba_d_state = 0;
  uint32_t mamba_d_conv = 0;
  uint32_t mamba_expand = 0;
  uint32_t mamba_dt_rank = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc jamba_layer(const JambaConfig& config);
Preset jamba_preset();

struct ArcticConfig {
  uint32_t hidden_size = 0;  // Also the width of the dense network beside the experts.
  uint32_t intermediate_size = 0;
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc arctic_layer(const ArcticConfig& config);
Preset arctic_preset();

struct PhimoeConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  float router_jitter_noise = 0.01f;  // At inference the width of the sparsemixer's window.
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc phimoe_layer(const PhimoeConfig& config);
Preset phimoe_preset();

}  // namespace moevk::model
