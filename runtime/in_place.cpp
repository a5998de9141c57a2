// SPDX-License-Identifier: MIT
//
// The conditions for weights to stay where they are: rows that end on a whole pad, 16-byte starts, [out, in] order.
#include "runtime/in_place.h"

#include <algorithm>

#include "runtime/affine_format.h"
#include "runtime/packed_rows.h"

namespace moevk {

uint64_t TensorBinding::expert_bytes(const TensorSpec& tensor) const {
  if (!packed || !tensor.is_matrix() || is_affine(tensor.format)) return tensor.bytes_per_expert(tensor.dtype);
  return tensor.rows * packed_row(tensor.format, tensor.columns).bytes;
}

uint64_t TensorBinding::bytes(const TensorSpec& tensor) const {
  return std::max(tensor.experts, 1u) * expert_bytes(tensor);
}

Status check_in_place(const LayerSpec& spec, const TensorSpec& tensor, const TensorBinding& binding,
                      const DeviceCaps& caps) {
  const auto no = [&](const std::string& why) {
    return unsupported("upload.bindings", tensor.name + " cannot be used where it lies: " + why);
  };
  if (!binding.buffer->place().in_vulkan) return no("the reference keeps weights of its own");
  if (!tensor.is_matrix()) return no("only the experts' matrices can, not the router or vectors");
  if (tensor.transposed) return no("its order is [in, out], kernels read [out, in]");
  if (tensor.role == TensorSpec::Role::kGateUpMatrix && spec.desc.gate_up_layout == MOE_GATE_UP_INTERLEAVED) {
    return no("gate and up are interleaved");
  }
  if (tensor.shared && spec.segments == 1) return no("shared experts join the routed ones here");
  if (is_affine(tensor.format) || (!is_plain(tensor.format) && !binding.packed)) {
    return no((is_affine(tensor.format) ? "weights of " : "blocks of ") + format_name(tensor.format) +
              " are packed for the kernels");
  }
  if (tensor.columns % kNumberPadColumns != 0 && !binding.packed) {
    return no("a row has " + std::to_string(tensor.columns) + " columns, no multiple of " +
              std::to_string(kNumberPadColumns));
  }
  const BufferPlace place = binding.buffer->place();
  if ((place.offset_bytes + binding.offset_bytes) % 16 != 0) return no("it does not begin at a multiple of 16 bytes");
  if (caps.buffer_device_address != 0 && !place.has_address) {
    return no("its buffer was created without SHADER_DEVICE_ADDRESS usage");
  }
  return {};
}

std::vector<InPlaceMatrix> matrices_in_place(const LayerSpec& spec, const TensorSpec& tensor,
                                             const TensorBinding& binding, uint32_t host_buffer) {
  InPlaceMatrix matrix;
  matrix.segment = tensor.segment;
  matrix.kind = tensor.matrix;
  matrix.experts = std::max(tensor.experts, 1u);
  matrix.host_buffer = host_buffer;
  matrix.offset_bytes = binding.buffer->place().offset_bytes + binding.offset_bytes;
  matrix.expert_bytes = binding.expert_bytes(tensor);
  if (tensor.role == TensorSpec::Role::kMatrix) return {matrix};
  InPlaceMatrix second = matrix;
  second.offset_bytes += matrix.expert_bytes / 2;
  const bool up_first = spec.desc.gate_up_layout == MOE_GATE_UP_CONCATENATED_UP_FIRST;
  matrix.kind = up_first ? MatrixKind::kUp : MatrixKind::kGate;
  second.kind = up_first ? MatrixKind::kGate : MatrixKind::kUp;
  return {matrix, second};
}

}  // namespace moevk
