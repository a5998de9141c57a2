// SPDX-License-Identifier: MIT
//
// In:  configs (see early_families.h).
// Out: descriptors and presets.
// Why: sources are the families' implementations in transformers and xAI's grok-1, sizes those of the released
//      config.json files; docs/semantics.md has the formulas.
#include "tools/model/presets/early_families.h"

#include "tools/model/presets/layer_forms.h"

namespace moevk::model {

// Top 1, weighted by its probability; at most capacity_factor * T / E tokens an expert, served in token order.
moe_layer_desc switch_layer(const SwitchConfig& c) {
  moe_layer_desc desc = canonical_layer(c.d_model, c.d_ff, c.num_experts, 1);
  desc.activation = MOE_ACTIVATION_RELU;
  desc.flags |= MOE_LAYER_UNGATED;
  desc.capacity = MOE_CAPACITY_POSITION;
  desc.capacity_factor = c.capacity_factor;
  return desc;
}

Preset switch_preset() {
  SwitchConfig c;
  c.d_model = 768, c.d_ff = 3072, c.d_kv = 64, c.num_heads = 12, c.num_layers = 12, c.num_decoder_layers = 12;
  c.num_sparse_encoder_layers = 6, c.num_sparse_decoder_layers = 6, c.num_experts = 8, c.vocab_size = 32128;
  c.capacity_factor = 1.25f;
  const uint64_t inner = uint64_t{c.num_heads} * c.d_kv;
  const uint64_t sparse = c.num_sparse_encoder_layers + c.num_sparse_decoder_layers;
  ModelParts parts;
  parts.layers = c.num_layers + c.num_decoder_layers;
  parts.moe_layers = static_cast<uint32_t>(sparse);
  parts.mixers = (c.num_layers + 2 * uint64_t{c.num_decoder_layers}) * 4 * c.d_model * inner;
  parts.mixers += uint64_t{2} * c.relative_attention_num_buckets * c.num_heads;
  parts.dense = (parts.layers - sparse) * 2 * c.d_model * c.d_ff;
  parts.norms = (2 * uint64_t{c.num_layers} + 3 * uint64_t{c.num_decoder_layers} + 2) * c.d_model;
  parts.embedding = uint64_t{c.vocab_size} * c.d_model;
  return {
      "switch",
      "switch-base-8",
      switch_layer(c),
      "top 1, weight = probability; experts relu without a gate; capacity by token position, and a dropped token "
      "gives 0 (the host adds the residual); released code caps at a fixed 64 tokens instead of the paper's factor; "
      "jitter is for training",
      parts,
      "0.62 B total"};
}

// Two experts, their two probabilities divided by their sum; all first choices are served before any second.
moe_layer_desc gshard_layer(const GshardConfig& c) {
  moe_layer_desc desc = canonical_layer(c.model_dim, c.hidden_dim, c.num_experts, 2);
  normalize_by_sum(desc, 1e-9f);
  desc.activation = MOE_ACTIVATION_RELU;
  desc.flags |= MOE_LAYER_UNGATED;
  desc.capacity = MOE_CAPACITY_POSITION;
  desc.capacity_factor = c.capacity_factor;
  return desc;
}

Preset gshard_preset() {
  GshardConfig c;
  c.model_dim = 1024, c.hidden_dim = 8192, c.num_experts = 128, c.capacity_factor = 1;
  return {"gshard",
          "GShard MoE(128E) of the paper",
          gshard_layer(c),
          "weights / (sum + 1e-9); experts relu without a gate; capacity by position, first choices first; the paper's "
          "random dispatch of the second choice is not described",
          std::nullopt,
          ""};
}

// The two weights are divided by their sum.
moe_layer_desc mixtral_layer(const MixtralConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  normalize_by_sum(desc);
  return desc;
}

namespace {

constexpr char kMixtralDivergences[] = "weights / sum, no eps";

ModelParts mixtral_parts(const MixtralConfig& c) {
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads});
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return parts;
}

}  // namespace

Preset mixtral_preset() {
  MixtralConfig c;
  c.hidden_size = 4096, c.intermediate_size = 14336, c.num_local_experts = 8, c.num_experts_per_tok = 2;
  c.num_hidden_layers = 32, c.num_attention_heads = 32, c.num_key_value_heads = 8, c.vocab_size = 32000;
  return {"mixtral",           "Mixtral-8x7B",   mixtral_layer(c),
          kMixtralDivergences, mixtral_parts(c), "46.7 B total, 12.9 B active"};
}

Preset mixtral_8x22b_preset() {
  MixtralConfig c;
  c.hidden_size = 6144, c.intermediate_size = 16384, c.num_local_experts = 8, c.num_experts_per_tok = 2;
  c.num_hidden_layers = 56, c.num_attention_heads = 48, c.num_key_value_heads = 8, c.vocab_size = 32768;
  return {"mixtral-8x22b",     "Mixtral-8x22B",  mixtral_layer(c),
          kMixtralDivergences, mixtral_parts(c), "141 B total, 39 B active"};
}

// Weights as the softmax over all gives them; gelu (tanh) where others have silu.
moe_layer_desc grok1_layer(const Grok1Config& c) {
  moe_layer_desc desc = canonical_layer(c.emb_size, c.ffn_size, c.num_experts, c.num_selected_experts);
  desc.activation = MOE_ACTIVATION_GELU_TANH;
  return desc;
}

Preset grok1_preset() {
  Grok1Config c;
  c.emb_size = 6144, c.ffn_size = 32768, c.num_experts = 8, c.num_selected_experts = 2, c.num_layers = 64;
  c.num_q_heads = 48, c.num_kv_heads = 8, c.key_size = 128, c.vocab_size = 131072;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_layers;
  parts.mixers = c.num_layers *
                 count(GroupedQueryAttention{
                     .hidden = c.emb_size, .heads = c.num_q_heads, .kv_heads = c.num_kv_heads, .head_dim = c.key_size});
  parts.norms = 2 * count_norms(c.emb_size, c.num_layers) - c.emb_size;  // before and after each block
  parts.embedding = uint64_t{c.vocab_size} * c.emb_size;
  return {"grok-1", "Grok-1",     grok1_layer(c), "weights not renormalised; experts gelu (tanh) with a gate",
          parts,    "314 B total"};
}

// Weights divided by their p-norm; p = 1 in the released model, which for a softmax is the sum.
moe_layer_desc dbrx_layer(const DbrxConfig& c) {
  moe_layer_desc desc = canonical_layer(c.d_model, c.ffn_hidden_size, c.moe_num_experts, c.moe_top_k);
  if (c.moe_normalize_expert_weights > 0) {
    normalize_by_sum(desc);
    desc.normalize = MOE_NORMALIZE_P_NORM;
    desc.normalize_p = c.moe_normalize_expert_weights;
  }
  return desc;
}

Preset dbrx_preset() {
  DbrxConfig c;
  c.d_model = 6144, c.ffn_hidden_size = 10752, c.moe_num_experts = 16, c.moe_top_k = 4, c.n_layers = 40;
  c.moe_normalize_expert_weights = 1, c.n_heads = 48, c.kv_n_heads = 8, c.vocab_size = 100352;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.n_layers;
  parts.mixers =
      c.n_layers *
      count(GroupedQueryAttention{
          .hidden = c.d_model, .heads = c.n_heads, .kv_heads = c.kv_n_heads, .head_dim = c.d_model / c.n_heads});
  parts.norms = count_norms(c.d_model, c.n_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.d_model;
  return {"dbrx", "DBRX", dbrx_layer(c), "weights / p-norm of the chosen, p = 1", parts, "132 B total, 36 B active"};
}

// Weights as the softmax over all gives them.
moe_layer_desc jamba_layer(const JambaConfig& c) {
  return canonical_layer(c.hidden_size, c.intermediate_size, c.num_experts, c.num_experts_per_tok);
}

Preset jamba_preset() {
  JambaConfig c;
  c.hidden_size = 4096, c.intermediate_size = 14336, c.num_experts = 16, c.num_experts_per_tok = 2;
  c.num_hidden_layers = 32, c.expert_layer_period = 2, c.attn_layer_period = 8, c.num_attention_heads = 32;
  c.num_key_value_heads = 8, c.mamba_d_state = 16, c.mamba_d_conv = 4, c.mamba_expand = 2, c.mamba_dt_rank = 256;
  c.vocab_size = 65536;
  const uint32_t attention_layers = c.num_hidden_layers / c.attn_layer_period;
  ModelParts parts;
  parts.layers = c.num_hidden_layers;
  parts.moe_layers = c.num_hidden_layers / c.expert_layer_period;
  parts.mixers = attention_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                .heads = c.num_attention_heads,
                                                                .kv_heads = c.num_key_value_heads,
                                                                .head_dim = c.hidden_size / c.num_attention_heads});
  parts.mixers += (c.num_hidden_layers - attention_layers) * count(Mamba{.hidden = c.hidden_size,
                                                                         .inner = c.mamba_expand * c.hidden_size,
                                                                         .state = c.mamba_d_state,
                                                                         .conv_kernel = c.mamba_d_conv,
                                                                         .dt_rank = c.mamba_dt_rank});
  parts.dense = (parts.layers - parts.moe_layers) * count_gated_ffn(c.hidden_size, c.intermediate_size);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"jamba", "Jamba-v0.1", jamba_layer(c), "weights not renormalised", parts, "52 B total, 12 B active"};
}

// The two weights are divided by their sum. The dense network beside the experts is the host's.
moe_layer_desc arctic_layer(const ArcticConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  normalize_by_sum(desc);
  return desc;
}

Preset arctic_preset() {
  ArcticConfig c;
  c.hidden_size = 7168, c.intermediate_size = 4864, c.num_local_experts = 128, c.num_experts_per_tok = 2;
  c.num_hidden_layers = 35, c.num_attention_heads = 56, c.num_key_value_heads = 8, c.vocab_size = 32000;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads});
  parts.dense = c.num_hidden_layers * count_gated_ffn(c.hidden_size, c.hidden_size);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers) + uint64_t{c.num_hidden_layers} * c.hidden_size;
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"arctic",        "Arctic",
          arctic_layer(c), "weights / sum, no eps; a dense network in parallel is the host's",
          parts,           "480 B total, 17 B active"};
}

// Sparsemixer at inference: the best two, each weighted by a softmax over those near it; not renormalised.
moe_layer_desc phimoe_layer(const PhimoeConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  desc.score = MOE_SCORE_IDENTITY;  // the window and its softmax work on logits
  desc.selection = MOE_SELECT_SPARSEMIXER;
  desc.sparsemixer_eps = c.router_jitter_noise;
  return desc;
}

Preset phimoe_preset() {
  PhimoeConfig c;
  c.hidden_size = 4096, c.intermediate_size = 6400, c.num_local_experts = 16, c.num_experts_per_tok = 2;
  c.num_hidden_layers = 32, c.num_attention_heads = 32, c.num_key_value_heads = 8, c.vocab_size = 32064;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.hidden_size / c.num_attention_heads,
                                                                   .qkv_bias = true,
                                                                   .output_bias = true});
  parts.norms = 2 * count_norms(c.hidden_size, c.num_hidden_layers);  // LayerNorm: a weight and a bias
  parts.embedding = uint64_t{c.vocab_size} * c.hidden_size;
  parts.output = parts.embedding + c.vocab_size;
  return {"phi-3.5-moe",
          "Phi-3.5-MoE",
          phimoe_layer(c),
          "sparsemixer: each of the two is weighted by a softmax over the experts within 2 eps of it; not renormalised",
          parts,
          "41.9 B total, 6.6 B active"};
}

}  // namespace moevk::model
