// SPDX-License-Identifier: MIT
//
// In:  a checkpoint of safetensors files.
// Out: its MoE layers (see moe_model.h).
// Why: config.json says what a layer computes and how large it is; which blocks have one, the tensors say.
#include <algorithm>
#include <charconv>
#include <exception>
#include <nlohmann/json.hpp>

#include "tools/model/checkpoint_layer_reader.h"
#include "tools/model/moe_totals.h"

namespace moevk::model {
namespace {

// Each step returns false after it has set error_.
class Finder {
 public:
  explicit Finder(const Checkpoint& checkpoint) : checkpoint_(checkpoint), config_(checkpoint.config()) {}

  Result<MoeModel> run() {
    if (family() && weights() && sizes() && blocks()) {
      model_.totals =
          count_totals(checkpoint_, model_.layers,
                       {"model.embed_tokens.weight", "lm_head.weight", "model.layers.", model_.block_count});
      return std::move(model_);
    }
    return std::move(error_);
  }

 private:
  bool fail(std::string field, std::string message) {
    error_ = {0, std::move(field), std::move(message)};
    return false;
  }

  // What config_ has met.
  bool checked() {
    if (!config_.ok()) error_ = config_.error();
    return config_.ok();
  }

  bool family() {
    model_.architecture = config_.word_or("model_type", "");
    if (!checked()) return false;
    if (model_.architecture.empty()) return fail("config.json: model_type", "is missing");
    family_ = find_checkpoint_family(model_.architecture);
    if (family_ == nullptr) {
      std::string known;
      for (const CheckpointFamily& one : checkpoint_families()) {
        known += (known.empty() ? "" : ", ") + std::string(one.model_type);
      }
      return fail("config.json: model_type",
                  model::quoted(model_.architecture) + " is not read yet; those read are " + known);
    }
    model_.name = config_.word_or("_name_or_path", "");
    return checked();
  }

  // Formats that put other tensors in the place of the weights.
  bool weights() {
    const auto quantization = read_quantization(checkpoint_.config());
    if (!quantization) {
      error_ = quantization.error();
      return false;
    }
    quantization_ = *quantization;
    model_.packing = quantization_.text();
    return true;
  }

  bool sizes() {
    model_.block_count = config_.size("num_hidden_layers");
    desc_ = family_->describe(config_);
    if (!checked()) return false;
    if (desc_.top_k > desc_.experts) {
      return fail("config.json", std::to_string(desc_.top_k) + " of " + std::to_string(desc_.experts) + " experts");
    }
    model_.hidden = desc_.hidden;
    model_.experts = desc_.experts;
    model_.top_k = desc_.top_k;
    model_.intermediate = desc_.intermediate;
    model_.shared_intermediate = desc_.shared_intermediate;
    return true;
  }

  // Blocks beyond num_hidden_layers predict further tokens (DeepSeek-V3, GLM-4.5): not part of a forward pass.
  bool blocks() {
    CheckpointLayerReader reader(checkpoint_, *family_, desc_, quantization_);
    for (uint32_t block = 0; block < model_.block_count; ++block) {
      const std::string prefix = reader.prefix(block);
      if (checkpoint_.find_tensor(prefix + family_->router) == nullptr) {
        const auto has = [&](const char* name) { return checkpoint_.find_tensor(prefix + name) != nullptr; };
        if (has("up_proj.weight") || has("up_proj.qweight") || has("up_proj.weight_packed")) continue;
        const std::string router = prefix + family_->router, stem = router.substr(0, router.rfind('.'));
        for (const char* packed : {".qweight", ".weight_packed"}) {
          if (checkpoint_.find_tensor(stem + packed) == nullptr) continue;
          return fail(stem + packed, "a packed router is not read; the formats' writers leave routers as they are");
        }
        return fail(router, "is missing, and the block has no dense network instead of it");
      }
      MoeLayer layer;
      if (!reader.read(block, layer)) {
        error_ = reader.error();
        return false;
      }
      count_layer(layer);
      model_.layers.push_back(std::move(layer));
    }
    if (model_.layers.empty()) return fail("config.json: num_hidden_layers", "no block has a router: no MoE layers");
    return no_unknown_tensors(reader);
  }

  // A tensor of an MoE block's feed-forward part that nobody took would be left out of the result.
  bool no_unknown_tensors(const CheckpointLayerReader& reader) {
    std::vector<const TensorInfo*> used = reader.used_tensors();
    std::sort(used.begin(), used.end());
    constexpr std::string_view kStart = "model.layers.";
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      if (!tensor.name.starts_with(kStart)) continue;
      const size_t dot = tensor.name.find('.', kStart.size());
      if (dot == std::string_view::npos) continue;
      const std::string_view rest = tensor.name.substr(dot + 1);
      if (!(rest.starts_with(family_->part) || rest.starts_with("shared_mlp.")) ||
          std::binary_search(used.begin(), used.end(), &tensor)) {
        continue;
      }
      uint32_t block = 0;
      const char* end = tensor.name.data() + dot;
      const auto parsed = std::from_chars(tensor.name.data() + kStart.size(), end, block);
      const auto owner = std::lower_bound(model_.layers.begin(), model_.layers.end(), block,
                                          [](const MoeLayer& layer, uint32_t n) { return layer.block < n; });
      if (parsed.ec == std::errc() && parsed.ptr == end && owner != model_.layers.end() && owner->block == block) {
        return fail(checkpoint_.file_name(tensor) + ": " + printable(tensor.name),
                    "belongs to an MoE layer but is not understood for " + model_.architecture);
      }
    }
    return true;
  }

  const Checkpoint& checkpoint_;
  CheckpointConfig config_;
  const CheckpointFamily* family_ = nullptr;
  moe_layer_desc desc_ = {};
  CheckpointQuantization quantization_;
  MoeModel model_;
  ParseError error_;
};

}  // namespace

Result<MoeModel> find_moe_layers(const Checkpoint& checkpoint) {
  try {
    return Finder(checkpoint).run();
  } catch (const std::exception& problem) {  // Out of memory; nothing else throws.
    return ParseError{0, "file", std::string("cannot be read: ") + problem.what()};
  }
}

}  // namespace moevk::model
