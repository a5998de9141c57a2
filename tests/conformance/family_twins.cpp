// SPDX-License-Identifier: MIT
//
// One function a family: what differs from softmax over all experts, silu gated by up, no shared experts.
#include "tests/conformance/family_twins.h"

#include <stdexcept>

namespace moe_conformance {
namespace {

void divided_by_sum(moe_layer_desc& d, float eps) {
  d.normalize = MOE_NORMALIZE_SUM_EPS;
  d.normalize_eps = eps;
}

void formats(moe_layer_desc& d, uint32_t dtype) {
  for (moe_weight_format* format :
       {&d.gate_format, &d.up_format, &d.down_format, &d.shared_gate_format, &d.shared_up_format, &d.shared_down_format,
        &d.latent_down_format, &d.latent_up_format}) {
    *format = plain_format(dtype);
  }
}

void switch_transformer(moe_layer_desc& d) {
  d.top_k = 1;
  d.flags = MOE_LAYER_UNGATED;
  d.activation = MOE_ACTIVATION_RELU;
  d.capacity = MOE_CAPACITY_POSITION;
  d.capacity_factor = 1.25f;
}

void gshard(moe_layer_desc& d) {
  d.top_k = 2;
  divided_by_sum(d, 1e-9f);
  d.flags = MOE_LAYER_UNGATED;
  d.activation = MOE_ACTIVATION_RELU;
  d.capacity = MOE_CAPACITY_POSITION;
  d.capacity_factor = 1;
}

void mixtral(moe_layer_desc& d) {
  d.experts = 8;
  d.top_k = 2;
  divided_by_sum(d, 0);
  formats(d, MOE_DTYPE_F16);
}

void qwen2_moe(moe_layer_desc& d) {
  d.shared_intermediate = 256;
  d.shared_gate = MOE_SHARED_GATE_SIGMOID;
  formats(d, MOE_DTYPE_F16);
}

void qwen3_next(moe_layer_desc& d) {
  qwen2_moe(d);
  d.top_k = 10;
  d.shared_intermediate = 64;
  divided_by_sum(d, 0);
}

void deepseek_v2(moe_layer_desc& d) {
  d.top_k = 6;
  d.groups = 8;
  d.groups_kept = 3;
  d.routed_scale = 16;
  d.shared_intermediate = 128;
}

void deepseek_v2_lite(moe_layer_desc& d) {
  deepseek_v2(d);
  d.groups = d.groups_kept = 0;
  d.routed_scale = 0;
}

void deepseek_v3(moe_layer_desc& d) {
  d.experts = 64;
  d.top_k = 8;
  d.score = MOE_SCORE_SIGMOID;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  d.groups = 8;
  d.groups_kept = 4;
  d.group_score = MOE_GROUP_SCORE_SUM_TOP_N;
  d.group_top_n = 2;
  divided_by_sum(d, 1e-20f);
  d.routed_scale = 2.5f;
  d.shared_intermediate = 64;
}

void kimi_k2(moe_layer_desc& d) {
  deepseek_v3(d);
  d.groups = d.groups_kept = d.group_top_n = 0;
  d.group_score = MOE_GROUP_SCORE_MAX;
  d.routed_scale = 2.827f;
  formats(d, MOE_DTYPE_BF16);
}

void minimax_m2(moe_layer_desc& d) {
  d.top_k = 8;
  d.score = MOE_SCORE_SIGMOID;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  divided_by_sum(d, 0);
}

void deepseek_v4(moe_layer_desc& d) {
  d.score = MOE_SCORE_SQRT_SOFTPLUS;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  divided_by_sum(d, 1e-20f);
  d.routed_scale = 1.5f;
  d.shared_intermediate = 64;
  d.activation = MOE_ACTIVATION_SWIGLU_CLAMP_PRE;
  d.activation_limit = 10;
}

void deepseek_v4_table(moe_layer_desc& d) {
  deepseek_v4(d);
  d.flags = 0;
  d.route_source = MOE_ROUTE_FROM_TOKEN_TABLE;
  d.token_table_rows = 100;
}

void llama4(moe_layer_desc& d) {
  d.experts = 16;
  d.top_k = 1;
  d.score = MOE_SCORE_IDENTITY;
  d.weight = MOE_WEIGHT_SIGMOID;
  d.flags = MOE_LAYER_WEIGHT_ON_INPUT;
  d.shared_intermediate = 64;
  formats(d, MOE_DTYPE_BF16);
}

void gpt_oss(moe_layer_desc& d) {
  d.score = MOE_SCORE_IDENTITY;
  d.weight = MOE_WEIGHT_SOFTMAX;
  d.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_EXPERT_BIAS;
  d.activation = MOE_ACTIVATION_SWIGLU_OAI;
  d.activation_beta = 1;
  d.activation_limit = 7;
  d.gate_up_layout = MOE_GATE_UP_INTERLEAVED;
  formats(d, MOE_DTYPE_BF16);
}

void olmoe(moe_layer_desc& d) {
  d.top_k = 8;
  formats(d, MOE_DTYPE_F16);
}

void granite(moe_layer_desc& d) {
  d.experts = 40;
  d.top_k = 8;
  d.score = MOE_SCORE_IDENTITY;
  d.weight = MOE_WEIGHT_SOFTMAX;
  formats(d, MOE_DTYPE_BF16);
}

void hunyuan(moe_layer_desc& d) {
  d.top_k = 8;
  d.normalize = MOE_NORMALIZE_SUM_FLOOR;
  d.normalize_eps = 1.1920929e-7f;
  d.shared_intermediate = 64;
}

void phi_moe(moe_layer_desc& d) {
  d.experts = 16;
  d.top_k = 2;
  d.score = MOE_SCORE_IDENTITY;
  d.selection = MOE_SELECT_SPARSEMIXER;
  d.sparsemixer_eps = 0.01f;
}

void dbrx(moe_layer_desc& d) {
  d.experts = 16;
  d.normalize = MOE_NORMALIZE_P_NORM;
  d.normalize_p = 1;
}

void grok(moe_layer_desc& d) {
  d.experts = 8;
  d.top_k = 2;
  d.activation = MOE_ACTIVATION_GELU_TANH;
}

void ernie(moe_layer_desc& d) {
  d.flags = MOE_LAYER_SELECTION_BIAS | MOE_LAYER_INPUT_NORM;
  d.normalize = MOE_NORMALIZE_SUM_FLOOR;
  d.normalize_eps = 1e-12f;
  d.matrix_order = MOE_MATRIX_IN_OUT;
}

void gemma4(moe_layer_desc& d) {
  d.top_k = 8;
  d.flags = MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE |
            MOE_LAYER_PER_EXPERT_SCALE;
  d.router_input_multiplier = 0.102062073f;  // 96^-0.5
  divided_by_sum(d, 0);
  d.activation = MOE_ACTIVATION_GELU_TANH;
}

void longcat(moe_layer_desc& d) {
  d.identity_experts = 16;
  d.top_k = 12;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  d.routed_scale = 6;
}

void laguna(moe_layer_desc& d) {
  d.logit_soft_cap = 2;
  d.score = MOE_SCORE_SQRT_SOFTPLUS;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  divided_by_sum(d, 0);
  d.out_scale = 2.5f;
  d.shared_intermediate = 64;
}

void nemotron_h(moe_layer_desc& d) {
  deepseek_v3(d);
  d.flags |= MOE_LAYER_UNGATED;
  d.activation = MOE_ACTIVATION_RELU2;
}

void nemotron_h_latent(moe_layer_desc& d) {
  nemotron_h(d);
  d.latent = 32;
}

void kimi_k3(moe_layer_desc& d) {
  d.score = MOE_SCORE_SIGMOID;
  d.flags = MOE_LAYER_SELECTION_BIAS;
  d.top_k = 16;
  divided_by_sum(d, 1e-20f);
  d.activation = MOE_ACTIVATION_SITU;
  d.activation_beta = 25;
  d.shared_intermediate = 128;
  d.latent = 48;
  d.flags |= MOE_LAYER_LATENT_NORM;
  formats(d, MOE_DTYPE_BF16);
}

struct Twin {
  const char* name;
  void (*fill)(moe_layer_desc&);
};
constexpr Twin kTwins[] = {{"switch", switch_transformer},
                           {"gshard", gshard},
                           {"mixtral", mixtral},
                           {"qwen2_moe", qwen2_moe},
                           {"qwen3_next", qwen3_next},
                           {"deepseek_v2", deepseek_v2},
                           {"deepseek_v2_lite", deepseek_v2_lite},
                           {"deepseek_v3", deepseek_v3},
                           {"kimi_k2", kimi_k2},
                           {"minimax_m2", minimax_m2},
                           {"deepseek_v4", deepseek_v4},
                           {"deepseek_v4_table", deepseek_v4_table},
                           {"llama4", llama4},
                           {"gpt_oss", gpt_oss},
                           {"olmoe", olmoe},
                           {"granite", granite},
                           {"hunyuan", hunyuan},
                           {"phi_moe", phi_moe},
                           {"dbrx", dbrx},
                           {"grok", grok},
                           {"ernie", ernie},
                           {"gemma4", gemma4},
                           {"longcat", longcat},
                           {"laguna", laguna},
                           {"nemotron_h", nemotron_h},
                           {"nemotron_h_latent", nemotron_h_latent},
                           {"kimi_k3", kimi_k3}};

constexpr FamilyTwin kFamilies[] = {{"switch", "switch", nullptr},
                                    {"gshard", "gshard", nullptr},
                                    {"mixtral", "mixtral", nullptr},
                                    {"qwen2-moe", "qwen2_moe", nullptr},
                                    {"qwen3-moe", "mixtral", nullptr},
                                    {"qwen3-next", "qwen3_next", nullptr},
                                    {"deepseek-v2", "deepseek_v2", nullptr},
                                    {"deepseek-v2-lite", "deepseek_v2_lite", nullptr},
                                    {"deepseek-v3", "deepseek_v3", nullptr},
                                    {"deepseek-v4", "deepseek_v4", nullptr},
                                    {"deepseek-v4", "deepseek_v4_table", nullptr},
                                    {"kimi-k2", "kimi_k2", nullptr},
                                    {"kimi-k3", "kimi_k3", nullptr},
                                    {"glm-4.5", "kimi_k2", nullptr},
                                    {"llama4", "llama4", nullptr},
                                    {"gpt-oss", "gpt_oss", nullptr},
                                    {"olmoe", "olmoe", nullptr},
                                    {"phi-3.5-moe", "phi_moe", nullptr},
                                    {"dbrx", "dbrx", nullptr},
                                    {"grok-1", "grok", nullptr},
                                    {"jamba", "olmoe", nullptr},
                                    {"arctic", "mixtral", nullptr},
                                    {"minimax-m2", "minimax_m2", nullptr},
                                    {"ernie-4.5", "ernie", nullptr},
                                    {"hunyuan", "hunyuan", nullptr},
                                    {"granite-moe", "granite", nullptr},
                                    {"gemma4", "gemma4", nullptr},
                                    {"longcat", "longcat", nullptr},
                                    {"laguna", "laguna", nullptr},
                                    {"nemotron-h", "nemotron_h", nullptr},
                                    {"nemotron-h", "nemotron_h_latent", nullptr}};

}  // namespace

std::span<const FamilyTwin> families() { return kFamilies; }

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const Twin& twin : kTwins) names.emplace_back(twin.name);
  return names;
}

LayerCase family_twin(const std::string& name) {
  for (const Twin& twin : kTwins) {
    if (name != twin.name) continue;
    LayerCase c;
    c.desc = MOE_INIT(moe_layer_desc);
    c.desc.experts = 32;
    c.desc.top_k = 4;
    c.desc.hidden = 96;
    c.desc.intermediate = 64;
    c.desc.score = MOE_SCORE_SOFTMAX;
    c.tokens = 21;
    twin.fill(c.desc);
    return c;
  }
  throw std::invalid_argument("no family twin " + name);
}

}  // namespace moe_conformance
