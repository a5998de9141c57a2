// SPDX-License-Identifier: MIT
//
// In:  sizes.
// Out: numbers of weights (see figures.h).
// Why: each formula lists the matrices of its block, in the order in which a token meets them.
#include "tools/model/presets/figures.h"

namespace moevk::model {

LayerFigures count_layer_figures(const moe_layer_desc& d) {
  const auto has = [&](uint32_t flag) { return (d.flags & flag) != 0; };
  const uint64_t matrices = has(MOE_LAYER_UNGATED) ? 2 : 3;
  const uint64_t width = d.latent != 0 ? d.latent : d.hidden;
  const uint64_t candidates = uint64_t{d.experts} + d.identity_experts;
  uint64_t expert = matrices * width * d.intermediate;
  if (has(MOE_LAYER_EXPERT_BIAS)) expert += (matrices - 1) * d.intermediate + width;

  uint64_t always = d.route_source == MOE_ROUTE_DENSE ? 0 : candidates * d.hidden;
  if (has(MOE_LAYER_ROUTER_BIAS)) always += candidates;
  if (has(MOE_LAYER_SELECTION_BIAS)) always += candidates;
  if (has(MOE_LAYER_PER_EXPERT_SCALE)) always += candidates;
  if (has(MOE_LAYER_ROUTER_INPUT_SCALE)) always += d.hidden;
  if (has(MOE_LAYER_INPUT_NORM)) always += d.hidden;
  if (d.latent != 0) always += 2 * uint64_t{d.hidden} * d.latent;
  if (has(MOE_LAYER_LATENT_NORM)) always += d.latent;
  always += matrices * d.hidden * d.shared_intermediate;
  if (d.shared_gate == MOE_SHARED_GATE_SIGMOID) always += d.hidden;
  return {always + d.experts * expert, always + d.top_k * d.experts * expert / candidates};
}

ModelFigures count_model_figures(const LayerFigures& layer, const ModelParts& parts) {
  const uint64_t beside = parts.mixers + parts.dense + parts.norms + parts.embedding + parts.output;
  ModelFigures figures;
  figures.moe_parameters = parts.moe_layers * layer.parameters;
  figures.moe_active_parameters = parts.moe_layers * layer.active_parameters;
  figures.parameters = figures.moe_parameters + beside + parts.vision;
  figures.active_parameters = figures.moe_active_parameters + beside;
  return figures;
}

uint64_t count(const GroupedQueryAttention& a) {
  const uint64_t q = a.heads * a.head_dim;
  const uint64_t kv = a.kv_heads * a.head_dim;
  uint64_t weights = a.hidden * (q + 2 * kv) + q * a.hidden;
  if (a.qkv_bias) weights += q + 2 * kv;
  if (a.output_bias) weights += a.hidden;
  if (a.norms_of_heads) weights += 2 * a.head_dim;
  return weights;
}

uint64_t count(const LatentAttention& a) {
  const uint64_t qk = a.qk_nope_head_dim + a.qk_rope_head_dim;
  const uint64_t q = a.q_lora_rank == 0 ? a.hidden * a.heads * qk
                                        : a.hidden * a.q_lora_rank + a.q_lora_rank + a.q_lora_rank * a.heads * qk;
  const uint64_t kv_down = a.hidden * (a.kv_lora_rank + a.qk_rope_head_dim) + a.kv_lora_rank;
  const uint64_t kv_up = a.kv_lora_rank * a.heads * (a.qk_nope_head_dim + a.v_head_dim);
  return q + kv_down + kv_up + a.heads * a.v_head_dim * a.hidden;
}

uint64_t count(const GatedDeltaNet& n) {
  const uint64_t keys = n.key_heads * n.key_head_dim;
  const uint64_t values = n.value_heads * n.value_head_dim;
  const uint64_t query_key_value_gate = n.hidden * (2 * keys + 2 * values);
  const uint64_t beta_alpha = n.hidden * 2 * n.value_heads;
  const uint64_t conv = (2 * keys + values) * n.conv_kernel;
  return query_key_value_gate + beta_alpha + conv + 2 * n.value_heads + n.value_head_dim + values * n.hidden;
}

uint64_t count(const Mamba& b) {
  const uint64_t in = b.hidden * 2 * b.inner;
  const uint64_t conv = b.inner * b.conv_kernel + b.inner;
  const uint64_t dt_b_c = b.inner * (b.dt_rank + 2 * b.state) + b.dt_rank + 2 * b.state;
  const uint64_t dt = b.dt_rank * b.inner + b.inner;
  const uint64_t a_and_d = b.inner * b.state + b.inner;
  return in + conv + dt_b_c + dt + a_and_d + b.inner * b.hidden;
}

uint64_t count(const Mamba2& b) {
  const uint64_t inner = b.heads * b.head_dim;
  const uint64_t convolved = inner + 2 * b.groups * b.state;
  const uint64_t in = b.hidden * (inner + convolved + b.heads);
  const uint64_t conv = convolved * b.conv_kernel + convolved;
  return in + conv + 3 * b.heads + inner + inner * b.hidden;
}

}  // namespace moevk::model
