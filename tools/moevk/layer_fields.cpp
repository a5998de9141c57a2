// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor.
// Out: its fields in words (see layer_fields.h).
// Why: the words are those of moe_plugin.h, in its order.
#include "tools/moevk/layer_fields.h"

#include <charconv>
#include <span>

namespace moevk::cli {
namespace {

using Words = std::span<const char* const>;

constexpr const char* kRoutes[] = {"from_router", "from_logits", "from_scores",
                                   "from_ids",    "dense",       "from_token_table"};
constexpr const char* kScores[] = {"identity", "softmax", "sigmoid", "sqrt_softplus"};
constexpr const char* kSelections[] = {"top_k", "sparsemixer", "expert_choice"};
constexpr const char* kGroupScores[] = {"max", "sum_top_n"};
constexpr const char* kWeights[] = {"identity", "softmax", "sigmoid"};
constexpr const char* kNormalizations[] = {"none", "sum_eps", "sum_floor", "p_norm"};
constexpr const char* kCapacities[] = {"none", "position", "probability", "batch_prioritised"};
constexpr const char* kActivations[] = {"silu",       "gelu_tanh",        "gelu_erf",          "relu", "relu2",
                                        "swiglu_oai", "swiglu_clamp_pre", "swiglu_clamp_post", "situ"};
constexpr const char* kGateUps[] = {"separate", "concatenated", "concatenated_up_first", "interleaved"};
constexpr const char* kOrders[] = {"out_in", "in_out"};
constexpr const char* kSharedGates[] = {"one", "sigmoid", "constant"};
constexpr const char* kPrecisions[] = {"exact", "matrix", "int8"};
constexpr const char* kElements[] = {"f32", "f16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int", "codebook"};
// Bit 0 first.
constexpr const char* kFlags[] = {
    "ungated",           "router_bias",        "selection_bias",   "expert_bias",    "normalize_single",
    "input_norm",        "weight_on_input",    "per_expert_scale", "latent_norm",    "separate_router_input",
    "router_input_norm", "router_input_scale", "noisy_top_k",      "batch_invariant"};

class Lister {
 public:
  void number(const char* name, uint32_t value) {
    if (value != 0) fields_.push_back({name, std::to_string(value)});
  }
  void real(const char* name, float value) {
    if (value == 0) return;
    char text[32];  // the fewest digits that give the same float
    fields_.push_back({name, std::string(text, std::to_chars(text, text + sizeof(text), value).ptr)});
  }
  void word(const char* name, uint32_t value, Words words) {
    if (value != 0) choice(name, value, words);
  }
  void choice(const char* name, uint32_t value, Words words) {
    fields_.push_back({name, value < words.size() ? words[value] : std::to_string(value)});
  }
  void flags(uint32_t bits) {
    std::string text;
    for (size_t bit = 0; bit < std::size(kFlags); ++bit) {
      if ((bits >> bit & 1) != 0) text += (text.empty() ? "" : ", ") + std::string(kFlags[bit]);
    }
    if (!text.empty()) fields_.push_back({"flags", text});
  }
  void format(const char* name, const moe_weight_format& format) { word(name, format.element, kElements); }

  std::vector<FieldText> take() { return std::move(fields_); }

 private:
  std::vector<FieldText> fields_;
};

}  // namespace

std::vector<FieldText> set_fields(const moe_layer_desc& d) {
  Lister list;
  list.number("hidden", d.hidden);
  list.number("intermediate", d.intermediate);
  list.number("experts", d.experts);
  list.number("top_k", d.top_k);
  list.number("identity_experts", d.identity_experts);
  list.flags(d.flags);
  list.choice("route_source", d.route_source, kRoutes);
  list.real("logit_soft_cap", d.logit_soft_cap);
  list.choice("score", d.score, kScores);
  list.word("selection", d.selection, kSelections);
  list.number("groups", d.groups);
  list.number("groups_kept", d.groups_kept);
  if (d.groups > 1) list.choice("group_score", d.group_score, kGroupScores);
  list.number("group_top_n", d.group_top_n);
  list.choice("weight", d.weight, kWeights);
  list.choice("normalize", d.normalize, kNormalizations);
  list.real("normalize_eps", d.normalize_eps);
  list.real("normalize_p", d.normalize_p);
  list.real("routed_scale", d.routed_scale);
  list.real("sparsemixer_eps", d.sparsemixer_eps);
  list.real("router_input_multiplier", d.router_input_multiplier);
  list.number("token_table_rows", d.token_table_rows);
  list.word("capacity", d.capacity, kCapacities);
  list.real("capacity_factor", d.capacity_factor);
  list.number("capacity_minimum", d.capacity_minimum);
  list.number("noise_seed", d.noise_seed);
  list.choice("activation", d.activation, kActivations);
  list.real("activation_alpha", d.activation_alpha);
  list.real("activation_beta", d.activation_beta);
  list.real("activation_limit", d.activation_limit);
  list.word("gate_up_layout", d.gate_up_layout, kGateUps);
  list.word("matrix_order", d.matrix_order, kOrders);
  list.number("latent", d.latent);
  list.number("lora_rank", d.lora_rank);
  list.real("lora_alpha", d.lora_alpha);
  list.real("norm_eps", d.norm_eps);
  list.number("shared_intermediate", d.shared_intermediate);
  if (d.shared_intermediate > 0) list.choice("shared_gate", d.shared_gate, kSharedGates);
  list.real("shared_constant", d.shared_constant);
  list.real("out_scale", d.out_scale);
  list.word("precision", d.precision, kPrecisions);
  list.format("gate_format", d.gate_format);
  list.format("up_format", d.up_format);
  list.format("down_format", d.down_format);
  list.format("shared_gate_format", d.shared_gate_format);
  list.format("shared_up_format", d.shared_up_format);
  list.format("shared_down_format", d.shared_down_format);
  list.format("latent_down_format", d.latent_down_format);
  list.format("latent_up_format", d.latent_up_format);
  return list.take();
}

}  // namespace moevk::cli
