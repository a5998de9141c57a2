// SPDX-License-Identifier: MIT
//
// Weights that already lie in a buffer of the device: whether the kernels can read them there, and as what. What
// does not fit is copied by the upload, or refused where the host said so.
#pragma once

#include "runtime/device.h"

namespace moevk {

// A host's word on where a tensor (all experts, packed as it would be in host memory) lies.
struct TensorBinding {
  std::string tensor;
  std::shared_ptr<Buffer> buffer;
  uint64_t offset_bytes = 0;
  bool may_copy = true;
  bool packed = false;  // rows as the device keeps them (packed_rows.h)

  uint64_t expert_bytes(const TensorSpec& tensor) const;  // from one expert to the next
  uint64_t bytes(const TensorSpec& tensor) const;
};

// Why kernels cannot read `tensor` where it lies; success if they can.
Status check_in_place(const LayerSpec& spec, const TensorSpec& tensor, const TensorBinding& binding,
                      const DeviceCaps& caps);
// The matrices that such a tensor holds; `host_buffer` numbers its buffer.
std::vector<InPlaceMatrix> matrices_in_place(const LayerSpec& spec, const TensorSpec& tensor,
                                             const TensorBinding& binding, uint32_t host_buffer);

}  // namespace moevk
