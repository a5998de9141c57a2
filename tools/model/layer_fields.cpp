// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor, or words.
// Out: see layer_fields.h.
// Why: the words are those of moe_plugin.h, in its order.
#include "tools/model/layer_fields.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace moevk::model {
namespace {

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

#define MOEVK_FIELD(name, kind) \
  { #name, FieldKind::kind, offsetof(moe_layer_desc, name) }
#define MOEVK_WORDS(name, kind, words) \
  { #name, FieldKind::kind, offsetof(moe_layer_desc, name), words }
constexpr LayerField kFields[] = {
    MOEVK_FIELD(hidden, kNumber),
    MOEVK_FIELD(intermediate, kNumber),
    MOEVK_FIELD(experts, kNumber),
    MOEVK_FIELD(top_k, kNumber),
    MOEVK_FIELD(identity_experts, kNumber),
    MOEVK_WORDS(flags, kFlags, kFlags),
    MOEVK_WORDS(route_source, kChoice, kRoutes),
    MOEVK_FIELD(logit_soft_cap, kReal),
    MOEVK_WORDS(score, kChoice, kScores),
    MOEVK_WORDS(selection, kWord, kSelections),
    MOEVK_FIELD(groups, kNumber),
    MOEVK_FIELD(groups_kept, kNumber),
    MOEVK_WORDS(group_score, kChoice, kGroupScores),
    MOEVK_FIELD(group_top_n, kNumber),
    MOEVK_WORDS(weight, kChoice, kWeights),
    MOEVK_WORDS(normalize, kChoice, kNormalizations),
    MOEVK_FIELD(normalize_eps, kReal),
    MOEVK_FIELD(normalize_p, kReal),
    MOEVK_FIELD(routed_scale, kReal),
    MOEVK_FIELD(sparsemixer_eps, kReal),
    MOEVK_FIELD(router_input_multiplier, kReal),
    MOEVK_FIELD(token_table_rows, kNumber),
    MOEVK_WORDS(capacity, kWord, kCapacities),
    MOEVK_FIELD(capacity_factor, kReal),
    MOEVK_FIELD(capacity_minimum, kNumber),
    MOEVK_FIELD(noise_seed, kNumber),
    MOEVK_WORDS(activation, kChoice, kActivations),
    MOEVK_FIELD(activation_alpha, kReal),
    MOEVK_FIELD(activation_beta, kReal),
    MOEVK_FIELD(activation_limit, kReal),
    MOEVK_WORDS(gate_up_layout, kWord, kGateUps),
    MOEVK_WORDS(matrix_order, kWord, kOrders),
    MOEVK_FIELD(latent, kNumber),
    MOEVK_FIELD(lora_rank, kNumber),
    MOEVK_FIELD(lora_alpha, kReal),
    MOEVK_FIELD(norm_eps, kReal),
    MOEVK_FIELD(shared_intermediate, kNumber),
    MOEVK_WORDS(shared_gate, kChoice, kSharedGates),
    MOEVK_FIELD(shared_constant, kReal),
    MOEVK_FIELD(out_scale, kReal),
    MOEVK_WORDS(precision, kWord, kPrecisions),
    MOEVK_WORDS(gate_format, kFormat, kElements),
    MOEVK_WORDS(up_format, kFormat, kElements),
    MOEVK_WORDS(down_format, kFormat, kElements),
    MOEVK_WORDS(shared_gate_format, kFormat, kElements),
    MOEVK_WORDS(shared_up_format, kFormat, kElements),
    MOEVK_WORDS(shared_down_format, kFormat, kElements),
    MOEVK_WORDS(latent_down_format, kFormat, kElements),
    MOEVK_WORDS(latent_up_format, kFormat, kElements),
};
#undef MOEVK_FIELD
#undef MOEVK_WORDS

template <class T>
T load(const LayerField& field, const moe_layer_desc& desc) {
  T value;
  std::memcpy(&value, reinterpret_cast<const char*>(&desc) + field.offset, sizeof value);
  return value;
}
template <class T>
void store(const LayerField& field, T value, moe_layer_desc& desc) {
  std::memcpy(reinterpret_cast<char*>(&desc) + field.offset, &value, sizeof value);
}

std::string word_of(const LayerField& field, uint32_t value) {
  return value < field.words.size() ? field.words[value] : std::to_string(value);
}

// A choice that another field makes one.
bool has_meaning(const LayerField& field, const moe_layer_desc& desc) {
  if (field.offset == offsetof(moe_layer_desc, group_score)) return desc.groups > 1;
  if (field.offset == offsetof(moe_layer_desc, shared_gate)) return desc.shared_intermediate > 0;
  return true;
}

bool is_zero(const LayerField& field, const moe_layer_desc& desc) {
  if (field.kind == FieldKind::kReal) return load<float>(field, desc) == 0;
  if (field.kind == FieldKind::kFormat) return load<moe_weight_format>(field, desc).element == 0;
  return load<uint32_t>(field, desc) == 0;
}

}  // namespace

std::span<const LayerField> layer_fields() { return kFields; }

const LayerField* find_layer_field(std::string_view name) {
  for (const LayerField& field : kFields) {
    if (name == field.name) return &field;
  }
  return nullptr;
}

std::string field_value(const LayerField& field, const moe_layer_desc& desc) {
  switch (field.kind) {
    case FieldKind::kNumber: return std::to_string(load<uint32_t>(field, desc));
    case FieldKind::kReal: {
      char text[32];  // the fewest digits that give the same float
      return std::string(text, std::to_chars(text, text + sizeof(text), load<float>(field, desc)).ptr);
    }
    case FieldKind::kFormat: return word_of(field, load<moe_weight_format>(field, desc).element);
    case FieldKind::kFlags: {
      std::string text;
      for (size_t bit = 0; bit < field.words.size(); ++bit) {
        if ((load<uint32_t>(field, desc) >> bit & 1) == 0) continue;
        text += (text.empty() ? "" : ", ") + std::string(field.words[bit]);
      }
      return text;
    }
    default: return word_of(field, load<uint32_t>(field, desc));
  }
}

std::string set_field(const LayerField& field, double number, moe_layer_desc& desc) {
  if (field.kind == FieldKind::kReal) {
    store(field, static_cast<float>(number), desc);
    return std::isfinite(static_cast<float>(number)) ? "" : "is no finite number";
  }
  if (field.kind != FieldKind::kNumber) return "is a word, not a number";
  if (!(number >= 0 && number <= 4294967295.0) || number != std::floor(number)) return "is no whole number of 32 bits";
  store(field, static_cast<uint32_t>(number), desc);
  return "";
}

std::string set_field(const LayerField& field, const std::vector<std::string>& words, moe_layer_desc& desc) {
  if (field.words.empty()) return "is a number, not a word";
  const bool flags = field.kind == FieldKind::kFlags;
  if (words.empty() || (!flags && words.size() > 1)) return flags ? "has no word" : "has one word";
  uint32_t value = 0;
  for (const std::string& word : words) {
    uint32_t at = 0;
    while (at < field.words.size() && word != field.words[at]) ++at;
    if (at == field.words.size()) return "has no value '" + word + "'";
    value = flags ? value | 1u << at : at;
  }
  if (field.kind == FieldKind::kFormat) {
    moe_weight_format format{};
    format.element = value;
    store(field, format, desc);
  } else {
    store(field, value, desc);
  }
  return "";
}

std::vector<FieldText> set_fields(const moe_layer_desc& desc) {
  std::vector<FieldText> fields;
  for (const LayerField& field : kFields) {
    const bool choice = field.kind == FieldKind::kChoice && has_meaning(field, desc);
    if (choice || !is_zero(field, desc)) fields.push_back({field.name, field_value(field, desc)});
  }
  return fields;
}

}  // namespace moevk::model
