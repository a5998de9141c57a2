// SPDX-License-Identifier: MIT
//
// In:  a family's config in its own words: the names of its config.json, those fields that are read here.
// Out: the descriptor of its MoE layer, and the preset of a released model.
// Why: families with many small experts and a softmax router: Qwen2-MoE, Qwen3-MoE, Qwen3-Next, OLMoE, Granite,
//      Hunyuan, ERNIE-4.5, gpt-oss. How each departs from the canonical form stands beside its function.
#pragma once

#include <cstdint>

#include "tools/model/presets/presets.h"

namespace moevk::model {

struct Qwen2MoeConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t shared_expert_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = false;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc qwen2_moe_layer(const Qwen2MoeConfig& config);
Preset qwen2_moe_preset();

struct Qwen3MoeConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = true;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc qwen3_moe_layer(const Qwen3MoeConfig& config);
Preset qwen3_moe_preset();
Preset qwen3_moe_235b_preset();

struct Qwen3NextConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t shared_expert_intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = true;
  uint32_t num_hidden_layers = 0;
  uint32_t full_attention_interval = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t linear_num_key_heads = 0;
  uint32_t linear_num_value_heads = 0;
  uint32_t linear_key_head_dim = 0;
  uint32_t linear_value_head_dim = 0;
  uint32_t linear_conv_kernel_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc qwen3_next_layer(const Qwen3NextConfig& config);
Preset qwen3_next_preset();

struct OlmoeConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_experts = 0;
  uint32_t num_experts_per_tok = 0;
  bool norm_topk_prob = false;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc olmoe_layer(const OlmoeConfig& config);
Preset olmoe_preset();

struct GraniteMoeConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t shared_intermediate_size = 0;  // 0 but in Granite-MoE-Shared.
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc granite_moe_layer(const GraniteMoeConfig& config);
Preset granite_moe_preset();
Preset granite_moe_1b_preset();

struct HunyuanConfig {
  uint32_t hidden_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t shared_intermediate_size = 0;  // num_shared_expert * moe_intermediate_size.
  uint32_t num_experts = 0;
  uint32_t moe_topk = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t attention_head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc hunyuan_layer(const HunyuanConfig& config);
Preset hunyuan_preset();

struct Ernie45Config {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;  // Of dense layers.
  uint32_t moe_intermediate_size = 0;
  uint32_t moe_num_experts = 0;
  uint32_t moe_k = 0;
  uint32_t moe_num_shared_experts = 0;
  float moe_norm_min = 1e-12f;
  uint32_t moe_layer_start_index = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc ernie45_layer(const Ernie45Config& config);
Preset ernie45_preset();

struct GptOssConfig {
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_local_experts = 0;
  uint32_t num_experts_per_tok = 0;
  float swiglu_limit = 7;
  uint32_t num_hidden_layers = 0;
  uint32_t num_attention_heads = 0;
  uint32_t num_key_value_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
};
moe_layer_desc gpt_oss_layer(const GptOssConfig& config);
Preset gpt_oss_preset();
Preset gpt_oss_120b_preset();

}  // namespace moevk::model
