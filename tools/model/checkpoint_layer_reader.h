// SPDX-License-Identifier: MIT
//
// In:  a checkpoint, its family, and a block with a router.
// Out: the block's layer: descriptor, where each weight lies, types that are not handed on; or an error that names file
//      and tensor.
// Why: experts come as tensors of their own, by the thousand; the ABI takes each as a range of one expert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/model/checkpoint_families.h"
#include "tools/model/checkpoint_quantization.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

// Each step returns false after it has set error_.
class CheckpointLayerReader {
 public:
  // All must outlive the reader. `desc` is what config.json says of every MoE layer.
  CheckpointLayerReader(const Checkpoint& checkpoint, const CheckpointFamily& family, const moe_layer_desc& desc,
                        const CheckpointQuantization& quantization)
      : checkpoint_(checkpoint), family_(family), desc_(desc), quantization_(quantization) {}

  // "model.layers.N.mlp."
  std::string prefix(uint32_t block) const;
  bool read(uint32_t block, MoeLayer& layer);

  const ParseError& error() const { return error_; }                            // Only after false.
  const std::vector<const TensorInfo*>& used_tensors() const { return used_; }  // Of all blocks so far.

 private:
  using Shape = std::vector<uint64_t>;  // row-major: [experts, out, in]

  bool fail(std::string field, std::string message);
  const TensorInfo* find(const std::string& name, const Shape& shape);
  bool add(MoeLayer& layer, const std::string& abi_name, const std::string& name, const Shape& shape,
           uint32_t expert_first = 0, uint32_t expert_count = 0);
  bool add_matrix(MoeLayer& layer, const std::string& abi_name, const std::string& name, uint64_t out, uint64_t in,
                  moe_weight_format& format, uint32_t expert_first = 0, uint32_t expert_count = 0);
  bool add_bytes(MoeLayer& layer, const std::string& abi_name, const std::string& name, const Shape& shape,
                 uint32_t expert_first, uint32_t expert_count);
  bool add_fp8(MoeLayer& layer, const std::string& abi_name, const TensorInfo& tensor, uint64_t out, uint64_t in,
               moe_weight_format& format, uint32_t expert_first, uint32_t expert_count);
  // In checkpoint_packed.cpp. `stem` is the name without ".weight".
  bool is_packed(const std::string& stem) const;
  bool add_packed(MoeLayer& layer, const std::string& abi_name, const std::string& stem, uint64_t out, uint64_t in,
                  moe_weight_format& format, uint32_t expert_first, uint32_t expert_count);
  bool packing_fits(const std::string& stem, uint64_t out, uint64_t in);
  bool check_order(MoeLayer& layer, const std::string& name, uint64_t in);
  bool add_words(MoeLayer& layer, const std::string& abi_name, const std::string& name, const Shape& shape,
                 const Repacking& repacking, uint32_t expert_first, uint32_t expert_count);
  bool add_packed_scales(MoeLayer& layer, const std::string& abi_name, const std::string& name, const Shape& shape,
                         const Repacking& repacking, moe_weight_format& format, uint32_t expert_first,
                         uint32_t expert_count);
  bool add_vector(MoeLayer& layer, const char* abi_name, const std::string& name, uint64_t numbers);
  bool add_router(MoeLayer& layer);
  bool add_each(MoeLayer& layer, const char* abi_name, const char* name, uint64_t out, uint64_t in,
                moe_weight_format& format);
  bool add_linear_experts(MoeLayer& layer);
  bool add_interleaved_experts(MoeLayer& layer);
  bool add_mxfp4(MoeLayer& layer, const std::string& abi_name, const std::string& name, uint64_t out, uint64_t in,
                 moe_weight_format& format);
  bool add_routed_experts(MoeLayer& layer);
  bool add_shared_experts(MoeLayer& layer);

  const Checkpoint& checkpoint_;
  const CheckpointFamily& family_;
  const moe_layer_desc& desc_;
  const CheckpointQuantization& quantization_;
  std::string block_;   // "model.layers.N."
  std::string prefix_;  // with the part
  std::vector<const TensorInfo*> used_;
  ParseError error_;
};

}  // namespace moevk::model
