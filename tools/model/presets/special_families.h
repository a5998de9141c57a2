// SPDX-License-Identifier: MIT
//
// In:  a family's config in its own words: the names of its config.json, those fields that are read here.
// Out: the descriptor of its MoE layer, and the preset of a released model.
// Why: families whose layer has a part that no other has: Llama 4 (the weight on the input), Gemma 4 (a router input of
//      its own), LongCat (identity experts).
#pragma once

#include <cstdint>

#include "tools/model/presets/presets.h"

namespace moevk::model {

struct Llama4Config {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;      // Of an expert, and of the shared one.
  uint32_t intermediate_size_mlp = 0;  // Of dense layers.
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t interleave_moe_layer_step = 1;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
  // vision_config
  uint32_t vision_hidden_size = 0;
  uint32_t vision_intermediate_size = 0;
  uint32_t vision_num_hidden_layers = 0;
  uint32_t vision_output_dim = 0;
};
moe_layer_desc llama4_layer(const Llama4Config& config);
Preset llama4_preset();
Preset llama4_maverick_preset();

struct Gemma4Config {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;  // Of the dense network beside the experts.
  uint32_t moe_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t top_k_experts = 0;
  float rms_norm_eps = 1e-6f;
  uint32_t num_hidden_layers = 0;
  uint32_t full_attention_layers = 0;  // Of layer_types; the others have a sliding window.
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t num_global_key_value_heads = 0;  // Of full attention; values are the keys there.
  uint32_t global_head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc gemma4_layer(const Gemma4Config& config);
Preset gemma4_preset();

struct LongcatConfig {
  uint32_t hidden_size = 0;
  uint32_t ffn_hidden_size = 0;  // Of the two dense networks of a layer.
  uint32_t expert_ffn_hidden_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t zero_expert_num = 0;
  uint32_t moe_topk = 0;
  float routed_scaling_factor = 1;
  uint32_t num_layers = 0;  // Each has two attention blocks, two dense networks and one MoE layer.
  uint32_t num_attention_heads = 0;
  uint32_t q_lora_rank = 0;
  uint32_t kv_lora_rank = 0;
  uint32_t qk_nope_head_dim = 0;
  uint32_t qk_rope_head_dim = 0;
  uint32_t v_head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc longcat_layer(const LongcatConfig& config);
Preset longcat_preset();

}  // namespace moevk::model
