// SPDX-License-Identifier: MIT
//
// In:  configs (see special_families.h).
// Out: descriptors and presets.
// Why: sources are the families' implementations in transformers, sizes those of the released config.json files;
//      docs/semantics.md has the formulas.
#include "tools/model/presets/special_families.h"

#include <cmath>

#include "tools/model/presets/layer_forms.h"

namespace moevk::model {

// Chosen by the logit, then sigmoid of it alone. The weight multiplies the expert's input: not the same as its output,
// since the expert is not linear. One ungated shared expert.
moe_layer_desc llama4_layer(const Llama4Config& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.intermediate_size, c.num_local_experts, c.num_experts_per_tok);
  desc.score = MOE_SCORE_IDENTITY;
  desc.weight = MOE_WEIGHT_SIGMOID;
  desc.flags |= MOE_LAYER_WEIGHT_ON_INPUT;
  desc.shared_intermediate = c.intermediate_size;
  return desc;
}

namespace {

constexpr char kLlama4Divergences[] =
    "chosen by the logit, weight = sigmoid of it, on the expert's input; 1 shared expert, ungated; total includes the "
    "vision encoder, active does not";

// Its patches are 14 x 14 x 3, its positions 577; a two-layer network takes it to the text model's width.
uint64_t llama4_vision(const Llama4Config& c) {
  const uint64_t h = c.vision_hidden_size;
  const uint64_t f = c.vision_intermediate_size;
  const uint64_t layer = 4 * (h * h + h) + 2 * h * f + f + h + 4 * h;
  const uint64_t adapter = f * c.vision_output_dim + uint64_t{c.vision_output_dim} * c.vision_output_dim;
  return c.vision_num_hidden_layers * layer + 588 * h + 577 * h + 5 * h + adapter +
         uint64_t{c.vision_output_dim} * c.hidden_size;
}

Preset llama4(const char* name, const char* model, uint32_t experts, uint32_t step, const char* published) {
  Llama4Config c;
  c.hidden_size = 5120, c.intermediate_size = 8192, c.intermediate_size_mlp = 16384, c.num_local_experts = experts;
  c.num_experts_per_tok = 1, c.interleave_moe_layer_step = step, c.num_hidden_layers = 48, c.num_attention_heads = 40;
  c.num_key_value_heads = 8, c.head_dim = 128, c.vocab_size = 202048, c.vision_hidden_size = 1408;
  c.vision_intermediate_size = 5632, c.vision_num_hidden_layers = 34, c.vision_output_dim = 4096;
  ModelParts parts;
  parts.layers = c.num_hidden_layers;
  parts.moe_layers = c.num_hidden_layers / c.interleave_moe_layer_step;
  parts.mixers = c.num_hidden_layers * count(GroupedQueryAttention{.hidden = c.hidden_size,
                                                                   .heads = c.num_attention_heads,
                                                                   .kv_heads = c.num_key_value_heads,
                                                                   .head_dim = c.head_dim});
  parts.dense = (parts.layers - parts.moe_layers) * count_gated_ffn(c.hidden_size, c.intermediate_size_mlp);
  parts.norms = count_norms(c.hidden_size, c.num_hidden_layers);
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  parts.vision = llama4_vision(c);
  return {name, model, llama4_layer(c), kLlama4Divergences, parts, published};
}

}  // namespace

Preset llama4_preset() { return llama4("llama4", "Llama-4-Scout-17B-16E", 16, 1, "109 B total, 17 B active"); }

Preset llama4_maverick_preset() {
  return llama4("llama4-maverick", "Llama-4-Maverick-17B-128E", 128, 2, "400 B total, 17 B active");
}

// The router has an input of its own: the residual stream, through an RMSNorm without weight, times a learnt scale and
// 1/sqrt(H). Weights / sum, then times a learnt scale of each expert. The dense network beside the experts, and the
// norms around both, are the host's.
moe_layer_desc gemma4_layer(const Gemma4Config& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.moe_intermediate_size, c.num_experts, c.top_k_experts);
  normalize_by_sum(desc);
  desc.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE |
                MOE_LAYER_PER_EXPERT_SCALE;
  desc.router_input_multiplier = 1.0f / std::sqrt(static_cast<float>(c.hidden_size));
  desc.norm_eps = c.rms_norm_eps;
  desc.activation = MOE_ACTIVATION_GELU_TANH;
  return desc;
}

Preset gemma4_preset() {
  Gemma4Config c;
  c.hidden_size = 2816, c.intermediate_size = 2112, c.moe_intermediate_size = 704, c.num_experts = 128;
  c.top_k_experts = 8, c.num_hidden_layers = 30, c.full_attention_layers = 5, c.num_attention_heads = 16;
  c.num_key_value_heads = 8, c.head_dim = 256, c.num_global_key_value_heads = 2, c.global_head_dim = 512;
  c.vocab_size = 262144;
  const uint64_t h = c.hidden_size;
  const uint64_t global_queries = uint64_t{c.num_attention_heads} * c.global_head_dim;
  const uint64_t global_keys = uint64_t{c.num_global_key_value_heads} * c.global_head_dim;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_hidden_layers;
  parts.mixers =
      (c.num_hidden_layers - c.full_attention_layers) * count(GroupedQueryAttention{.hidden = h,
                                                                                    .heads = c.num_attention_heads,
                                                                                    .kv_heads = c.num_key_value_heads,
                                                                                    .head_dim = c.head_dim,
                                                                                    .norms_of_heads = true});
  parts.mixers +=
      c.full_attention_layers * (2 * h * global_queries + h * global_keys + uint64_t{2} * c.global_head_dim);
  parts.dense = c.num_hidden_layers * count_gated_ffn(h, c.intermediate_size);
  parts.norms = (7 * uint64_t{c.num_hidden_layers} + 1) * h;
  parts.embedding = uint64_t{c.vocab_size} * h;
  return {
      "gemma4",
      "Gemma-4-26B-A4B",
      gemma4_layer(c),
      "the router reads another tensor: RMSNorm without weight, times a learnt scale and 1/sqrt(H); weights / sum, "
      "then times a learnt scale of each expert; gelu (tanh); a dense network in parallel is the host's; total is of "
      "the text model",
      parts,
      "25.2 B total, 3.8 B active"};
}

// The router scores identity experts too, and a choice of one adds w x. A bias selects but never weighs.
moe_layer_desc longcat_layer(const LongcatConfig& c) {
  moe_layer_desc desc = canonical_layer(c.hidden_size, c.expert_ffn_hidden_size, c.n_routed_experts, c.moe_topk);
  desc.identity_experts = c.zero_expert_num;
  desc.flags |= MOE_LAYER_SELECTION_BIAS;
  scale_routed(desc, c.routed_scaling_factor);
  return desc;
}

Preset longcat_preset() {
  LongcatConfig c;
  c.hidden_size = 6144, c.ffn_hidden_size = 12288, c.expert_ffn_hidden_size = 2048, c.n_routed_experts = 512;
  c.zero_expert_num = 256, c.moe_topk = 12, c.routed_scaling_factor = 6, c.num_layers = 28, c.num_attention_heads = 64;
  c.q_lora_rank = 1536, c.kv_lora_rank = 512, c.qk_nope_head_dim = 128, c.qk_rope_head_dim = 64, c.v_head_dim = 128;
  c.vocab_size = 131072;
  ModelParts parts;
  parts.layers = parts.moe_layers = c.num_layers;
  parts.mixers = 2 * c.num_layers *
                 count(LatentAttention{.hidden = c.hidden_size,
                                       .heads = c.num_attention_heads,
                                       .q_lora_rank = c.q_lora_rank,
                                       .kv_lora_rank = c.kv_lora_rank,
                                       .qk_nope_head_dim = c.qk_nope_head_dim,
                                       .qk_rope_head_dim = c.qk_rope_head_dim,
                                       .v_head_dim = c.v_head_dim});
  parts.dense = 2 * c.num_layers * count_gated_ffn(c.hidden_size, c.ffn_hidden_size);
  parts.norms = (4 * uint64_t{c.num_layers} + 1) * c.hidden_size;
  parts.embedding = parts.output = uint64_t{c.vocab_size} * c.hidden_size;
  return {"longcat",
          "LongCat-Flash",
          longcat_layer(c),
          "softmax over 512 experts and 256 identity experts, which add w x; a bias selects but never weighs; weights "
          "not renormalised, x 6; active is an average, 8 of 12 choices being true experts",
          parts,
          "560 B total, 27 B active on average without the embedding table"};
}

}  // namespace moevk::model
