// SPDX-License-Identifier: MIT
//
// In:  a GGUF file, its architecture, and a block with a router.
// Out: the block's layer: descriptor, where each weight lies, types that are not handed on; or an error that names the
//      tensor.
// Why: tensor names as llama.cpp's converter writes them. The descriptor's flags say which tensors a layer has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/model/gguf_architectures.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

// What the ABI calls a type of the files: the dtype of a source, and the format of a descriptor's matrix.
uint32_t dtype_of_type(uint32_t type);
moe_weight_format format_of_type(uint32_t type);
// Of tensors that may come in blocks whose format the source names, not the descriptor.
bool is_router(const std::string& abi_name);

// Each step returns false after it has set error_.
class MoeLayerReader {
 public:
  // All must outlive the reader.
  MoeLayerReader(const GgufFile& file, const GgufArchitecture& architecture, const MoeMetadata& metadata)
      : file_(file), architecture_(architecture), metadata_(metadata) {}

  bool read(uint32_t block, MoeLayer& layer);

  const ParseError& error() const { return error_; }                            // Only after false.
  const std::vector<const TensorInfo*>& used_tensors() const { return used_; }  // Of all blocks so far.

 private:
  using Shape = std::array<uint64_t, 4>;  // In ggml's order: ffn_gate_exps is [hidden, ffn, experts].

  bool fail(uint64_t offset, std::string field, std::string message);
  bool has(const std::string& suffix) const { return file_.find_tensor(prefix_ + suffix) != nullptr; }
  bool add(MoeLayer& layer, const char* abi_name, const std::string& suffix, const Shape& shape, size_t dimensions,
           uint32_t expert_first = 0, uint32_t expert_count = 0);
  bool add_flagged(MoeLayer& layer, uint32_t flag, const char* abi_name, const char* suffix, uint64_t numbers);
  bool add_experts(MoeLayer& layer, const std::string& abi_name, const std::string& stem, uint64_t in, uint64_t out,
                   moe_weight_format& format);
  bool add_matrix(MoeLayer& layer, const char* abi_name, const char* suffix, uint64_t in, uint64_t out,
                  moe_weight_format& format);
  bool add_router(MoeLayer& layer);
  bool add_token_table(MoeLayer& layer);
  bool add_routed_experts(MoeLayer& layer);
  bool norm_has_eps(const moe_layer_desc& desc);
  bool no_latent_space_unsaid();
  bool add_latent_space(MoeLayer& layer);
  bool add_shared_experts(MoeLayer& layer);

  const GgufFile& file_;
  const GgufArchitecture& architecture_;
  const MoeMetadata& metadata_;
  std::string prefix_;  // "blk.N."
  std::vector<const TensorInfo*> used_;
  ParseError error_;
};

}  // namespace moevk::model
