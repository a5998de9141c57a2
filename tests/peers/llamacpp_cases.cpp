// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: see llamacpp_cases.h.
// Why: routing keys are those a converter writes for the family; where none is written, llama.cpp's graph decides.
#include "tests/peers/llamacpp_cases.h"

namespace moevk::peers {
namespace {

constexpr uint32_t kSoftmax = 1;  // of expert_gating_func
constexpr uint32_t kSigmoid = 2;
constexpr uint32_t kSqrtSoftplus = 4;

std::vector<MetadataKey> router(uint32_t gating, float scale, bool normalize) {
  return {{"expert_gating_func", gating}, {"expert_weights_scale", scale}, {"expert_weights_norm", normalize}};
}

std::vector<MetadataKey> with(std::vector<MetadataKey> keys, std::initializer_list<MetadataKey> more) {
  keys.insert(keys.end(), more);
  return keys;
}

std::vector<MetadataKey> groups(uint32_t count, uint32_t kept) {
  return with(router(kSigmoid, 2.5f, true), {{"expert_group_count", count}, {"expert_group_used_count", kept}});
}

// The layer as llama.cpp has it, where that is not what the family was trained with (gguf_architectures.cpp says so).
Divergence normalized() {
  return {"llama.cpp renormalises the weights, the family does not; compared so", [](moe_layer_desc& desc) {
            desc.normalize = MOE_NORMALIZE_SUM_FLOOR;
            desc.normalize_eps = 6.103515625e-5f;
          }};
}

Divergence softmax_for_sparsemixer() {
  return {"llama.cpp has a softmax over all and renormalises, the family a sparsemixer; compared so",
          [](moe_layer_desc& desc) {
            desc.score = MOE_SCORE_SOFTMAX;
            desc.selection = MOE_SELECT_TOP_K;
            desc.sparsemixer_eps = 0;
            desc.normalize = MOE_NORMALIZE_SUM_FLOOR;
            desc.normalize_eps = 6.103515625e-5f;
          }};
}

Divergence groups_by_sum() {
  return {"llama.cpp keeps groups by the sum of their top two, the family by their best; compared so",
          [](moe_layer_desc& desc) {
            desc.group_score = MOE_GROUP_SCORE_SUM_TOP_N;
            desc.group_top_n = 2;
          }};
}

// ggml's CPU backend looks gelu up in a table of f16: argument and value are rounded by 2^-11 each.
constexpr double kGeluTable = 0x1p-10;

LlamaCase deepseek2_softmax(bool in_groups) {
  LlamaCase one = {"deepseek2-softmax", "deepseek-v2", "deepseek2", "deepseek2-moe", 16, 4};
  one.keys = router(kSoftmax, 16, false);
  one.without = {"exp_probs_b"};
  if (!in_groups) return one;
  one.name = "deepseek2-softmax-groups";
  one.experts = 24, one.top_k = 6;
  one.keys = with(one.keys, {{"expert_group_count", 6u}, {"expert_group_used_count", 3u}});
  one.divergence = groups_by_sum();
  return one;
}

LlamaCase deepseek4() {
  LlamaCase one = {"deepseek4", "deepseek-v4", "deepseek4", "deepseek4-moe", 16, 6};
  one.keys = with(router(kSqrtSoftplus, 1.5f, true),
                  {{"expert_feed_forward_length", 192u},  // not the 1024 that test-llama-archs takes
                   {"hash_layer_count", 2u},
                   {"swiglu_clamp_exp", 2.5f},
                   {"swiglu_clamp_shexp", 2.5f}});
  one.without = {"exp_probs_b_vl"};  // a bias for images
  one.token_tables = 2;
  return one;
}

LlamaCase phimoe() {
  LlamaCase one = {"phimoe", "phi-3.5-moe", "phimoe", "phimoe-moe", 16, 2};
  one.divergence = softmax_for_sparsemixer();
  return one;
}

LlamaCase grok() {
  LlamaCase one = {"grok", "grok-1", "grok", "grok-moe", 8, 2};
  one.without = {".ffn_gate.", ".ffn_up.", ".ffn_down."};  // Grok-2's dense network beside the experts
  one.divergence = normalized();
  one.output_bound = kGeluTable;
  return one;
}

// What test-llama-archs saves has no experts yet.
LlamaCase nemotron_h_moe(bool latent) {
  LlamaCase one = {"nemotron_h_moe", "nemotron-h", "nemotron_h_moe", "nemotron_h_moe-dense", 16, 6};
  one.keys = with(
      router(kSigmoid, 2.5f, true),
      {{"expert_feed_forward_length", 192u}, {"expert_shared_count", 1u}, {"expert_shared_feed_forward_length", 256u}});
  if (!latent) {
    one.without = {"ffn_latent"};
    return one;
  }
  one.name = "nemotron_h_moe-latent";
  one.keys = with(one.keys, {{"moe_latent_size", 96u}});
  return one;
}

// The latent width is less than the model's, and the constants of SiTU are not the release's, so that they must be read.
LlamaCase kimi_k3(bool norm) {
  LlamaCase one = {"kimi-k3", "kimi-k3", "kimi-k3", "kimi-k3-moe", 28, 16};
  one.keys = with(router(kSigmoid, 2.5f, true), {{"expert_feed_forward_length", 160u},
                                                 {"expert_shared_count", 2u},
                                                 {"expert_latent_length", 72u},
                                                 {"activation.situ_beta", 2.5f},
                                                 {"activation.situ_linear_beta", 3.5f}});
  if (norm) return one;
  one.name = "kimi-k3-no-norm";
  one.without = {"ffn_routed_norm"};
  one.keys = with(one.keys, {{"activation.situ_linear_beta", 0.0f}});  // up is not capped
  return one;
}

// test-llama-archs does not save it; Gemma 3 has the same keys but for those of experts and of sliding windows.
LlamaCase gemma4() {
  LlamaCase one = {"gemma4", "gemma4", "gemma4", "gemma3-dense", 16, 4};
  one.base_architecture = "gemma3";
  one.keys = {{"block_count", 5u},
              {"expert_feed_forward_length", 96u},
              {"embedding_length_per_layer_input", 0u},
              {"attention.shared_kv_layers", 0u},
              {"attention.key_length_swa", 128u},
              {"attention.value_length_swa", 128u},
              {"attention.sliding_window_pattern", std::vector<bool>{true, true, true, true, false}},
              {"rope.freq_base_swa", 10000.0f}};
  one.keeps = {"ffn_gate_inp.scale", "ffn_down_exps.scale"};
  one.output_bound = kGeluTable;
  return one;
}

// Case, family, architecture, what test-llama-archs saves, E, k, what a converter writes of the router.
const std::vector<LlamaCase> kCases = {
    {"mixtral", "mixtral", "llama", "llama-moe", 8, 2},
    {"qwen2moe", "qwen2-moe", "qwen2moe", "qwen2moe-moe", 10, 4},
    {"qwen3moe", "qwen3-moe", "qwen3moe", "qwen3moe-moe", 24, 8},
    {"qwen3next", "qwen3-next", "qwen3next", "qwen3next-moe", 40, 10},
    {"qwen35moe", "qwen3-next", "qwen35moe", "qwen35moe-moe", 20, 8},
    {"olmoe", "olmoe", "olmoe", "olmoe-moe", 16, 8},
    {"deepseek", "deepseek-v2-lite", "deepseek", "deepseek-moe", 14, 6},
    deepseek2_softmax(false),
    deepseek2_softmax(true),
    {"deepseek2-sigmoid", "deepseek-v3", "deepseek2", "deepseek2-moe", 24, 8, groups(6, 3)},
    {"deepseek2-one-group", "kimi-k2", "deepseek2", "deepseek2-moe", 24, 8, router(kSigmoid, 2.827f, true)},
    {"deepseek32", "deepseek-v3", "deepseek32", "deepseek32-moe", 16, 6, groups(4, 2)},
    deepseek4(),
    {"glm4moe", "glm-4.5", "glm4moe", "glm4moe-moe", 20, 8, router(kSigmoid, 2.5f, true)},
    {"llama4", "llama4", "llama4", "llama4-moe", 16, 1},
    {"gpt-oss", "gpt-oss", "gpt-oss", "gpt-oss-moe", 12, 4},
    phimoe(),
    {"dbrx", "dbrx", "dbrx", "dbrx-moe", 16, 4},
    grok(),
    {"jamba", "jamba", "jamba", "jamba-dense", 16, 2},
    {"arctic", "arctic", "arctic", "arctic-moe", 16, 2},
    {"minimax-m2", "minimax-m2", "minimax-m2", "minimax-m2-moe", 32, 8, {{"expert_gating_func", kSigmoid}}},
    {"ernie4_5-moe", "ernie-4.5", "ernie4_5-moe", "ernie4_5-moe-moe", 16, 6},
    {"hunyuan-moe", "hunyuan", "hunyuan-moe", "hunyuan-moe-moe", 16, 8},
    {"granitemoe", "granite-moe", "granitemoe", "granitemoe-moe", 40, 8},
    nemotron_h_moe(false),
    nemotron_h_moe(true),
    kimi_k3(true),
    kimi_k3(false),
    gemma4(),
    {"laguna", "laguna", "laguna", "laguna-moe", 16, 8, router(kSigmoid, 2.5f, true)},
};

constexpr Unjudged kUnjudged[] = {
    {"switch", "llama.cpp has no graph of it"},
    {"gshard", "llama.cpp has no graph of it"},
    {"longcat", "llama.cpp has no graph of it"},
};

}  // namespace

std::span<const LlamaCase> llama_cases() { return kCases; }
std::span<const Unjudged> families_without_llamacpp() { return kUnjudged; }

}  // namespace moevk::peers
