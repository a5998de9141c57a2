// SPDX-License-Identifier: MIT
//
// A weight transaction: checks each tensor against the catalogue, keeps count of what has come, and cuts the
// host's layouts (concatenated, interleaved, transposed) into rows for the device's sink. Nothing is held of the
// host's memory or files after add_tensor returns.
#pragma once

#include <memory>
#include <vector>

#include "runtime/affine_parts.h"
#include "runtime/in_place.h"

namespace moevk {

class TensorReader;

class WeightUpload {
 public:
  // The host's callback, or none. Not 0 asks for a stop.
  struct Progress {
    void* user = nullptr;
    int32_t(MOE_CALL* report)(void* user, uint64_t done_bytes, uint64_t total_bytes) = nullptr;
  };

  // Tensors that `bindings` name are there when it returns: in place, or copied.
  static Result<std::shared_ptr<WeightUpload>> begin(std::shared_ptr<Device> device, std::shared_ptr<SharedState> state,
                                                     const LayerSpec& spec, const std::vector<TensorBinding>& bindings,
                                                     Progress progress);

  WeightUpload(std::shared_ptr<SharedState> state, LayerSpec spec, std::unique_ptr<WeightSink> sink, Progress progress);

  Status add_tensor(const moe_tensor_source& source);
  // Missing tensors are named; the transaction then stays open.
  Result<std::shared_ptr<Layer>> commit();

 private:
  struct Tensor {
    TensorSpec spec;
    std::vector<bool> present;  // per expert, or one entry
  };

  Result<Tensor*> find_tensor(const std::string& name, const char* argument);
  static Status check_binding(const TensorBinding& binding, const Tensor& tensor, const Device* device);
  Status copy_binding(const TensorBinding& binding, const TensorSpec& tensor);
  Status hold_part(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset);
  Status store_matrix(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset);
  Status store_transposed(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset);
  Status store_host_rows(const TensorSpec& tensor, uint32_t expert, uint32_t first_row, uint32_t rows,
                         const std::byte* data, uint64_t stride);
  Status store_rows(const TensorSpec& tensor, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                    const std::byte* data, uint64_t stride);
  Status store_token_table(const TensorSpec& table, TensorReader& reader, uint64_t offset);
  Status store_vector(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset);
  Status report(uint64_t bytes);

  std::shared_ptr<SharedState> state_;
  LayerSpec spec_;
  std::unique_ptr<WeightSink> sink_;
  Progress progress_;
  std::vector<Tensor> tensors_;
  AffineParts parts_;
  uint64_t stored_ = 0;  // pieces handed to the sink
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
  bool stopped_ = false;  // cancelled, or failed half-way through a tensor
  bool committed_ = false;
};

}  // namespace moevk
