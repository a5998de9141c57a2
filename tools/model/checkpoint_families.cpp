// SPDX-License-Identifier: MIT
//
// In:  config.json of a family's checkpoints.
// Out: the descriptor of its MoE layer (see checkpoint_families.h).
// Why: keys, their defaults and tensor names as the families' configuration and modeling files in transformers have
//      them (mid-2026). A key that changes the routing and that the preset cannot say must have its usual value.
#include "tools/model/checkpoint_families.h"

#include <algorithm>

#include "tools/model/presets/deepseek_families.h"
#include "tools/model/presets/early_families.h"
#include "tools/model/presets/softmax_families.h"

namespace moevk::model {
namespace {

void silu_only(CheckpointConfig& c) { c.must_be("hidden_act", {"silu", "swish"}); }

moe_layer_desc mixtral(CheckpointConfig& c) {
  silu_only(c);
  MixtralConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_local_experts = c.size("num_local_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  return mixtral_layer(config);
}

moe_layer_desc phimoe(CheckpointConfig& c) {
  silu_only(c);
  PhimoeConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_local_experts = c.size("num_local_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.router_jitter_noise = c.number_or("router_jitter_noise", config.router_jitter_noise);
  return phimoe_layer(config);
}

moe_layer_desc jamba(CheckpointConfig& c) {
  silu_only(c);
  JambaConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_experts = c.size("num_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  return jamba_layer(config);
}

moe_layer_desc qwen2_moe(CheckpointConfig& c) {
  silu_only(c);
  Qwen2MoeConfig config;
  config.hidden_size = c.size("hidden_size");
  config.moe_intermediate_size = c.size("moe_intermediate_size");
  config.shared_expert_intermediate_size = c.size("shared_expert_intermediate_size", 0);
  config.num_experts = c.size("num_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.norm_topk_prob = c.flag_or("norm_topk_prob", false);
  return qwen2_moe_layer(config);
}

moe_layer_desc qwen3_moe(CheckpointConfig& c) {
  silu_only(c);
  Qwen3MoeConfig config;
  config.hidden_size = c.size("hidden_size");
  config.moe_intermediate_size = c.size("moe_intermediate_size");
  config.num_experts = c.size("num_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.norm_topk_prob = c.flag_or("norm_topk_prob", false);  // released configs say true
  return qwen3_moe_layer(config);
}

moe_layer_desc qwen3_next(CheckpointConfig& c) {
  silu_only(c);
  Qwen3NextConfig config;
  config.hidden_size = c.size("hidden_size");
  config.moe_intermediate_size = c.size("moe_intermediate_size");
  config.shared_expert_intermediate_size = c.size("shared_expert_intermediate_size", 0);
  config.num_experts = c.size("num_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.norm_topk_prob = c.flag_or("norm_topk_prob", true);
  return qwen3_next_layer(config);
}

moe_layer_desc olmoe(CheckpointConfig& c) {
  silu_only(c);
  OlmoeConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_experts = c.size("num_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.norm_topk_prob = c.flag_or("norm_topk_prob", false);
  return olmoe_layer(config);
}

// `shared`: of GraniteMoeShared.
moe_layer_desc granite(CheckpointConfig& c, bool shared) {
  silu_only(c);
  GraniteMoeConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.shared_intermediate_size = shared ? c.size("shared_intermediate_size", 0) : 0;
  config.num_local_experts = c.size("num_local_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  return granite_moe_layer(config);
}
moe_layer_desc granite_moe(CheckpointConfig& c) { return granite(c, false); }
moe_layer_desc granite_moe_shared(CheckpointConfig& c) { return granite(c, true); }

moe_layer_desc gpt_oss(CheckpointConfig& c) {
  silu_only(c);
  GptOssConfig config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_local_experts = c.size("num_local_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.swiglu_limit = c.number_or("swiglu_limit", config.swiglu_limit);
  return gpt_oss_layer(config);
}

// Families multiply the two in 32 bits.
void check_shared_width(CheckpointConfig& c, const char* key, uint32_t experts, uint32_t width) {
  if (uint64_t{experts} * width > INT32_MAX)
    c.fail(key, std::to_string(experts) + " of width " + std::to_string(width));
}

DeepseekConfig deepseek(CheckpointConfig& c) {
  silu_only(c);
  if (c.size_or("moe_layer_freq", 1) != 1) c.fail("moe_layer_freq", "only 1 is read");
  DeepseekConfig config;
  config.hidden_size = c.size("hidden_size");
  config.moe_intermediate_size = c.size("moe_intermediate_size");
  config.n_routed_experts = c.size("n_routed_experts");
  config.n_shared_experts = c.size_or("n_shared_experts", 0);
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  config.routed_scaling_factor = c.number_or("routed_scaling_factor", 1);
  check_shared_width(c, "n_shared_experts", config.n_shared_experts, config.moe_intermediate_size);
  return config;
}

void read_groups(CheckpointConfig& c, uint32_t experts, uint32_t& groups, uint32_t& kept) {
  groups = c.size_or("n_group", 1);
  kept = c.size_or("topk_group", 1);
  if (groups > 1 && (experts % groups != 0 || kept < 1 || kept > groups)) {
    c.fail("n_group", std::to_string(groups) + ", of which " + std::to_string(kept) + " are kept, do not fit " +
                          std::to_string(experts) + " experts");
  }
}

// DeepSeek-MoE has neither groups nor a factor.
moe_layer_desc deepseek_v1(CheckpointConfig& c) {
  c.must_be("scoring_func", {"softmax"});
  DeepseekConfig config = deepseek(c);
  config.norm_topk_prob = c.flag_or("norm_topk_prob", false);
  config.routed_scaling_factor = 1;
  return deepseek_v2_layer(config);
}

moe_layer_desc deepseek_v2(CheckpointConfig& c) {
  c.must_be("scoring_func", {"softmax"});
  c.must_be("topk_method", {"greedy", "group_limited_greedy"});
  DeepseekConfig config = deepseek(c);
  config.norm_topk_prob = c.flag_or("norm_topk_prob", false);
  if (config.norm_topk_prob && config.routed_scaling_factor != 1) {
    c.fail("norm_topk_prob", "with a routed_scaling_factor, which implementations apply differently");
  }
  if (c.word_or("topk_method", "greedy") != "greedy") {
    read_groups(c, config.n_routed_experts, config.n_group, config.topk_group);
  }
  return deepseek_v2_layer(config);
}

moe_layer_desc deepseek_v3(CheckpointConfig& c) {
  c.must_be("scoring_func", {"sigmoid"});
  c.must_be("topk_method", {"noaux_tc"});
  // Their defaults are one model's numbers, and a file without them may mean another's.
  for (const char* key : {"n_group", "topk_group", "routed_scaling_factor"}) {
    if (!c.has(key)) c.fail(key, "is missing");
  }
  DeepseekConfig config = deepseek(c);
  config.norm_topk_prob = c.flag_or("norm_topk_prob", true);
  read_groups(c, config.n_routed_experts, config.n_group, config.topk_group);
  return deepseek_v3_layer(config);
}

moe_layer_desc glm4_moe(CheckpointConfig& c) {
  const DeepseekConfig same = deepseek(c);
  Glm4MoeConfig config;
  config.hidden_size = same.hidden_size;
  config.moe_intermediate_size = same.moe_intermediate_size;
  config.n_routed_experts = same.n_routed_experts;
  config.n_shared_experts = same.n_shared_experts;
  config.num_experts_per_tok = same.num_experts_per_tok;
  config.routed_scaling_factor = same.routed_scaling_factor;
  config.norm_topk_prob = c.flag_or("norm_topk_prob", true);
  read_groups(c, config.n_routed_experts, config.n_group, config.topk_group);
  return glm4_moe_layer(config);
}

moe_layer_desc minimax_m2(CheckpointConfig& c) {
  silu_only(c);
  c.must_be("scoring_func", {"sigmoid"});
  c.must_be("use_routing_bias", true);
  if (c.size_or("shared_intermediate_size", 0) != 0) c.fail("shared_intermediate_size", "only 0 is read");
  MinimaxM2Config config;
  config.hidden_size = c.size("hidden_size");
  config.intermediate_size = c.size("intermediate_size");
  config.num_local_experts = c.size("num_local_experts");
  config.num_experts_per_tok = c.size("num_experts_per_tok");
  return minimax_m2_layer(config);
}

moe_layer_desc ernie45(CheckpointConfig& c) {
  silu_only(c);
  Ernie45Config config;
  config.hidden_size = c.size("hidden_size");
  config.moe_intermediate_size = c.size("moe_intermediate_size");
  config.moe_num_experts = c.size("moe_num_experts");
  config.moe_k = c.size("moe_k");
  config.moe_num_shared_experts = c.size_or("moe_num_shared_experts", 0);
  check_shared_width(c, "moe_num_shared_experts", config.moe_num_shared_experts, config.moe_intermediate_size);
  config.moe_norm_min = c.number_or("moe_norm_min", config.moe_norm_min);
  return ernie45_layer(config);
}

constexpr CheckpointFamily kFamilies[] = {
    {.model_type = "mixtral", .describe = mixtral, .part = "block_sparse_moe.", .gate = "w1", .up = "w3", .down = "w2"},
    {.model_type = "qwen2_moe", .describe = qwen2_moe, .shared = "shared_expert."},
    {.model_type = "qwen3_moe", .describe = qwen3_moe},
    {.model_type = "qwen3_next", .describe = qwen3_next, .shared = "shared_expert."},
    {.model_type = "olmoe", .describe = olmoe},
    {.model_type = "deepseek", .describe = deepseek_v1},
    {.model_type = "deepseek_v2", .describe = deepseek_v2},
    {.model_type = "deepseek_v3", .describe = deepseek_v3},
    {.model_type = "kimi_k2", .describe = deepseek_v3},  // one group
    {.model_type = "glm4_moe", .describe = glm4_moe},
    {.model_type = "gpt_oss", .describe = gpt_oss, .router = "router.weight", .storage = ExpertStorage::interleaved_t},
    {.model_type = "granitemoe",
     .describe = granite_moe,
     .part = "block_sparse_moe.",
     .router = "router.layer.weight",
     .storage = ExpertStorage::linear},
    {.model_type = "granitemoeshared",
     .describe = granite_moe_shared,
     .part = "block_sparse_moe.",
     .router = "router.layer.weight",
     .storage = ExpertStorage::linear},
    {.model_type = "minimax_m2",
     .describe = minimax_m2,
     .part = "block_sparse_moe.",
     .selection_bias = "e_score_correction_bias",
     .gate = "w1",
     .up = "w3",
     .down = "w2"},
    {.model_type = "phimoe", .describe = phimoe, .part = "block_sparse_moe.", .gate = "w1", .up = "w3", .down = "w2"},
    {.model_type = "jamba", .describe = jamba, .part = "feed_forward.", .router = "router.weight"},
    {.model_type = "ernie4_5_moe", .describe = ernie45, .selection_bias = "moe_statics.e_score_correction_bias"},
};

}  // namespace

std::span<const CheckpointFamily> checkpoint_families() { return kFamilies; }

const CheckpointFamily* find_checkpoint_family(std::string_view model_type) {
  const auto* found = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                   [&](const CheckpointFamily& family) { return model_type == family.model_type; });
  return found == std::end(kFamilies) ? nullptr : found;
}

}  // namespace moevk::model
