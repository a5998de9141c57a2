// SPDX-License-Identifier: MIT
//
// In:  a block of a checkpoint.
// Out: its MoE layer (see checkpoint_layer_reader.h).
// Why: every shape is compared with config.json before a tensor is handed on; nothing is guessed.
#include "tools/model/checkpoint_layer_reader.h"

#include <algorithm>

#include "tools/model/moe_layer_reader.h"

namespace moevk::model {
namespace {

constexpr uint64_t kScaleBlock = 128;  // rows and columns of DeepSeek-V3's fp8
constexpr uint64_t kMxBlock = 32;      // columns of MXFP4, two in a byte

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

// Row-major, as config.json's readers think of it.
std::string shape_text(const TensorInfo& tensor) {
  std::vector<uint64_t> shape;
  for (uint32_t i = std::min(tensor.dimensions, 4u); i-- > 0;) shape.push_back(tensor.ne[i]);
  return shape_text(shape) + (tensor.dimensions > 4 ? " after more axes" : "");
}

bool has_shape(const TensorInfo& tensor, const std::vector<uint64_t>& shape) {
  if (tensor.dimensions != shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (tensor.ne[shape.size() - 1 - i] != shape[i]) return false;
  }
  return true;
}

bool is_fp8(const TensorInfo& tensor) { return tensor.type->id == kTypeF8E4M3 || tensor.type->id == kTypeF8E5M2; }

}  // namespace

std::string CheckpointLayerReader::prefix(uint32_t block) const {
  return "model.layers." + std::to_string(block) + "." + family_.part;
}

bool CheckpointLayerReader::read(uint32_t block, MoeLayer& layer) {
  block_ = "model.layers." + std::to_string(block) + ".";
  prefix_ = prefix(block);
  layer.block = block;
  layer.desc = desc_;
  layer.desc.gate_up_layout = MOE_GATE_UP_SEPARATE;
  layer.desc.matrix_order = MOE_MATRIX_OUT_IN;
  return add_router(layer) && add_routed_experts(layer) && add_shared_experts(layer);
}

bool CheckpointLayerReader::fail(std::string field, std::string message) {
  error_ = {0, std::move(field), std::move(message)};
  return false;
}

// Null after an error.
const TensorInfo* CheckpointLayerReader::find(const std::string& name, const Shape& shape) {
  const TensorInfo* tensor = checkpoint_.find_tensor(name);
  if (tensor == nullptr) {
    std::string instead;
    for (const char* packed : {".qweight", ".weight_packed"}) {
      const std::string other = name.substr(0, name.rfind('.')) + packed;
      if (checkpoint_.find_tensor(other) == nullptr) continue;
      instead = "; " + other + " is there, but packed integers are read in experts alone, and where " +
                "config.json's quantization_config names their method";
    }
    fail(name, "is missing; expected " + shape_text(shape) + instead);
    return nullptr;
  }
  if (!has_shape(*tensor, shape)) {
    fail(checkpoint_.file_name(*tensor) + ": " + name,
         "has the shape " + shape_text(*tensor) + "; config.json says " + shape_text(shape));
    return nullptr;
  }
  used_.push_back(tensor);
  return tensor;
}

bool CheckpointLayerReader::add(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                const Shape& shape, uint32_t expert_first, uint32_t expert_count) {
  const TensorInfo* tensor = find(name, shape);
  if (tensor == nullptr) return false;
  if (layer.refusal.empty() && !is_plain_float(tensor->type->id)) {
    layer.refusal = name + " is " + tensor->type->name + "; f32, f16 and bf16 are read";
  }
  layer.tensors.push_back({abi_name, tensor, expert_first, expert_count, dtype_of_type(tensor->type->id)});
  return true;
}

// Codes, or scales that are bytes.
bool CheckpointLayerReader::add_bytes(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                      const Shape& shape, uint32_t expert_first, uint32_t expert_count) {
  const TensorInfo* tensor = find(name, shape);
  if (tensor == nullptr) return false;
  layer.tensors.push_back({abi_name, tensor, expert_first, expert_count, MOE_DTYPE_BLOCKS});
  return true;
}

// The matrix itself is the last tensor that is added: scales go before it.
bool CheckpointLayerReader::add_matrix(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                       uint64_t out, uint64_t in, moe_weight_format& format, uint32_t expert_first,
                                       uint32_t expert_count) {
  const TensorInfo* tensor = checkpoint_.find_tensor(name);
  if (tensor != nullptr && is_fp8(*tensor)) {
    return add_fp8(layer, abi_name, *tensor, out, in, format, expert_first, expert_count);
  }
  const std::string stem = name.substr(0, name.size() - std::string_view(".weight").size());
  if (tensor == nullptr && is_packed(stem)) {
    return add_packed(layer, abi_name, stem, out, in, format, expert_first, expert_count);
  }
  if (!add(layer, abi_name, name, {out, in}, expert_first, expert_count)) return false;
  format = format_of_type(tensor->type->id);
  return true;
}

// fp8 with the factors of 128 x 128 blocks beside it.
bool CheckpointLayerReader::add_fp8(MoeLayer& layer, const std::string& abi_name, const TensorInfo& tensor,
                                    uint64_t out, uint64_t in, moe_weight_format& format, uint32_t expert_first,
                                    uint32_t expert_count) {
  const std::string name(tensor.name), scale = name + "_scale_inv";
  const auto blocks = [](uint64_t size) { return (size + kScaleBlock - 1) / kScaleBlock; };
  format = {};
  format.element = tensor.type->id == kTypeF8E4M3 ? MOE_ELEMENT_FP8_E4M3 : MOE_ELEMENT_FP8_E5M2;
  const TensorInfo* factors = checkpoint_.find_tensor(scale);
  if (factors == nullptr) {
    if (layer.refusal.empty()) {
      layer.refusal = name + " is " + tensor.type->name + " without " + scale + ", the factors of its 128 x 128 blocks";
    }
    return add_bytes(layer, abi_name, name, {out, in}, expert_first, expert_count);
  }
  format.block_rows = format.block_columns = kScaleBlock;
  if (is_plain_float(factors->type->id)) format.scale = MOE_SCALE_F32 + dtype_of_type(factors->type->id);
  return add(layer, abi_name + ".scale", scale, {blocks(out), blocks(in)}, expert_first, expert_count) &&
         add_bytes(layer, abi_name, name, {out, in}, expert_first, expert_count);
}

// [numbers], or [1, numbers].
bool CheckpointLayerReader::add_vector(MoeLayer& layer, const char* abi_name, const std::string& name,
                                       uint64_t numbers) {
  const TensorInfo* tensor = checkpoint_.find_tensor(name);
  const bool is_row = tensor != nullptr && tensor->dimensions == 2;
  return add(layer, abi_name, name, is_row ? Shape{1, numbers} : Shape{numbers});
}

bool CheckpointLayerReader::add_router(MoeLayer& layer) {
  const uint64_t experts = desc_.experts;
  return add(layer, "router.weight", prefix_ + family_.router, {experts, desc_.hidden}) &&
         ((desc_.flags & MOE_LAYER_ROUTER_BIAS) == 0 ||
          add_vector(layer, "router.bias", prefix_ + "router.bias", experts)) &&
         ((desc_.flags & MOE_LAYER_SELECTION_BIAS) == 0 ||
          add_vector(layer, "router.selection_bias", prefix_ + family_.selection_bias, experts));
}

// A tensor for each expert; all of one type.
bool CheckpointLayerReader::add_each(MoeLayer& layer, const char* abi_name, const char* name, uint64_t out, uint64_t in,
                                     moe_weight_format& format) {
  const TensorInfo* head = nullptr;
  moe_weight_format first = {};
  for (uint32_t e = 0; e < desc_.experts; ++e) {
    const std::string full = prefix_ + "experts." + std::to_string(e) + "." + name + ".weight";
    if (!add_matrix(layer, abi_name, full, out, in, format, e, 1)) return false;
    const TensorInfo* tensor = layer.tensors.back().tensor;
    if (head == nullptr) head = tensor, first = format;
    if (tensor->type != head->type) {
      return fail(checkpoint_.file_name(*tensor) + ": " + full,
                  std::string("is ") + tensor->type->name + ", but " + std::string(head->name) + " is " +
                      head->type->name + "; the experts of a layer must have one type");
    }
    if (format.scale != first.scale || format.element != first.element) {
      return fail(checkpoint_.file_name(*tensor) + ": " + full,
                  "has other scales than " + std::string(head->name) + "; the experts of a layer must have one format");
    }
  }
  return true;
}

bool CheckpointLayerReader::add_linear_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint64_t h = desc.hidden, f = desc.intermediate;
  desc.gate_up_layout = MOE_GATE_UP_CONCATENATED;
  if (!add(layer, "experts.gate_up", prefix_ + "input_linear.weight", {desc.experts, 2 * f, h}, 0, desc.experts)) {
    return false;
  }
  desc.gate_format = desc.up_format = format_of_type(layer.tensors.back().tensor->type->id);
  if (!add(layer, "experts.down", prefix_ + "output_linear.weight", {desc.experts, h, f}, 0, desc.experts)) {
    return false;
  }
  desc.down_format = format_of_type(layer.tensors.back().tensor->type->id);
  return true;
}

// NAME_blocks [E, out, in / 32, 16], two numbers a byte; NAME_scales [E, out, in / 32], powers of two.
bool CheckpointLayerReader::add_mxfp4(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                      uint64_t out, uint64_t in, moe_weight_format& format) {
  const uint32_t experts = desc_.experts;
  format = {};
  format.element = MOE_ELEMENT_FP4_E2M1;
  format.block_columns = kMxBlock;
  format.scale = MOE_SCALE_E8M0;
  const uint64_t blocks = in / kMxBlock;
  if (in % kMxBlock != 0) {
    return fail(name + "_blocks", "rows of " + std::to_string(in) + " are no multiple of MXFP4's 32");
  }
  return add_bytes(layer, abi_name + ".scale", name + "_scales", {experts, out, blocks}, 0, experts) &&
         add_bytes(layer, abi_name, name + "_blocks", {experts, out, blocks, kMxBlock / 2}, 0, experts);
}

bool CheckpointLayerReader::add_interleaved_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint32_t experts = desc.experts;
  const uint64_t h = desc.hidden, f = desc.intermediate;
  const std::string gate_up = prefix_ + "experts.gate_up_proj", down = prefix_ + "experts.down_proj";
  desc.gate_up_layout = MOE_GATE_UP_INTERLEAVED;
  if (checkpoint_.find_tensor(gate_up + "_blocks") != nullptr) {
    if (!add_mxfp4(layer, "experts.gate_up", gate_up, 2 * f, h, desc.gate_format) ||
        !add_mxfp4(layer, "experts.down", down, h, f, desc.down_format)) {
      return false;
    }
  } else {
    desc.matrix_order = MOE_MATRIX_IN_OUT;
    if (!add(layer, "experts.gate_up", gate_up, {experts, h, 2 * f}, 0, experts)) return false;
    desc.gate_format = format_of_type(layer.tensors.back().tensor->type->id);
    if (!add(layer, "experts.down", down, {experts, f, h}, 0, experts)) return false;
    desc.down_format = format_of_type(layer.tensors.back().tensor->type->id);
  }
  desc.up_format = desc.gate_format;
  return add(layer, "experts.gate_up.bias", gate_up + "_bias", {experts, 2 * f}, 0, experts) &&
         add(layer, "experts.down.bias", down + "_bias", {experts, h}, 0, experts);
}

bool CheckpointLayerReader::add_routed_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint64_t h = desc.hidden, f = desc.intermediate;
  switch (family_.storage) {
    case ExpertStorage::linear: return add_linear_experts(layer);
    case ExpertStorage::interleaved_t: return add_interleaved_experts(layer);
    case ExpertStorage::each: break;
  }
  return add_each(layer, "experts.gate", family_.gate, f, h, desc.gate_format) &&
         add_each(layer, "experts.up", family_.up, f, h, desc.up_format) &&
         add_each(layer, "experts.down", family_.down, h, f, desc.down_format);
}

bool CheckpointLayerReader::add_shared_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint64_t h = desc.hidden, s = desc.shared_intermediate;
  if (s == 0) return true;
  if (family_.storage == ExpertStorage::linear) {  // beside the routed experts' part, and joined like them
    const std::string shared = block_ + "shared_mlp.";
    if (!add_matrix(layer, "shared.gate_up", shared + "input_linear.weight", 2 * s, h, desc.shared_gate_format) ||
        !add_matrix(layer, "shared.down", shared + "output_linear.weight", h, s, desc.shared_down_format)) {
      return false;
    }
    desc.shared_up_format = desc.shared_gate_format;
    return true;
  }
  const std::string shared = prefix_ + family_.shared;
  return (desc.shared_gate != MOE_SHARED_GATE_SIGMOID ||
          add_vector(layer, "shared.router", prefix_ + "shared_expert_gate.weight", h)) &&
         add_matrix(layer, "shared.gate", shared + "gate_proj.weight", s, h, desc.shared_gate_format) &&
         add_matrix(layer, "shared.up", shared + "up_proj.weight", s, h, desc.shared_up_format) &&
         add_matrix(layer, "shared.down", shared + "down_proj.weight", h, s, desc.shared_down_format);
}

}  // namespace moevk::model
