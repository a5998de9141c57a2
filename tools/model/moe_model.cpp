// SPDX-License-Identifier: MIT
//
// In:  a parsed GGUF file.
// Out: its MoE layers (see moe_model.h).
// Why: metadata keys and tensor names as llama.cpp's converter writes them and its loader reads
//      them (mid-2026). Shapes are compared in ggml's order: ffn_gate_exps is [hidden, ffn,
//      experts].
#include "tools/model/moe_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>

#include "tools/model/moe_totals.h"

namespace moevk::model {
namespace {

struct Family {
  const char* architecture;
  bool renormalise;          // The weights of the chosen experts are divided by their sum.
  bool shared_expert;        // One shared expert behind a sigmoid gate.
  bool ffn_length_is_total;  // Without expert_feed_forward_length, an expert has
                             // feed_forward_length / top_k.
};

constexpr Family kFamilies[] = {
    {"qwen3moe", true, false, true},
    {"qwen2moe", false, true, true},
    {"olmoe", false, false, false},
    {"llama", true, false, false},
};

using Shape = std::array<uint64_t, 4>;

std::string shape_text(const Shape& shape, size_t dimensions) {
  std::string text = "[";
  for (size_t i = 0; i < dimensions; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

uint32_t abi_dtype(uint32_t ggml_type) {
  return ggml_type == kGgmlF16 ? MOE_DTYPE_F16 : ggml_type == kGgmlBf16 ? MOE_DTYPE_BF16 : MOE_DTYPE_F32;
}

moe_weight_format abi_format(uint32_t ggml_type) {
  moe_weight_format format = {};
  if (is_plain_float(ggml_type)) {
    format.element = ggml_type == kGgmlF16    ? MOE_ELEMENT_F16
                     : ggml_type == kGgmlBf16 ? MOE_ELEMENT_BF16
                                              : MOE_ELEMENT_F32;
  } else {
    format.preset = 1 + ggml_type;
  }
  return format;
}

// Each step returns false after it has set error_.
class Finder {
 public:
  explicit Finder(const GgufFile& file) : file_(file) {}

  Result<MoeModel> run() {
    if (architecture() && sizes() && no_unknown_keys() && blocks() && no_unknown_tensors()) {
      model_.totals = count_totals(file_, model_.layers);
      return std::move(model_);
    }
    return std::move(error_);
  }

 private:
  bool fail(uint64_t offset, std::string field, std::string message) {
    error_ = {offset, std::move(field), std::move(message)};
    return false;
  }

  std::string key(const char* name) const { return model_.architecture + "." + name; }

  bool architecture() {
    const GgufValue* value = file_.find_value("general.architecture");
    const auto text = value != nullptr ? value->as_string() : std::nullopt;
    if (!text) {
      return fail(value != nullptr ? value->offset : 0, "general.architecture",
                  value != nullptr ? "is not a string" : "is missing: not a model file");
    }
    model_.architecture = std::string(*text);
    if (const GgufValue* parts = file_.find_value("split.count"); parts != nullptr && parts->as_u64() > 1u) {
      return fail(parts->offset, "split.count",
                  "this is one of " + std::to_string(*parts->as_u64()) +
                      " files of a split model; merge them first (llama-gguf-split --merge)");
    }
    for (const Family& family : kFamilies) {
      if (model_.architecture == family.architecture) {
        family_ = &family;
      }
    }
    const GgufValue* count = file_.find_value(key("expert_count"));
    if (count == nullptr || count->as_u64() == 0u) {
      return fail(value->offset, "general.architecture",
                  quoted(*text) + ": no MoE layers (" + printable(key("expert_count")) +
                      (count == nullptr ? " is absent)" : " is 0)"));
    }
    if (family_ == nullptr) {
      return fail(value->offset, "general.architecture",
                  quoted(*text) +
                      " has experts, but is not read yet; qwen3moe, qwen2moe, olmoe and llama "
                      "(Mixtral) are");
    }
    if (const GgufValue* name = file_.find_value("general.name")) {
      model_.name = std::string(name->as_string().value_or(""));
    }
    return true;
  }

  // An integer of 1 to 2^31 - 1. Newer writers store one number a block: those must all be equal.
  bool size_of(const char* name, uint32_t& size, bool& present) {
    const std::string full = key(name);
    const GgufValue* value = file_.find_value(full);
    present = value != nullptr;
    if (!present) {
      return true;
    }
    auto number = value->type == ValueType::array ? value->element_u64(0) : value->as_u64();
    for (uint64_t i = 1; value->type == ValueType::array && number && i < value->count; ++i) {
      if (value->element_u64(i) != number) {
        return fail(value->offset, full, "differs from block to block, which is not read yet");
      }
    }
    if (!number || *number == 0 || *number > INT32_MAX) {
      return fail(value->offset, full,
                  number ? std::to_string(*number) + " is not in 1..2^31-1"
                         : std::string("is a ") + value_type_name(value->type) + ", not an unsigned integer");
    }
    size = static_cast<uint32_t>(*number);
    return true;
  }

  bool required(const char* name, uint32_t& size) {
    bool present = false;
    return size_of(name, size, present) && (present || fail(0, key(name), "is missing"));
  }

  bool sizes() {
    if (!required("block_count", model_.block_count) || !required("embedding_length", model_.hidden) ||
        !required("expert_count", model_.experts) || !required("expert_used_count", model_.top_k)) {
      return false;
    }
    if (model_.top_k > model_.experts) {
      return fail(file_.find_value(key("expert_used_count"))->offset, key("expert_used_count"),
                  std::to_string(model_.top_k) + " of " + std::to_string(model_.experts) + " experts");
    }
    bool present = false;
    if (!size_of("expert_feed_forward_length", model_.intermediate, present)) {
      return false;
    }
    if (!present) {
      if (!required("feed_forward_length", model_.intermediate)) {
        return false;
      }
      if (family_->ffn_length_is_total) {
        model_.intermediate = std::max(1u, model_.intermediate / model_.top_k);
      }
    }
    if (!family_->shared_expert) {
      return true;
    }
    return size_of("expert_shared_feed_forward_length", model_.shared_intermediate, present) &&
           (present || required("feed_forward_length", model_.shared_intermediate));
  }

  // Keys that other families use to change the routing: here they must agree with what the family
  // does.
  bool no_unknown_keys() {
    struct Expected {
      const char* name;
      double neutral;
      double also;
    };
    const double norm = family_->renormalise ? 1 : 0;
    const Expected expected[] = {
        {"expert_gating_func", 1, 1},  // 1 = softmax
        {"expert_weights_scale", 1, 0},
        {"expert_weights_norm", norm, norm},
        {"expert_group_count", 1, 0},
    };
    for (const Expected& rule : expected) {
      const GgufValue* value = file_.find_value(key(rule.name));
      if (value == nullptr) {
        continue;
      }
      const auto flag = value->as_bool();
      const auto number = flag ? std::optional<double>(*flag ? 1 : 0) : value->as_f64();
      if (!number || (*number != rule.neutral && *number != rule.also)) {
        return fail(value->offset, key(rule.name),
                    (number ? std::to_string(*number) : std::string("not a number")) + ": not read for " +
                        model_.architecture + ", whose value is " + std::to_string(rule.neutral));
      }
    }
    return true;
  }

  bool blocks() {
    for (uint32_t block = 0; block < model_.block_count; ++block) {
      prefix_ = "blk." + std::to_string(block) + ".";
      const std::string router = prefix_ + "ffn_gate_inp.weight";
      if (file_.find_tensor(router) == nullptr) {
        if (file_.find_tensor(prefix_ + "ffn_up.weight") != nullptr) {
          continue;  // a dense block
        }
        return fail(0, router, "is missing (" + key("block_count") + " is " + std::to_string(model_.block_count) + ")");
      }
      if (!layer(block)) {
        return false;
      }
    }
    return !model_.layers.empty() || fail(0, "tensors",
                                          "no block has a router (blk.N.ffn_gate_inp.weight), though " +
                                              key("expert_count") + " is " + std::to_string(model_.experts));
  }

  bool layer(uint32_t block) {
    MoeLayer layer;
    layer.block = block;
    const uint64_t h = model_.hidden;
    const uint64_t f = model_.intermediate;
    const uint64_t s = model_.shared_intermediate;
    moe_layer_desc& desc = layer.desc = describe();
    if (!add(layer, "router.weight", "ffn_gate_inp.weight", {h, model_.experts, 1, 1}, 2) ||
        !add_experts(layer, "experts.gate", "ffn_gate", h, f, desc.gate_format) ||
        !add_experts(layer, "experts.up", "ffn_up", h, f, desc.up_format) ||
        !add_experts(layer, "experts.down", "ffn_down", f, h, desc.down_format)) {
      return false;
    }
    if (family_->shared_expert) {
      if (!add(layer, "shared.router", "ffn_gate_inp_shexp.weight", {h, 1, 1, 1}, 1) ||
          !add_shared(layer, "shared.gate", "ffn_gate_shexp.weight", h, s, desc.shared_gate_format) ||
          !add_shared(layer, "shared.up", "ffn_up_shexp.weight", h, s, desc.shared_up_format) ||
          !add_shared(layer, "shared.down", "ffn_down_shexp.weight", s, h, desc.shared_down_format)) {
        return false;
      }
    }
    count_layer(layer);
    model_.layers.push_back(std::move(layer));
    return true;
  }

  moe_layer_desc describe() const {
    moe_layer_desc desc = MOE_INIT(moe_layer_desc);
    desc.hidden = model_.hidden;
    desc.intermediate = model_.intermediate;
    desc.experts = model_.experts;
    desc.top_k = model_.top_k;
    desc.route_source = MOE_ROUTE_FROM_ROUTER;
    desc.score = MOE_SCORE_SOFTMAX;  // over all experts, before the choice
    desc.selection = MOE_SELECT_TOP_K;
    desc.weight = MOE_WEIGHT_IDENTITY;
    if (family_->renormalise) {
      // A softmax's top k sum to at least k/E: no eps is needed. These families divide for k = 1
      // too.
      desc.normalize = MOE_NORMALIZE_SUM_EPS;
      desc.flags = model_.top_k == 1 ? MOE_LAYER_NORMALIZE_SINGLE : 0;
    }
    desc.activation = MOE_ACTIVATION_SILU;
    desc.gate_up_layout = MOE_GATE_UP_SEPARATE;
    desc.matrix_order = MOE_MATRIX_OUT_IN;
    desc.shared_intermediate = model_.shared_intermediate;
    desc.shared_gate = family_->shared_expert ? MOE_SHARED_GATE_SIGMOID : MOE_SHARED_GATE_ONE;
    desc.precision = MOE_PRECISION_EXACT;
    return desc;
  }

  bool add(MoeLayer& layer, const char* abi_name, const std::string& suffix, const Shape& shape, size_t dimensions,
           uint32_t expert_first = 0, uint32_t expert_count = 0) {
    const std::string full = prefix_ + suffix;
    const TensorInfo* tensor = file_.find_tensor(full);
    if (tensor == nullptr) {
      return fail(0, full, "is missing; expected " + shape_text(shape, dimensions));
    }
    if (!std::equal(shape.begin(), shape.end(), tensor->ne)) {
      return fail(tensor->header_offset, full,
                  "has ne " + tensor->shape_text() + "; the metadata says " + shape_text(shape, dimensions));
    }
    if (!is_plain_float(tensor->type->id) && layer.refusal.empty()) {
      layer.refusal = full + " is " + tensor->type->name + "; f32, f16 and bf16 are read now";
    }
    used_.push_back(tensor);
    layer.tensors.push_back({abi_name, tensor, expert_first, expert_count, abi_dtype(tensor->type->id)});
    return true;
  }

  bool add_shared(MoeLayer& layer, const char* abi_name, const char* suffix, uint64_t in, uint64_t out,
                  moe_weight_format& format) {
    if (!add(layer, abi_name, suffix, {in, out, 1, 1}, 2)) {
      return false;
    }
    format = abi_format(layer.tensors.back().tensor->type->id);
    return true;
  }

  // All experts in one tensor, or a tensor for each (Mixtral files before April 2024).
  bool add_experts(MoeLayer& layer, const char* abi_name, const std::string& stem, uint64_t in, uint64_t out,
                   moe_weight_format& format) {
    const bool split = file_.find_tensor(prefix_ + stem + "_exps.weight") == nullptr &&
                       file_.find_tensor(prefix_ + stem + ".0.weight") != nullptr;
    const size_t first = layer.tensors.size();
    if (!split) {
      if (!add(layer, abi_name, stem + "_exps.weight", {in, out, model_.experts, 1}, 3, 0, model_.experts)) {
        return false;
      }
    }
    for (uint32_t e = 0; split && e < model_.experts; ++e) {
      if (!add(layer, abi_name, stem + "." + std::to_string(e) + ".weight", {in, out, 1, 1}, 2, e, 1)) {
        return false;
      }
    }
    const TensorInfo* head = layer.tensors[first].tensor;
    for (size_t i = first + 1; i < layer.tensors.size(); ++i) {
      const TensorInfo* other = layer.tensors[i].tensor;
      if (other->type != head->type) {
        return fail(other->header_offset, std::string(other->name),
                    std::string("is ") + other->type->name + ", but " + std::string(head->name) + " is " +
                        head->type->name + "; the experts of a layer must have one type");
      }
    }
    format = abi_format(head->type->id);
    return true;
  }

  // A tensor of an MoE block's feed-forward part that nobody took would be left out of the result.
  bool no_unknown_tensors() {
    std::sort(used_.begin(), used_.end());
    for (const TensorInfo& tensor : file_.tensors()) {
      const std::string_view name = tensor.name;
      if (!name.starts_with("blk.")) {
        continue;
      }
      const size_t dot = name.find('.', 4);
      const std::string_view rest = dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
      if (rest == "ffn_norm.weight" || !(rest.starts_with("ffn_") || rest.starts_with("exp_probs_b")) ||
          std::binary_search(used_.begin(), used_.end(), &tensor)) {
        continue;
      }
      uint32_t block = 0;
      const auto parsed = std::from_chars(name.data() + 4, name.data() + dot, block);
      const auto owner = std::lower_bound(model_.layers.begin(), model_.layers.end(), block,
                                          [](const MoeLayer& layer, uint32_t n) { return layer.block < n; });
      const bool moe_block = parsed.ec == std::errc() && parsed.ptr == name.data() + dot &&
                             owner != model_.layers.end() && owner->block == block;
      if (moe_block) {
        return fail(tensor.header_offset, printable(name),
                    "belongs to an MoE layer but is not understood for " + model_.architecture);
      }
    }
    return true;
  }

  const GgufFile& file_;
  const Family* family_ = nullptr;
  std::string prefix_;  // "blk.N."
  std::vector<const TensorInfo*> used_;
  MoeModel model_;
  ParseError error_;
};

}  // namespace

Result<MoeModel> find_moe_layers(const GgufFile& file) {
  try {
    return Finder(file).run();
  } catch (const std::exception& problem) {  // Out of memory; nothing else throws.
    return ParseError{0, "file", std::string("cannot be read: ") + problem.what()};
  }
}

}  // namespace moevk::model
