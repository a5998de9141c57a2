// SPDX-License-Identifier: MIT
//
// In:  quantization_config.
// Out: see checkpoint_quantization.h.
// Why: keys as AutoGPTQ 0.7 and GPTQModel (quantize_config), AutoAWQ 0.2 (AwqConfig) and compressed-tensors 0.9
//      (quantization_config, format "pack-quantized") write them.
#include "tools/model/checkpoint_quantization.h"

#include <nlohmann/json.hpp>

#include "tools/model/checkpoint_config.h"
#include "tools/model/tensor_store.h"

namespace moevk::model {
namespace {

constexpr char kField[] = "config.json: quantization_config";

ParseError problem(const std::string& key, std::string message) {
  return {0, kField + (key.empty() ? "" : "." + key), std::move(message)};
}

// What every method has: bits, and a group's size with -1 for a whole row.
Result<CheckpointQuantization> read_sizes(const nlohmann::json& object, const char* bits_key,
                                          const std::string& prefix) {
  CheckpointQuantization q;
  const auto bits = object.find(bits_key);
  if (bits == object.end() || !bits->is_number_integer() || (*bits != 2 && *bits != 4 && *bits != 8)) {
    return problem(prefix + bits_key, bits == object.end() ? "is missing" : "is none of 2, 4 and 8");
  }
  q.bits = bits->get<uint32_t>();
  const auto group = object.find("group_size");
  if (group == object.end() || group->is_null()) return q;
  const int64_t size = group->is_number_integer() ? group->get<int64_t>() : 0;
  const bool is_power = size > 0 && (size & (size - 1)) == 0;
  if (size != -1 && (!is_power || size < 16 || size > 1024)) {
    return problem(prefix + "group_size", "is neither a power of two from 16 to 1024 nor -1 (whole rows)");
  }
  q.group = size == -1 ? 0 : static_cast<uint32_t>(size);
  return q;
}

bool flag(const nlohmann::json& object, const char* key, bool otherwise, std::string& wrong) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (found->is_boolean()) return found->get<bool>();
  wrong = key;
  return otherwise;
}

Result<CheckpointQuantization> read_gptq(const nlohmann::json& object) {
  auto q = read_sizes(object, "bits", "");
  if (!q) return q;
  if (!object.contains("group_size")) return problem("group_size", "is missing");
  std::string wrong;
  q->packing = Packing::gptq;
  q->symmetric = flag(object, "sym", false, wrong);
  q->act_order = flag(object, "desc_act", false, wrong);
  if (!wrong.empty()) return problem(wrong, "is neither true nor false");
  CheckpointConfig words(object);
  const std::string format = words.word_or("checkpoint_format", "gptq");
  if (!words.ok() || (format != "gptq" && format != "gptq_v2")) {
    return problem("checkpoint_format", model::quoted(format) + " is not read yet; gptq and gptq_v2 are known");
  }
  q->zeros_less_one = format == "gptq";
  return q;
}

Result<CheckpointQuantization> read_awq(const nlohmann::json& object) {
  auto q = read_sizes(object, "bits", "");
  if (!q) return q;
  if (q->bits != 4) return problem("bits", "is not 4, which alone AWQ packs");
  if (!object.contains("group_size")) return problem("group_size", "is missing");
  CheckpointConfig words(object);
  const std::string version = words.word_or("version", "gemm");
  if (!words.ok() || (version != "gemm" && version != "GEMM")) {
    return problem("version", model::quoted(version) + " is not read yet; gemm is known");
  }
  std::string wrong;
  if (!flag(object, "zero_point", true, wrong)) return problem("zero_point", "is false; only true is read");
  if (!wrong.empty()) return problem(wrong, "is neither true nor false");
  q->packing = Packing::awq;
  return q;
}

Result<CheckpointQuantization> read_compressed(const nlohmann::json& object) {
  CheckpointConfig words(object);
  const std::string format = words.word_or("format", "");
  if (!words.ok() || format != "pack-quantized") {
    return problem("format", model::quoted(format) + " is not read yet; pack-quantized is known");
  }
  const auto groups = object.find("config_groups");
  if (groups == object.end() || !groups->is_object() || groups->size() != 1) {
    return problem("config_groups", "is not one group, which alone is read");
  }
  const auto& group = groups->begin().value();
  const auto weights = group.is_object() ? group.find("weights") : group.end();
  const std::string prefix = "config_groups." + printable(groups->begin().key()) + ".weights.";
  if (!group.is_object() || weights == group.end() || !weights->is_object()) {
    return problem(prefix.substr(0, prefix.size() - 1), "is missing or not an object");
  }
  const auto inputs = group.find("input_activations");
  if (inputs != group.end() && !inputs->is_null()) {
    return problem(prefix.substr(0, prefix.size() - 8) + "input_activations", "is given; only weights are read packed");
  }
  auto q = read_sizes(*weights, "num_bits", prefix);
  if (!q) return q;
  CheckpointConfig fields(*weights);
  const std::string type = fields.word_or("type", "int"), strategy = fields.word_or("strategy", "");
  if (!fields.ok() || type != "int")
    return problem(prefix + "type", model::quoted(type) + " is not read yet; int is known");
  if (strategy != "channel" && (strategy != "group" || q->group == 0)) {
    return problem(prefix + "strategy",
                   model::quoted(strategy) + " is not read; channel, and group with a size, are known");
  }
  if (strategy == "channel") q->group = 0;
  std::string wrong;
  q->symmetric = flag(*weights, "symmetric", true, wrong);
  if (!wrong.empty()) return problem(prefix + wrong, "is neither true nor false");
  q->packing = Packing::compressed;
  return q;
}

}  // namespace

std::string CheckpointQuantization::text() const {
  if (packing == Packing::none) return "";
  const char* names[] = {"", "GPTQ", "AWQ", "compressed-tensors"};
  return std::string(names[static_cast<uint32_t>(packing)]) + " int" + std::to_string(bits) +
         (group == 0 ? ", a scale for each row" : " in groups of " + std::to_string(group)) +
         (symmetric ? ", symmetric" : ", with zero points");
}

Result<CheckpointQuantization> read_quantization(const nlohmann::json& config) {
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return CheckpointQuantization{};
  if (!found->is_object()) return problem("", "is not an object");
  CheckpointConfig quantization(*found);
  const std::string method = quantization.word_or("quant_method", "");
  if (!quantization.ok()) return problem("quant_method", "is not a string");
  if (method == "gptq") return read_gptq(*found);
  if (method == "awq") return read_awq(*found);
  if (method == "compressed-tensors") return read_compressed(*found);
  if (method != "fp8" && method != "mxfp4") {
    return problem("quant_method",
                   model::quoted(method) + " is not read yet; gptq, awq, compressed-tensors, fp8 and mxfp4 are known");
  }
  const auto blocks = found->find("weight_block_size");
  if (blocks != found->end() && !blocks->is_null() && *blocks != nlohmann::json::array({128, 128})) {
    return problem("weight_block_size", "is not [128, 128], which alone is known");
  }
  return CheckpointQuantization{};
}

uint32_t packed_bits(const nlohmann::json& config) {
  const auto quantization = read_quantization(config);
  return quantization.ok() && quantization->packing != Packing::none ? quantization->bits : 0;
}

}  // namespace moevk::model
