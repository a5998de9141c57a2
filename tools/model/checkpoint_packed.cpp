// SPDX-License-Identifier: MIT
//
// In:  a matrix of a GPTQ, AWQ or compressed-tensors checkpoint: integers in words of 32 bits, scales, zero points.
// Out: its tensors as sources of the ABI's M.scale, M.zero and M, in this order.
// Why: a member of CheckpointLayerReader of its own file. Every shape is compared with config.json, so that repacking
//      (tensor_repack.h) cannot leave a tensor.
#include <algorithm>
#include <cstring>

#include "tools/model/checkpoint_layer_reader.h"
#include "tools/model/moe_layer_reader.h"

namespace moevk::model {

bool CheckpointLayerReader::is_packed(const std::string& stem) const {
  if (quantization_.packing == Packing::none) return false;
  const bool compressed = quantization_.packing == Packing::compressed;
  return checkpoint_.find_tensor(stem + (compressed ? ".weight_packed" : ".qweight")) != nullptr;
}

// Sizes that words and groups divide.
bool CheckpointLayerReader::packing_fits(const std::string& stem, uint64_t out, uint64_t in) {
  const uint64_t per = 32 / quantization_.bits, group = quantization_.group;
  const bool along_inputs = quantization_.packing != Packing::awq;
  if (group > 0 && in % group != 0) {
    return fail(stem, "rows of " + std::to_string(in) + " are no multiple of a group of " + std::to_string(group));
  }
  if (along_inputs && in % per != 0) {
    return fail(stem, "rows of " + std::to_string(in) + " do not fill words of " + std::to_string(per));
  }
  if (quantization_.packing != Packing::compressed && out % per != 0) {
    return fail(stem, std::to_string(out) + " outputs do not fill words of " + std::to_string(per));
  }
  // Squares of 8 are turned over.
  if (!along_inputs && in % 8 != 0) return fail(stem, "rows of " + std::to_string(in) + " are no multiple of 8");
  return true;
}

// Groups of neighbouring inputs are what kernels know. Others would permute each expert's inputs differently.
bool CheckpointLayerReader::check_order(MoeLayer& layer, const std::string& name, uint64_t in) {
  if (checkpoint_.find_tensor(name) == nullptr) {
    if (quantization_.act_order && layer.refusal.empty()) {
      layer.refusal = name + " is missing, but desc_act is true: the groups of inputs are not known";
    }
    return true;
  }
  const TensorInfo* tensor = find(name, {in});
  if (tensor == nullptr) return false;
  if (tensor->type->id != kGgmlI32) return fail(name, std::string("is ") + tensor->type->name + ", not i32");
  const std::span<const std::byte> bytes = checkpoint_.tensor_bytes(*tensor);
  for (uint64_t i = 0; i < in && layer.refusal.empty(); ++i) {
    int32_t group = 0;
    std::memcpy(&group, bytes.data() + 4 * i, 4);
    const uint64_t plain = quantization_.group == 0 ? 0 : i / quantization_.group;
    if (group == static_cast<int64_t>(plain)) continue;
    layer.refusal =
        name + " puts input " + std::to_string(i) + " into group " + std::to_string(group) + ", not " +
        std::to_string(plain) +
        ": groups in order of activation (desc_act) would need every expert's inputs in an order of its own";
  }
  return true;
}

bool CheckpointLayerReader::add_words(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                      const Shape& shape, const Repacking& repacking, uint32_t expert_first,
                                      uint32_t expert_count) {
  const TensorInfo* tensor = find(name, shape);
  if (tensor == nullptr) return false;
  if (tensor->type->id != kGgmlI32) {
    return fail(checkpoint_.file_name(*tensor) + ": " + name, std::string("is ") + tensor->type->name + ", not i32");
  }
  layer.tensors.push_back(
      {abi_name, tensor, expert_first, expert_count, MOE_DTYPE_BLOCKS, quantization_.bits, repacking});
  return true;
}

bool CheckpointLayerReader::add_packed_scales(MoeLayer& layer, const std::string& abi_name, const std::string& name,
                                              const Shape& shape, const Repacking& repacking, moe_weight_format& format,
                                              uint32_t expert_first, uint32_t expert_count) {
  const TensorInfo* tensor = find(name, shape);
  if (tensor == nullptr) return false;
  const uint32_t type = tensor->type->id;
  if (!is_plain_float(type) || (type == kGgmlF32 && repacking.order != WordOrder::as_stored)) {
    return fail(checkpoint_.file_name(*tensor) + ": " + name,
                std::string("is ") + tensor->type->name + "; f16 and bf16 are read");
  }
  format.scale = MOE_SCALE_F32 + dtype_of_type(type);
  layer.tensors.push_back({abi_name, tensor, expert_first, expert_count, dtype_of_type(type), 0, repacking});
  return true;
}

bool CheckpointLayerReader::add_packed(MoeLayer& layer, const std::string& abi_name, const std::string& stem,
                                       uint64_t out, uint64_t in, moe_weight_format& format, uint32_t expert_first,
                                       uint32_t expert_count) {
  const CheckpointQuantization& q = quantization_;
  if (!packing_fits(stem, out, in)) return false;
  const uint64_t per = 32 / q.bits, groups = q.group == 0 ? 1 : in / q.group;
  format = {};
  format.element = MOE_ELEMENT_INT;
  format.bits = q.bits;
  format.block_columns = q.group;
  const bool compressed = q.packing == Packing::compressed, awq = q.packing == Packing::awq;
  format.zero_point = compressed && q.symmetric ? MOE_ZERO_POINT_CENTRE : MOE_ZERO_POINT_STORED;

  Repacking codes{WordOrder::as_stored, q.bits, out, in, q.group == 0, q.zeros_less_one, q.symmetric};
  Repacking parts = codes;
  parts.columns = groups;
  const auto with = [](Repacking repacking, WordOrder order) {
    repacking.order = order;
    return repacking;
  };
  const auto scales = [&](const std::string& name, const Shape& shape, WordOrder order) {
    return add_packed_scales(layer, abi_name + ".scale", name, shape, with(parts, order), format, expert_first,
                             expert_count);
  };
  const auto words = [&](const char* suffix, const std::string& name, const Shape& shape, const Repacking& repacking) {
    return add_words(layer, abi_name + suffix, name, shape, repacking, expert_first, expert_count);
  };
  if (compressed) {
    const TensorInfo* shape = find(stem + ".weight_shape", {2});
    if (shape == nullptr || !check_order(layer, stem + ".weight_g_idx", in)) return false;
    int64_t sizes[2] = {0, 0};
    if (shape->bytes != sizeof sizes) return fail(stem + ".weight_shape", "is not i64");
    std::memcpy(sizes, checkpoint_.tensor_bytes(*shape).data(), sizeof sizes);
    if (sizes[0] != static_cast<int64_t>(out) || sizes[1] != static_cast<int64_t>(in)) {
      return fail(stem + ".weight_shape", "says [" + std::to_string(sizes[0]) + ", " + std::to_string(sizes[1]) +
                                              "]; config.json says [" + std::to_string(out) + ", " +
                                              std::to_string(in) + "]");
    }
    return scales(stem + ".weight_scale", {out, groups}, WordOrder::as_stored) &&
           (q.symmetric || words(".zero", stem + ".weight_zero_point", {(out + per - 1) / per, groups},
                                 with(parts, WordOrder::zeros_by_output))) &&
           words("", stem + ".weight_packed", {out, in / per}, codes);
  }
  if (!awq && !check_order(layer, stem + ".g_idx", in)) return false;
  return scales(stem + ".scales", {groups, out}, WordOrder::halves_by_group) &&
         words(".zero", stem + ".qzeros", {groups, out / per},
               with(parts, awq ? WordOrder::awq_zeros : WordOrder::zeros_by_group)) &&
         words("", stem + ".qweight", awq ? Shape{in, out / per} : Shape{in / per, out},
               with(codes, awq ? WordOrder::awq_codes : WordOrder::words_of_inputs));
}

}  // namespace moevk::model
