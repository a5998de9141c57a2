// SPDX-License-Identifier: MIT
//
// In:  a parsed GGUF file, or a checkpoint of safetensors files.
// Out: its MoE layers as descriptors of the plugin ABI, where each weight lies, and totals.
// Why: one place knows how model families name their tensors. What their routers do is in their presets
//      (tools/model/presets); gguf_architectures.cpp and checkpoint_families.cpp have the families that are read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tools/model/checkpoint.h"
#include "tools/model/gguf.h"
#include "tools/model/tensor_repack.h"

namespace moevk::model {

// One weight tensor of a layer, or one expert's part of it.
struct TensorSource {
  std::string name;                    // The ABI's name: "experts.gate".
  const TensorInfo* tensor = nullptr;  // In the TensorStore, which must outlive this.
  uint32_t expert_first = 0;           // First expert in this tensor.
  uint32_t expert_count = 0;           // How many; 0: the tensor has no expert axis.
  uint32_t dtype = MOE_DTYPE_F32;      // MOE_DTYPE_*; meaningless where the layer has a refusal.
  uint32_t packed_bits = 0;            // Of the integers in a packed checkpoint's words; else 0.
  Repacking repacking = {};            // Where the file has the numbers in another order.
};

struct MoeLayer {
  uint32_t block = 0;        // N of blk.N, or of model.layers.N.
  moe_layer_desc desc = {};  // Complete; precision is exact.
  std::vector<TensorSource> tensors;
  std::string refusal;             // Empty, or which tensor has a type or layout that is not handed on, by name.
  uint64_t parameters = 0;         // Router, experts, shared experts.
  uint64_t active_parameters = 0;  // That one token meets: top_k of the experts, all of the rest.
  uint64_t bytes = 0;              // In the file's types.
  uint64_t bytes_per_token = 0;    // Read for one token by itself.
};

struct TypeTotal {
  const GgmlType* type = nullptr;
  uint64_t tensors = 0;
  uint64_t parameters = 0;
  uint64_t bytes = 0;
};

// Of the whole file, and of its MoE layers alone. Active parameters leave out experts that are not
// chosen and count embeddings in full, as model cards do; bytes per token count one row of the
// embeddings, unless they also serve as the output matrix. Blocks that predict further tokens are resident only.
struct ModelTotals {
  uint64_t parameters = 0;
  uint64_t active_parameters = 0;
  uint64_t bytes = 0;            // Resident: all tensors in the file's types.
  uint64_t bytes_per_token = 0;  // Weights read for one token by itself.
  uint64_t moe_parameters = 0;
  uint64_t moe_active_parameters = 0;
  uint64_t moe_bytes = 0;
  uint64_t moe_bytes_per_token = 0;
  std::vector<TypeTotal> types;  // By bytes, largest first.
};

struct MoeModel {
  std::string architecture;  // general.architecture, or model_type
  std::string name;          // general.name, may be empty
  std::string packing;       // "GPTQ int4 in groups of 128, symmetric"; empty where no integers are packed.
  uint32_t block_count = 0;  // Blocks, those without experts included.
  uint32_t hidden = 0;
  uint32_t experts = 0;
  uint32_t top_k = 0;
  uint32_t intermediate = 0;         // Of one expert.
  uint32_t shared_intermediate = 0;  // 0: no shared expert.
  std::vector<MoeLayer> layers;      // MoE layers only, by block; at least one.
  ModelTotals totals;
};

// The file must outlive the model. An unknown architecture, a file without MoE layers, a part of a
// split file, a missing or wrongly shaped tensor, or a tensor or key that would change the result
// but is not understood: an error that names it. A type that is not handed on is no error here: see
// MoeLayer::refusal.
Result<MoeModel> find_moe_layers(const GgufFile& file);
Result<MoeModel> find_moe_layers(const Checkpoint& checkpoint);

// What add_tensor takes: from the mapping, or by path and offset (only after open). Both
// point into `store` and `source`, which must live through the call to add_tensor. For tensors whose bytes are in the
// ABI's order, which those of a GGUF file always are.
moe_tensor_source memory_source(const TensorStore& store, const TensorSource& source);
moe_tensor_source file_source(const TensorStore& store, const TensorSource& source);
// The same for every tensor: those in another order are repacked into `own`, which must live as long. An error names
// the tensor.
Result<moe_tensor_source> upload_source(const TensorStore& store, const TensorSource& source,
                                        std::vector<std::byte>& own);

}  // namespace moevk::model
