// SPDX-License-Identifier: MIT
//
// In:  words of the command line.
// Out: numbers of the ABI.
// Why: each option's words stand in one table, which also makes its --help text and its error
// message.
#include "tools/moevk/layer_options.h"

#include <charconv>
#include <span>

#include "tools/model/ggml_type.h"
#include "tools/moevk/host.h"

namespace moevk::cli {
namespace {

struct Word {
  const char* text;
  uint32_t number;
};

constexpr Word kFormats[] = {{"f32", MOE_ELEMENT_F32}, {"f16", MOE_ELEMENT_F16}, {"bf16", MOE_ELEMENT_BF16}};

// A plain type, or a block format by the name that GGUF's table has.
moe_weight_format named_format(const std::string& name) {
  moe_weight_format format = {};
  for (const Word& word : kFormats) {
    if (name == word.text) format.element = word.number;
  }
  for (uint32_t id = 0; id < model::kGgmlTypes; ++id) {
    if (model::is_block_format(id) && name == model::find_ggml_type(id)->name) format.preset = 1 + id;
  }
  return format;
}
constexpr Word kRoutes[] = {{"router", MOE_ROUTE_FROM_ROUTER},
                            {"logits", MOE_ROUTE_FROM_LOGITS},
                            {"scores", MOE_ROUTE_FROM_SCORES},
                            {"ids", MOE_ROUTE_FROM_IDS},
                            {"dense", MOE_ROUTE_DENSE}};
constexpr Word kScores[] = {{"softmax", MOE_SCORE_SOFTMAX},
                            {"sigmoid", MOE_SCORE_SIGMOID},
                            {"sqrt-softplus", MOE_SCORE_SQRT_SOFTPLUS},
                            {"identity", MOE_SCORE_IDENTITY}};
constexpr Word kNormalizations[] = {
    {"sum", MOE_NORMALIZE_SUM_EPS}, {"floor", MOE_NORMALIZE_SUM_FLOOR}, {"none", MOE_NORMALIZE_NONE}};
constexpr Word kActivations[] = {{"silu", MOE_ACTIVATION_SILU},
                                 {"gelu-tanh", MOE_ACTIVATION_GELU_TANH},
                                 {"gelu-erf", MOE_ACTIVATION_GELU_ERF},
                                 {"relu", MOE_ACTIVATION_RELU},
                                 {"relu2", MOE_ACTIVATION_RELU2},
                                 {"swiglu-oai", MOE_ACTIVATION_SWIGLU_OAI},
                                 {"swiglu-clamp-pre", MOE_ACTIVATION_SWIGLU_CLAMP_PRE},
                                 {"swiglu-clamp-post", MOE_ACTIVATION_SWIGLU_CLAMP_POST},
                                 {"situ", MOE_ACTIVATION_SITU}};
constexpr Word kGateUps[] = {{"separate", MOE_GATE_UP_SEPARATE},
                             {"concatenated", MOE_GATE_UP_CONCATENATED},
                             {"up-first", MOE_GATE_UP_CONCATENATED_UP_FIRST},
                             {"interleaved", MOE_GATE_UP_INTERLEAVED}};
constexpr Word kPrecisions[] = {
    {"exact", MOE_PRECISION_EXACT}, {"matrix", MOE_PRECISION_MATRIX}, {"int8", MOE_PRECISION_INT8}};

uint32_t number_of(std::span<const Word> words, const std::string& text) {
  for (const Word& word : words) {
    if (text == word.text) return word.number;
  }
  throw UsageError("value", "'" + text + "' is unknown");  // CLI11 has checked it: not reached
}

const char* text_of(std::span<const Word> words, uint32_t number) {
  for (const Word& word : words) {
    if (number == word.number) return word.text;
  }
  return "other";
}

std::vector<std::string> texts(std::span<const Word> words) {
  std::vector<std::string> list;
  for (const Word& word : words) list.emplace_back(word.text);
  return list;
}

void parse_shape(const std::string& text, moe_layer_desc& desc) {
  uint32_t* const fields[] = {&desc.hidden, &desc.intermediate, &desc.experts, &desc.top_k};
  const char* at = text.data();
  const char* const end = at + text.size();
  bool fits = true;
  for (size_t index = 0; index < 4 && fits; ++index) {
    const auto [next, failed] = std::from_chars(at, end, *fields[index]);
    fits = failed == std::errc() && *fields[index] > 0;
    at = next;
    if (index < 3) fits = fits && at != end && *at++ == ',';
  }
  if (!fits || at != end) {
    throw UsageError("--shape", "'" + text +
                                    "' is not H,F,E,k: hidden, intermediate, experts and experts "
                                    "per token, four positive integers such as 512,256,32,4");
  }
  if (desc.top_k > desc.experts) {
    throw UsageError("--shape",
                     "k = " + std::to_string(desc.top_k) + " is more than E = " + std::to_string(desc.experts));
  }
}

}  // namespace

std::vector<LayerChoice> layer_choices() {
  return {{"--score", &LayerOptions::score, texts(kScores), "score of the router's logits"},
          {"--normalize", &LayerOptions::normalize, texts(kNormalizations), "how the k weights are renormalised"},
          {"--activation", &LayerOptions::activation, texts(kActivations), "of the experts"},
          {"--gate-up", &LayerOptions::gate_up, texts(kGateUps), "how gate and up are stored"},
          {"--precision", &LayerOptions::precision, texts(kPrecisions), "of activations"},
          {"--route", &LayerOptions::route, texts(kRoutes), "where routes come from"}};
}

moe_layer_desc describe_layer(const LayerOptions& options, const std::string& format) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  parse_shape(options.shape, desc);
  desc.route_source = number_of(kRoutes, options.route);
  const bool routed_here = desc.route_source == MOE_ROUTE_FROM_ROUTER || desc.route_source == MOE_ROUTE_FROM_LOGITS;
  if (routed_here) {
    desc.score = number_of(kScores, options.score);
    desc.normalize = number_of(kNormalizations, options.normalize);
    if (desc.normalize == MOE_NORMALIZE_SUM_FLOOR) desc.normalize_eps = 1e-12f;
    if (desc.normalize == MOE_NORMALIZE_SUM_EPS) desc.normalize_eps = 1e-20f;
  }
  desc.activation = number_of(kActivations, options.activation);
  if (desc.activation == MOE_ACTIVATION_SWIGLU_OAI) {
    desc.activation_alpha = 1.702f;
    desc.activation_beta = 1;
    desc.activation_limit = 7;
  } else if (desc.activation == MOE_ACTIVATION_SITU) {
    desc.activation_beta = 25;
  } else if (desc.activation >= MOE_ACTIVATION_SWIGLU_CLAMP_PRE) {
    desc.activation_limit = 10;
  }
  desc.gate_up_layout = number_of(kGateUps, options.gate_up);
  desc.precision = number_of(kPrecisions, options.precision);
  desc.shared_intermediate = options.shared;
  desc.latent = options.latent;
  if (options.ungated) desc.flags |= MOE_LAYER_UNGATED;
  if (options.expert_bias) desc.flags |= MOE_LAYER_EXPERT_BIAS;
  const moe_weight_format all = named_format(format);
  if (!options.ungated) desc.gate_format = all;
  desc.up_format = desc.down_format = all;
  if (options.shared > 0) {
    if (!options.ungated) desc.shared_gate_format = all;
    desc.shared_up_format = desc.shared_down_format = all;
  }
  return desc;
}

std::vector<std::string> format_names() {
  std::vector<std::string> names = texts(kFormats);
  for (uint32_t id = 0; id < model::kGgmlTypes; ++id) {
    if (model::is_block_format(id)) names.emplace_back(model::find_ggml_type(id)->name);
  }
  return names;
}

double bits_of_format(const std::string& name) {
  const moe_weight_format format = named_format(name);
  if (format.preset == 0) return 8.0 * dtype_bytes(format.element);
  const model::GgmlType& type = *model::find_ggml_type(format.preset - 1);
  return 8.0 * type.block_bytes / type.block_numbers;
}

uint32_t dtype_bytes(uint32_t dtype) { return dtype == MOE_DTYPE_F32 || dtype == MOE_DTYPE_I32 ? 4 : 2; }

std::string layer_text(const moe_layer_desc& desc) {
  std::string text = "H=" + std::to_string(desc.hidden) + " F=" + std::to_string(desc.intermediate) +
                     " E=" + std::to_string(desc.experts) + " k=" + std::to_string(desc.top_k);
  if (desc.latent > 0) text += " in a latent space of " + std::to_string(desc.latent);
  if (desc.shared_intermediate > 0) text += ", shared " + std::to_string(desc.shared_intermediate);
  const bool scored = desc.route_source <= MOE_ROUTE_FROM_LOGITS || desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  if (scored) {
    text += std::string(", ") + text_of(kScores, desc.score);
    if (desc.normalize == MOE_NORMALIZE_P_NORM) {
      text += ", normalised by a p-norm";
    } else if (desc.normalize != MOE_NORMALIZE_NONE) {
      text += std::string(", normalised by ") + text_of(kNormalizations, desc.normalize);
    }
  }
  text += std::string(", ") + text_of(kActivations, desc.activation);
  if ((desc.flags & MOE_LAYER_UNGATED) != 0) text += " without gate";
  return text;
}

}  // namespace moevk::cli
