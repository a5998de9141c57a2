// SPDX-License-Identifier: MIT
//
// In:  a parsed GGUF file.
// Out: its MoE layers (see moe_model.h).
// Why: metadata keys as llama.cpp's converter writes them and its loader reads them (mid-2026); what differs between
//      architectures stands in gguf_architectures.cpp, tensors in moe_layer_reader.cpp.
#include "tools/model/moe_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>

#include "tools/model/moe_layer_reader.h"
#include "tools/model/moe_totals.h"

namespace moevk::model {
namespace {

// Each step returns false after it has set error_.
class Finder {
 public:
  explicit Finder(const GgufFile& file) : file_(file) {}

  Result<MoeModel> run() {
    if (architecture() && sizes() && widths() && latent_width() && routing() && clamps() && situ() && blocks()) {
      model_.totals = count_totals(
          file_, model_.layers, {"token_embd.weight", "output.weight", "blk.", model_.block_count - draft_blocks_});
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
    std::string known;
    for (const GgufArchitecture& one : gguf_architectures()) {
      if (model_.architecture == one.name) {
        architecture_ = &one;
      }
      known += (known.empty() ? "" : ", ") + std::string(one.name);
    }
    const GgufValue* count = file_.find_value(key("expert_count"));
    if (count == nullptr || count->as_u64() == 0u) {
      return fail(value->offset, "general.architecture",
                  quoted(*text) + ": no MoE layers (" + printable(key("expert_count")) +
                      (count == nullptr ? " is absent)" : " is 0)"));
    }
    if (architecture_ == nullptr) {
      return fail(value->offset, "general.architecture",
                  quoted(*text) + " has experts, but is not read yet; those read are " + known);
    }
    if (const GgufValue* name = file_.find_value("general.name")) {
      model_.name = std::string(name->as_string().value_or(""));
    }
    return true;
  }

  // An integer of `least` to 2^31 - 1. Newer writers store one number a block: those must all be equal.
  bool size_of(const char* name, uint32_t& size, bool& present, uint32_t least = 1) {
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
    if (!number || *number < least || *number > INT32_MAX) {
      return fail(value->offset, full,
                  number ? std::to_string(*number) + " is not in " + std::to_string(least) + "..2^31-1"
                         : std::string("is a ") + value_type_name(value->type) + ", not an unsigned integer");
    }
    size = static_cast<uint32_t>(*number);
    return true;
  }

  bool required(const char* name, uint32_t& size, uint32_t least = 1) {
    bool present = false;
    return size_of(name, size, present, least) && (present || fail(0, key(name), "is missing"));
  }

  bool sizes() {
    if (!required("block_count", model_.block_count) || !required("embedding_length", metadata_.hidden) ||
        !required("expert_count", metadata_.experts) || !required("expert_used_count", metadata_.top_k)) {
      return false;
    }
    if (metadata_.top_k > metadata_.experts) {
      return fail(file_.find_value(key("expert_used_count"))->offset, key("expert_used_count"),
                  std::to_string(metadata_.top_k) + " of " + std::to_string(metadata_.experts) + " experts");
    }
    bool present = false;
    if (!size_of("nextn_predict_layers", draft_blocks_, present, 0)) {
      return false;
    }
    if (draft_blocks_ >= model_.block_count) {
      return fail(file_.find_value(key("nextn_predict_layers"))->offset, key("nextn_predict_layers"),
                  std::to_string(draft_blocks_) + " of " + std::to_string(model_.block_count) + " blocks");
    }
    return true;
  }

  bool widths() {
    bool present = false;
    if (!size_of("expert_feed_forward_length", metadata_.intermediate, present)) {
      return false;
    }
    if (!present) {
      if (architecture_->expert_width == ExpertWidth::required) {
        return fail(0, key("expert_feed_forward_length"), "is missing");
      }
      if (!required("feed_forward_length", metadata_.intermediate)) {
        return false;
      }
      if (architecture_->expert_width == ExpertWidth::total_over_k) {
        metadata_.intermediate = std::max(1u, metadata_.intermediate / metadata_.top_k);
      }
    }
    switch (architecture_->shared_width) {
      case SharedWidth::none: return true;
      case SharedWidth::key:
        return size_of("expert_shared_feed_forward_length", metadata_.shared_intermediate, present, 0);
      case SharedWidth::key_or_total:
        return size_of("expert_shared_feed_forward_length", metadata_.shared_intermediate, present) &&
               (present || required("feed_forward_length", metadata_.shared_intermediate));
      case SharedWidth::count_of_experts: break;
    }
    if (!required("expert_shared_count", metadata_.shared_count, 0)) {
      return false;
    }
    // So that the product fits: no model has as many.
    return metadata_.shared_count <= 64 ||
           fail(file_.find_value(key("expert_shared_count"))->offset, key("expert_shared_count"),
                std::to_string(metadata_.shared_count) + " shared experts");
  }

  bool latent_width() {
    if (architecture_->latent == nullptr) {
      return true;
    }
    const char* name = architecture_->latent->key;
    bool present = false;
    return size_of(name, metadata_.latent, present, 0) &&
           (metadata_.latent <= metadata_.hidden ||
            fail(file_.find_value(key(name))->offset, key(name),
                 std::to_string(metadata_.latent) + " is more than " + key("embedding_length") + ", " +
                     std::to_string(metadata_.hidden)));
  }

  // A number, or a truth value as 0 or 1. One that is not read must be `neutral` or `also`.
  bool routing_key(const char* name, bool is_read, double neutral, double also, double& number) {
    number = neutral;
    const GgufValue* value = file_.find_value(key(name));
    if (value == nullptr) {
      return true;
    }
    const auto flag = value->as_bool();
    const auto found = flag ? std::optional<double>(*flag ? 1 : 0) : value->as_f64();
    if (!found || !std::isfinite(*found) || std::abs(*found) > 1e9 ||
        (!is_read && *found != neutral && *found != also)) {
      return fail(value->offset, key(name),
                  (found ? std::to_string(*found) : std::string("not a number")) + ": not read for " +
                      model_.architecture + ", whose value is " + std::to_string(neutral));
    }
    number = *found;
    return true;
  }

  // Keys that change the routing: what the architecture does not read must say what the family does anyway.
  bool routing() {
    const GgufArchitecture& a = *architecture_;
    const auto reads = [&](uint32_t what) { return (a.reads & what) != 0; };
    const double other = a.other_gating != 0 ? a.other_gating : a.gating;
    double gating = 0, norm = 0, scale = 0, groups = 0, kept = 0, eps = 0;
    if (!routing_key("expert_gating_func", false, a.gating, other, gating) ||
        !routing_key("expert_weights_norm", reads(kReadsNorm), a.normalizes ? 1 : 0, a.normalizes ? 1 : 0, norm) ||
        !routing_key("expert_weights_scale", reads(kReadsScale), 1, 0, scale) ||
        !routing_key("expert_group_count", reads(kReadsGroups), 1, 0, groups) ||
        !routing_key("expert_group_used_count", true, 1, 0, kept) ||
        !routing_key("attention.layer_norm_rms_epsilon", true, 0, 0, eps)) {
      return false;
    }
    metadata_.gating = static_cast<uint32_t>(gating);
    metadata_.weights_norm = norm != 0;
    metadata_.weights_scale = scale == 0 ? 1 : static_cast<float>(scale);
    metadata_.norm_eps = static_cast<float>(eps);
    const bool whole = groups >= 0 && kept >= 0 && groups == std::floor(groups) && kept == std::floor(kept);
    if (!whole || (groups > 1 && (std::fmod(metadata_.experts, groups) != 0 || kept < 1 || kept > groups))) {
      return fail(0, key("expert_group_count"),
                  std::to_string(groups) + ", of which " + std::to_string(kept) + " are kept, do not fit " +
                      std::to_string(metadata_.experts) + " experts");
    }
    metadata_.groups = static_cast<uint32_t>(groups);
    metadata_.groups_kept = static_cast<uint32_t>(kept);
    return true;
  }

  // One number, or one a block. Shared experts are clamped as routed ones where they have no key of their own.
  bool clamps() {
    const bool is_read = (architecture_->reads & kReadsClamp) != 0;
    bool first = true;
    for (const char* name : {"swiglu_clamp_exp", "swiglu_clamp_shexp"}) {
      const GgufValue* value = file_.find_value(key(name));
      for (uint64_t i = 0; value != nullptr && i < value->count; ++i) {
        const auto number = value->type == ValueType::array ? value->element_f64(i) : value->as_f64();
        if (!number || !(*number >= 0 && *number < 1e9) || (!is_read && *number != 0)) {
          return fail(value->offset, key(name), "is not a number that is read for " + model_.architecture);
        }
        if (!first && static_cast<float>(*number) != metadata_.swiglu_clamp) {
          return fail(value->offset, key(name), "differs from block to block, or from routed to shared experts");
        }
        metadata_.swiglu_clamp = static_cast<float>(*number);
        first = false;
      }
    }
    return true;
  }

  bool situ() {
    if ((architecture_->reads & kReadsSitu) == 0) {
      return true;
    }
    const auto read = [&](const char* name, bool positive, float& number) {
      const GgufValue* value = file_.find_value(key(name));
      const auto found = value != nullptr ? value->as_f64() : std::nullopt;
      if (!found || !std::isfinite(*found) || std::abs(*found) > 1e9 || (positive && !(*found > 1e-9))) {
        return fail(value != nullptr ? value->offset : 0, key(name),
                    value == nullptr ? "is missing"
                    : positive       ? "is not a number above 0"
                                     : "is not a finite number");
      }
      number = static_cast<float>(*found);
      return true;
    };
    return read("activation.situ_beta", true, metadata_.situ_beta) &&
           read("activation.situ_linear_beta", false, metadata_.situ_linear_beta);
  }

  bool blocks() {
    MoeLayerReader reader(file_, *architecture_, metadata_);
    for (uint32_t block = 0; block < model_.block_count - draft_blocks_; ++block) {
      const std::string prefix = "blk." + std::to_string(block) + ".";
      const std::string router = prefix + "ffn_gate_inp.weight";
      if (file_.find_tensor(router) == nullptr) {
        if (file_.find_tensor(prefix + "ffn_up.weight") != nullptr ||
            (architecture_->mixed_blocks && file_.find_tensor(prefix + "attn_norm.weight") != nullptr)) {
          continue;  // a dense block, or one without any feed-forward network
        }
        return fail(0, router, "is missing (" + key("block_count") + " is " + std::to_string(model_.block_count) + ")");
      }
      MoeLayer layer;
      if (!reader.read(block, layer)) {
        error_ = reader.error();
        return false;
      }
      count_layer(layer);
      model_.layers.push_back(std::move(layer));
    }
    if (model_.layers.empty()) {
      return fail(0, "tensors",
                  "no block has a router (blk.N.ffn_gate_inp.weight), though " + key("expert_count") + " is " +
                      std::to_string(metadata_.experts));
    }
    model_.hidden = metadata_.hidden;
    model_.experts = metadata_.experts;
    model_.top_k = metadata_.top_k;
    model_.intermediate = metadata_.intermediate;
    model_.shared_intermediate = model_.layers.front().desc.shared_intermediate;
    return no_unknown_tensors(reader.used_tensors());
  }

  // What stands in an MoE block's feed-forward part and is the host's: norms, a dense network beside the experts, and
  // what chooses among residuals.
  bool is_the_hosts(std::string_view rest) const {
    if (rest == "ffn_norm.weight" || rest == "ffn_norm.bias") {
      return true;
    }
    if (rest == "ffn_res_score.weight") {
      return architecture_->residual_score;
    }
    return architecture_->dense_beside && (rest == "ffn_gate.weight" || rest == "ffn_up.weight" ||
                                           rest == "ffn_down.weight" || rest == "ffn_norm_exps.weight");
  }

  // A tensor of an MoE block's feed-forward part that nobody took would be left out of the result.
  bool no_unknown_tensors(std::vector<const TensorInfo*> used) {
    std::sort(used.begin(), used.end());
    for (const TensorInfo& tensor : file_.tensors()) {
      const std::string_view name = tensor.name;
      if (!name.starts_with("blk.")) {
        continue;
      }
      const size_t dot = name.find('.', 4);
      const std::string_view rest = dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
      if (!(rest.starts_with("ffn_") || rest.starts_with("exp_probs_b")) || is_the_hosts(rest) ||
          std::binary_search(used.begin(), used.end(), &tensor)) {
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
  const GgufArchitecture* architecture_ = nullptr;
  MoeMetadata metadata_;
  uint32_t draft_blocks_ = 0;  // The last ones, which predict further tokens: not part of a forward pass.
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
