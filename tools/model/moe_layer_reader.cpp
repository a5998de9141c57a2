// SPDX-License-Identifier: MIT
//
// In:  a block of a GGUF file.
// Out: its MoE layer (see moe_layer_reader.h).
// Why: every shape is compared with the metadata before a tensor is handed on; nothing is guessed.
#include "tools/model/moe_layer_reader.h"

#include <algorithm>

namespace moevk::model {
namespace {

std::string shape_text(const std::array<uint64_t, 4>& shape, size_t dimensions) {
  std::string text = "[";
  for (size_t i = 0; i < dimensions; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

constexpr char kTokenTable[] = "ffn_gate_tid2eid.weight";

bool is_matrix(const std::string& abi_name) {
  return (abi_name.starts_with("experts.") && !abi_name.ends_with(".bias")) ||
         (abi_name.starts_with("shared.") && !is_router(abi_name)) || abi_name == "latent.down" ||
         abi_name == "latent.up";
}

// Why a tensor of this type cannot be handed on; empty if it can.
std::string type_refusal(const std::string& abi_name, uint32_t ggml_type) {
  if (abi_name == "router.token_table") return ggml_type == kGgmlI32 ? "" : "; i32 is read";
  if (is_plain_float(ggml_type)) return "";
  if (!is_matrix(abi_name) && !is_router(abi_name)) return "; vectors are read as f32, f16 and bf16";
  return is_block_format(ggml_type) ? "" : "; that is no type of weights";
}

}  // namespace

bool MoeLayerReader::read(uint32_t block, MoeLayer& layer) {
  prefix_ = "blk." + std::to_string(block) + ".";
  layer.block = block;
  MoeMetadata metadata = metadata_;
  const TensorInfo* table = architecture_.token_table ? file_.find_tensor(prefix_ + kTokenTable) : nullptr;
  if (table != nullptr) {
    metadata.token_table_rows = static_cast<uint32_t>(std::min<uint64_t>(table->ne[1], INT32_MAX));
  }
  const LatentNames* latent = architecture_.latent;
  metadata.latent_norm = latent != nullptr && latent->norm != nullptr && metadata.latent > 0 && has(latent->norm);
  layer.desc = architecture_.describe(metadata);
  layer.desc.gate_up_layout = MOE_GATE_UP_SEPARATE;  // unless the file has joined them
  layer.desc.matrix_order = MOE_MATRIX_OUT_IN;
  return norm_has_eps(layer.desc) && no_latent_space_unsaid() && add_router(layer) && add_token_table(layer) &&
         add_routed_experts(layer) && add_shared_experts(layer) && add_latent_space(layer);
}

bool MoeLayerReader::fail(uint64_t offset, std::string field, std::string message) {
  error_ = {offset, std::move(field), std::move(message)};
  return false;
}

bool MoeLayerReader::add(MoeLayer& layer, const char* abi_name, const std::string& suffix, const Shape& shape,
                         size_t dimensions, uint32_t expert_first, uint32_t expert_count) {
  const std::string full = prefix_ + suffix;
  const TensorInfo* tensor = file_.find_tensor(full);
  if (tensor == nullptr) {
    return fail(0, full, "is missing; expected " + shape_text(shape, dimensions));
  }
  if (!std::equal(shape.begin(), shape.end(), tensor->ne)) {
    return fail(tensor->header_offset, full,
                "has ne " + tensor->shape_text() + "; the metadata says " + shape_text(shape, dimensions));
  }
  const std::string refusal = type_refusal(abi_name, tensor->type->id);
  if (layer.refusal.empty() && !refusal.empty()) {
    layer.refusal = full + " is " + tensor->type->name + refusal;
  }
  used_.push_back(tensor);
  layer.tensors.push_back({abi_name, tensor, expert_first, expert_count, dtype_of_type(tensor->type->id)});
  return true;
}

// A vector that the layer has if its descriptor has the flag; where the file may do without, the flag goes.
bool MoeLayerReader::add_flagged(MoeLayer& layer, uint32_t flag, const char* abi_name, const char* suffix,
                                 uint64_t numbers) {
  if ((architecture_.optional_flags & flag) != 0 && !has(suffix)) {
    layer.desc.flags &= ~flag;
  }
  return (layer.desc.flags & flag) == 0 || add(layer, abi_name, suffix, {numbers, 1, 1, 1}, 1);
}

bool MoeLayerReader::add_router(MoeLayer& layer) {
  const uint64_t h = metadata_.hidden;
  const uint64_t e = metadata_.experts;
  return add(layer, "router.weight", "ffn_gate_inp.weight", {h, e, 1, 1}, 2) &&
         add_flagged(layer, MOE_LAYER_ROUTER_BIAS, "router.bias", "ffn_gate_inp.bias", e) &&
         add_flagged(layer, MOE_LAYER_SELECTION_BIAS, "router.selection_bias", "exp_probs_b.bias", e) &&
         add_flagged(layer, MOE_LAYER_ROUTER_INPUT_SCALE, "router.input_scale", "ffn_gate_inp.scale", h) &&
         add_flagged(layer, MOE_LAYER_PER_EXPERT_SCALE, "router.expert_scale", "ffn_down_exps.scale", e);
}

bool MoeLayerReader::add_token_table(MoeLayer& layer) {
  return layer.desc.token_table_rows == 0 ||
         add(layer, "router.token_table", kTokenTable, {metadata_.top_k, layer.desc.token_table_rows, 1, 1}, 2);
}

bool MoeLayerReader::add_routed_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint64_t h = desc.latent != 0 ? desc.latent : desc.hidden;
  const uint64_t f = desc.intermediate;
  if (has("ffn_gate_up_exps.weight")) {  // gate, then up
    desc.gate_up_layout = MOE_GATE_UP_CONCATENATED;
    if (!add_experts(layer, "experts.gate_up", "ffn_gate_up", h, 2 * f, desc.gate_format)) {
      return false;
    }
    desc.up_format = desc.gate_format;
  } else {
    const bool gated = (desc.flags & MOE_LAYER_UNGATED) == 0;
    if ((gated && !add_experts(layer, "experts.gate", "ffn_gate", h, f, desc.gate_format)) ||
        !add_experts(layer, "experts.up", "ffn_up", h, f, desc.up_format)) {
      return false;
    }
  }
  return add_experts(layer, "experts.down", "ffn_down", f, h, desc.down_format);
}

// All experts in one tensor, or a tensor for each (Mixtral files before April 2024); and their biases.
bool MoeLayerReader::add_experts(MoeLayer& layer, const std::string& abi_name, const std::string& stem, uint64_t in,
                                 uint64_t out, moe_weight_format& format) {
  const uint32_t experts = metadata_.experts;
  const bool split = !has(stem + "_exps.weight") && has(stem + ".0.weight");
  const size_t first = layer.tensors.size();
  if (!split && !add(layer, abi_name.c_str(), stem + "_exps.weight", {in, out, experts, 1}, 3, 0, experts)) {
    return false;
  }
  for (uint32_t e = 0; split && e < experts; ++e) {
    if (!add(layer, abi_name.c_str(), stem + "." + std::to_string(e) + ".weight", {in, out, 1, 1}, 2, e, 1)) {
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
  format = format_of_type(head->type->id);
  return (layer.desc.flags & MOE_LAYER_EXPERT_BIAS) == 0 ||
         add(layer, (abi_name + ".bias").c_str(), stem + "_exps.bias", {out, experts, 1, 1}, 2, 0, experts);
}

bool MoeLayerReader::add_matrix(MoeLayer& layer, const char* abi_name, const char* suffix, uint64_t in, uint64_t out,
                                moe_weight_format& format) {
  if (!add(layer, abi_name, suffix, {in, out, 1, 1}, 2)) {
    return false;
  }
  format = format_of_type(layer.tensors.back().tensor->type->id);
  return true;
}

bool MoeLayerReader::norm_has_eps(const moe_layer_desc& desc) {
  const bool norm = (desc.flags & (MOE_LAYER_LATENT_NORM | MOE_LAYER_ROUTER_INPUT_NORM)) != 0;
  return !norm || desc.norm_eps > 0 ||
         fail(0, std::string(architecture_.name) + ".attention.layer_norm_rms_epsilon", "is missing or not above 0");
}

// Without its key the experts would be read at the model's width, and the first complaint would be of their shape.
bool MoeLayerReader::no_latent_space_unsaid() {
  const LatentNames* names = architecture_.latent;
  if (names == nullptr || metadata_.latent > 0 || !has(names->down)) {
    return true;
  }
  return fail(
      file_.find_tensor(prefix_ + names->down)->header_offset, prefix_ + names->down,
      std::string("is there, but ") + architecture_.name + "." + names->key + " says that there is no latent space");
}

bool MoeLayerReader::add_latent_space(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const LatentNames* names = architecture_.latent;
  return desc.latent == 0 ||
         (add_matrix(layer, "latent.down", names->down, desc.hidden, desc.latent, desc.latent_down_format) &&
          ((desc.flags & MOE_LAYER_LATENT_NORM) == 0 ||
           add(layer, "latent.norm", names->norm, {desc.latent, 1, 1, 1}, 1)) &&
          add_matrix(layer, "latent.up", names->up, desc.latent, desc.hidden, desc.latent_up_format));
}

bool MoeLayerReader::add_shared_experts(MoeLayer& layer) {
  moe_layer_desc& desc = layer.desc;
  const uint64_t h = desc.hidden;
  const uint64_t s = desc.shared_intermediate;
  if (s == 0) {
    return true;
  }
  if (desc.gate_up_layout != MOE_GATE_UP_SEPARATE && layer.refusal.empty()) {
    layer.refusal = prefix_ + "ffn_gate_up_exps.weight joins gate and up, but the shared experts have them apart";
  }
  const bool gated = (desc.flags & MOE_LAYER_UNGATED) == 0;
  return (desc.shared_gate != MOE_SHARED_GATE_SIGMOID ||
          add(layer, "shared.router", "ffn_gate_inp_shexp.weight", {h, 1, 1, 1}, 1)) &&
         (!gated || add_matrix(layer, "shared.gate", "ffn_gate_shexp.weight", h, s, desc.shared_gate_format)) &&
         add_matrix(layer, "shared.up", "ffn_up_shexp.weight", h, s, desc.shared_up_format) &&
         add_matrix(layer, "shared.down", "ffn_down_shexp.weight", s, h, desc.shared_down_format);
}

uint32_t dtype_of_type(uint32_t type) {
  return type == kGgmlF16        ? MOE_DTYPE_F16
         : type == kGgmlBf16     ? MOE_DTYPE_BF16
         : type == kGgmlI32      ? MOE_DTYPE_I32
         : is_block_format(type) ? MOE_DTYPE_BLOCKS
                                 : MOE_DTYPE_F32;
}

moe_weight_format format_of_type(uint32_t type) {
  moe_weight_format format = {};
  if (is_plain_float(type)) {
    format.element = type == kGgmlF16 ? MOE_ELEMENT_F16 : type == kGgmlBf16 ? MOE_ELEMENT_BF16 : MOE_ELEMENT_F32;
  } else {
    format.preset = 1 + type;
  }
  return format;
}

bool is_router(const std::string& abi_name) { return abi_name == "router.weight" || abi_name == "shared.router"; }

}  // namespace moevk::model
