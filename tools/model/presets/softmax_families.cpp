// SPDX-License-Identifier: MIT
//
// In:  configs (see softmax_families.h).
// Out: descriptors and presets.
// Why: sources are the families' implementations in transformers, sizes those of the released config.json files;
//      docs/semantics.md has the formulas.
#include "tools/model/presets/softmax_families.h"

#include "tools/model/presets/layer_forms.h"

namespace moevk::model {

// Weights as the softmax over all gives them; one shared expert behind a sigmoid gate.
moe_layer_desc qwen2_moe_layer(const Qwen2MoeConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_tok);
  if (c.norm_topk_prob) normalize_by_sum(desc);
  desc.shared_intermediate = c.shared_expert_intermediate_size;
  if (desc.shared_intermediate > 0) desc.shared_gate = MOE_SHARED_GATE_SIGMOID;
  return desc;
}

Preset qwen2_moe_preset() {
  Qwen2MoeConfig c;
  c.hidden_size = 2048, c.moe_intermediate_size = 1408, c.shared_expert_intermediate_size = 5632, c.num_experts = 60;
  c.num_experts_per_tok = 4, c.num_hidden_layers = 24, c.num_attention_heads = 16, c.num_key_value_heads = 16;
  c.vocab_size = 151936;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads,
                                                                   .qkv_bias = true});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"qwen2-moe",
          "Qwen1.5-MoE-A2.7B",
          qwen2_moe_layer(c),
          "weights not renormalised; one shared expert times sigmoid(x . w)",
          parts,
          "14.3 B total, 2.7 B active"};
}

// The weights are divided by their sum.
moe_layer_desc qwen3_moe_layer(const Qwen3MoeConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_tok);
  if (c.norm_topk_prob) normalize_by_sum(desc);
  return desc;
}

namespace {

constexpr char kQwen3MoeDivergences[] = "weights / sum, no eps";

ModelParts qwen3_moe_parts(const Qwen3MoeConfig& c) {
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim,
                                                                   .norms_of_heads = true});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return parts;
}

}  // namespace

Preset qwen3_moe_preset() {
  Qwen3MoeConfig c;
  c.hidden_size = 2048, c.moe_intermediate_size = 768, c.num_experts = 128, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 48, c.num_attention_heads = 32, c.num_key_value_heads = 4, c.head_dim = 128;
  c.vocab_size = 151936;
  return {"qwen3-moe",          "Qwen3-30B-A3B",    qwen3_moe_layer(c),
          kQwen3MoeDivergences, qwen3_moe_parts(c), "30.5 B total, 3.3 B active"};
}

Preset qwen3_moe_235b_preset() {
  Qwen3MoeConfig c;
  c.hidden_size = 4096, c.moe_intermediate_size = 1536, c.num_experts = 128, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 94, c.num_attention_heads = 64, c.num_key_value_heads = 4, c.head_dim = 128;
  c.vocab_size = 151936;
  return {"qwen3-moe-235b",     "Qwen3-235B-A22B",  qwen3_moe_layer(c),
          kQwen3MoeDivergences, qwen3_moe_parts(c), "235 B total, 22 B active"};
}

// The weights are divided by their sum; one shared expert behind a sigmoid gate.
moe_layer_desc qwen3_next_layer(const Qwen3NextConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_tok);
  if (c.norm_topk_prob) normalize_by_sum(desc);
  desc.shared_intermediate = c.shared_expert_intermediate_size;
  if (desc.shared_intermediate > 0) desc.shared_gate = MOE_SHARED_GATE_SIGMOID;
  return desc;
}

Preset qwen3_next_preset() {
  Qwen3NextConfig c;
  c.hidden_size = 2048, c.moe_intermediate_size = 512, c.shared_expert_intermediate_size = 512, c.num_experts = 512;
  c.num_experts_per_tok = 10, c.num_hidden_layers = 48, c.full_attention_interval = 4, c.num_attention_heads = 16;
  c.num_key_value_heads = 2, c.head_dim = 256, c.linear_num_key_heads = 16, c.linear_num_value_heads = 32;
  c.linear_key_head_dim = 128, c.linear_value_head_dim = 128, c.linear_conv_kernel_dim = 4, c.vocab_size = 151936;
  const uint64_t full = c.num_hidden_layers / c.full_attention_interval;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = full * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                    .heads = c.num_attention_heads,
                                                    .kv_heads = c.num_key_value_heads,
                                                    .head_dim = c.head_dim,
                                                    .norms_of_heads = true});
  parts.mixers += full * c.hidden_size * c.num_attention_heads * c.head_dim;  // a gate as wide as the queries
  parts.mixers += (c.num_hidden_layers - full) * count(GatedDeltaNet{.hidden = c.hidden_size,
                                                                     .key_heads = c.linear_num_key_heads,
                                                                     .value_heads = c.linear_num_value_heads,
                                                                     .key_head_dim = c.linear_key_head_dim,
                                                                     .value_head_dim = c.linear_value_head_dim,
                                                                     .conv_kernel = c.linear_conv_kernel_dim});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"qwen3-next",
          "Qwen3-Next-80B-A3B",
          qwen3_next_layer(c),
          "weights / sum, no eps; one shared expert times sigmoid(x . w)",
          parts,
          "80 B total, 3 B active"};
}

// Weights as the softmax over all gives them.
moe_layer_desc olmoe_layer(const OlmoeConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_experts, c.num_experts_per_tok);
  if (c.norm_topk_prob) normalize_by_sum(desc);
  return desc;
}

Preset olmoe_preset() {
  OlmoeConfig c;
  c.hidden_size = 2048, c.intermediate_size = 1024, c.num_experts = 64, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 16, c.num_attention_heads = 16, c.num_key_value_heads = 16, c.vocab_size = 50304;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads});
  parts.mixers += uint64_t{c.num_hidden_layers} * 2 * c.hidden_size;  // norms over all heads
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"olmoe", "OLMoE-1B-7B", olmoe_layer(c), "weights not renormalised", parts, "6.9 B total, 1.3 B active"};
}

// The top k of the logits, then a softmax over the k alone; one ungated shared expert in Granite-MoE-Shared.
moe_layer_desc granite_moe_layer(const GraniteMoeConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  desc.score = MOE_SCORE_IDENTITY;
  desc.weight = MOE_WEIGHT_SOFTMAX;
  desc.shared_intermediate = c.shared_intermediate_size;
  return desc;
}

namespace {

constexpr char kGraniteDivergences[] = "top k of the logits, then a softmax over the k chosen";

ModelParts granite_parts(const GraniteMoeConfig& c) {
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = uint64_t{c.vocab_size} * c.hidden_size;
  return parts;
}

}  // namespace

Preset granite_moe_preset() {
  GraniteMoeConfig c;
  c.hidden_size = 1536, c.intermediate_size = 512, c.num_local_experts = 40, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 32, c.num_attention_heads = 24, c.num_key_value_heads = 8, c.vocab_size = 49155;
  return {"granite-moe",       "Granite-3.0-3B-A800M", granite_moe_layer(c),
          kGraniteDivergences, granite_parts(c),       "3.3 B total, 0.8 B active"};
}

Preset granite_moe_1b_preset() {
  GraniteMoeConfig c;
  c.hidden_size = 1024, c.intermediate_size = 512, c.num_local_experts = 32, c.num_experts_per_tok = 8;
  c.num_hidden_layers = 24, c.num_attention_heads = 16, c.num_key_value_heads = 8, c.vocab_size = 49155;
  return {"granite-moe-1b",    "Granite-3.0-1B-A400M", granite_moe_layer(c),
          kGraniteDivergences, granite_parts(c),       "1.3 B total, 0.4 B active"};
}

// Weights / max(sum, the f32 epsilon), but as they are for k = 1; one ungated shared expert.
moe_layer_desc hunyuan_layer(const HunyuanConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.moe_topk);
  desc.normalize = MOE_NORMALIZE_SUM_FLOOR;
  desc.normalize_eps = 1.1920929e-7f;
  desc.shared_intermediate = c.shared_intermediate_size;
  return desc;
}

Preset hunyuan_preset() {
  HunyuanConfig c;
  c.hidden_size = 4096, c.moe_intermediate_size = 3072, c.shared_intermediate_size = 3072, c.num_experts = 64;
  c.moe_topk = 8, c.num_hidden_layers = 32, c.num_attention_heads = 32, c.num_key_value_heads = 8;
  c.attention_head_dim = 128, c.vocab_size = 128167;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.attention_head_dim,
                                                                   .norms_of_heads = true});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = uint64_t{c.vocab_size} * c.hidden_size;
  return {"hunyuan",
          "Hunyuan-A13B",
          hunyuan_layer(c),
          "weights / max(sum, 1.2e-7), not for k = 1; one shared expert, ungated",
          parts,
          "80 B total, 13 B active"};
}

// A bias selects but never weighs; weights / max(sum, floor); shared experts, where there are some, ungated.
moe_layer_desc ernie45_layer(const Ernie45Config& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.moe_num_experts, c.moe_k);
  desc.flags |= MOE_LAYER_SELECTION_BIAS;
  normalize_by_sum(desc, c.moe_norm_min);
  desc.normalize = MOE_NORMALIZE_SUM_FLOOR;
  desc.shared_intermediate = c.moe_num_shared_experts * c.moe_intermediate_size;
  return desc;
}

Preset ernie45_preset() {
  Ernie45Config c;
  c.hidden_size = 2560, c.intermediate_size = 12288, c.moe_intermediate_size = 1536, c.moe_num_experts = 64;
  c.moe_k = 6, c.moe_num_shared_experts = 2, c.moe_layer_start_index = 1, c.num_hidden_layers = 28;
  c.num_attention_heads = 20, c.num_key_value_heads = 4, c.head_dim = 128, c.vocab_size = 103424;
  ModelParts parts;
  parts.layers = c.num_hidden_layers;
  parts.moe_layers = c.num_hidden_layers - c.moe_layer_start_index;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim});
  parts.dense = c.moe_layer_start_index * count_gated_ffn(c.hidden_size, c.intermediate_size);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = uint64_t{c.vocab_size} * c.hidden_size;
  return {"ernie-4.5",
          "ERNIE-4.5-21B-A3B",
          ernie45_layer(c),
          "a bias selects but never weighs; weights / max(sum, 1e-12); shared experts, where there are some, ungated",
          parts,
          "21 B total, 3 B active"};
}

// Biases everywhere; the top k of the logits, then a softmax over the k alone; clamped SwiGLU with u + 1. The released
// weights interleave gate and up.
moe_layer_desc gpt_oss_layer(const GptOssConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  desc.flags |= MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS;
  desc.score = MOE_SCORE_IDENTITY;
  desc.weight = MOE_WEIGHT_SOFTMAX;
  desc.activation = MOE_ACTIVATION_SWIGLU_OAI;
  desc.activation_alpha = 1.702f;
  desc.activation_beta = 1;
  desc.activation_limit = c.swiglu_limit;
  desc.gate_up_layout = MOE_GATE_UP_INTERLEAVED;
  return desc;
}

namespace {

constexpr char kGptOssDivergences[] =
    "biases of router and experts; top k of the logits, then a softmax over the k chosen; clamped SwiGLU, "
    "g sigmoid(1.702 g) (u + 1); gate and up interleaved";

Preset gpt_oss(const char* name, const char* model, uint32_t experts, uint32_t layers, const char* published) {
  GptOssConfig c;
  c.hidden_size = 2880, c.intermediate_size = 2880, c.num_local_experts = experts, c.num_experts_per_tok = 4;
  c.num_hidden_layers = layers, c.num_attention_heads = 64, c.num_key_value_heads = 8, c.head_dim = 64;
  c.vocab_size = 201088;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim,
                                                                   .qkv_bias = true,
                                                                   .output_bias = true});
  parts.mixers += uint64_t{c.num_hidden_layers} * c.num_attention_heads;  // attention sinks
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {name, model, gpt_oss_layer(c), kGptOssDivergences, parts, published};
}

}  // namespace

Preset gpt_oss_preset() {
  return gpt_oss("gpt-oss", "gpt-oss-20b", 32, 24, "20.9 B total, 3.6 B active without the embedding table");
}

Preset gpt_oss_120b_preset() {
  return gpt_oss("gpt-oss-120b", "gpt-oss-120b", 128, 36, "117 B total, 5.1 B active without the embedding table");
}

}  // namespace moevk::model
