// SPDX-License-Identifier: MIT
//
// The transaction's checks and the cutting of tensors into rows.
#include "runtime/weight_upload.h"

#include <algorithm>
#include <cstring>

#include "kernel_table.h"
#include "runtime/affine_format.h"
#include "runtime/tensor_reader.h"

namespace moevk {
namespace {

bool is_router(const TensorSpec& t) { return t.role == TensorSpec::Role::kVector && t.vector == VectorKind::kRouter; }

constexpr uint64_t kChunkBytes = 4u << 20;  // read at a time from a file or callback

std::string type_name(const TensorSpec& tensor, uint32_t dtype) {
  if (dtype != MOE_DTYPE_BLOCKS || is_plain(tensor.format)) return dtype_name(dtype);
  return (is_affine(tensor.format) ? "blocks (codes) of " : "blocks of ") + format_name(tensor.format);
}

}  // namespace

WeightUpload::WeightUpload(std::shared_ptr<SharedState> state, LayerSpec spec, std::unique_ptr<WeightSink> sink,
                           Progress progress)
    : state_(std::move(state)), spec_(std::move(spec)), sink_(std::move(sink)), progress_(progress), parts_(state_) {
  for (TensorSpec& tensor : list_tensors(spec_)) {
    const uint32_t experts = std::max(tensor.experts, 1u);
    total_bytes_ += tensor.total_bytes();
    tensors_.push_back({std::move(tensor), std::vector<bool>(experts, false)});
  }
}

Result<std::shared_ptr<WeightUpload>> WeightUpload::begin(std::shared_ptr<Device> device,
                                                          std::shared_ptr<SharedState> state, const LayerSpec& spec,
                                                          const std::vector<TensorBinding>& bindings,
                                                          Progress progress) {
  auto upload = std::make_shared<WeightUpload>(std::move(state), spec, nullptr, progress);
  InPlaceWeights in_place;
  std::vector<const TensorBinding*> copied, kept;
  for (const TensorBinding& binding : bindings) {
    MOE_ASSIGN_OR_RETURN(Tensor* const tensor, upload->find_tensor(binding.tensor, "upload.bindings.tensor"));
    MOE_RETURN_IF_ERROR(check_binding(binding, *tensor, device.get()));
    tensor->present.assign(tensor->present.size(), true);  // found again: bound twice
    Status fits = check_in_place(spec, tensor->spec, binding, device->caps());
    if (!fits.ok() && !binding.may_copy) return fits;
    (fits.ok() ? kept : copied).push_back(&binding);
  }
  for (const TensorBinding* binding : kept) {
    MOE_ASSIGN_OR_RETURN(const Tensor* const tensor, upload->find_tensor(binding->tensor, "upload.bindings.tensor"));
    for (const InPlaceMatrix& matrix :
         matrices_in_place(spec, tensor->spec, *binding, static_cast<uint32_t>(in_place.buffers.size()))) {
      in_place.matrices.push_back(matrix);
    }
    in_place.buffers.push_back(binding->buffer);
    in_place.bytes += binding->bytes(tensor->spec);
  }
  Result<std::unique_ptr<WeightSink>> sink = device->begin_weights(spec, in_place);
  const bool may_copy = std::all_of(kept.begin(), kept.end(), [](const TensorBinding* b) { return b->may_copy; });
  if (!sink.ok() && sink.status().code() == MOE_ERROR_UNSUPPORTED && !kept.empty() && may_copy) {
    // What only the device can tell, an odd address of a buffer for one, stands in the way.
    copied.insert(copied.end(), kept.begin(), kept.end());
    in_place = {};
    sink = device->begin_weights(spec, in_place);
  }
  if (!sink.ok()) return std::move(sink.status());
  upload->sink_ = std::move(sink.value());
  upload->done_bytes_ = in_place.bytes;
  for (const TensorBinding* binding : copied) {
    MOE_ASSIGN_OR_RETURN(Tensor* const tensor, upload->find_tensor(binding->tensor, "upload.bindings.tensor"));
    tensor->present.assign(tensor->present.size(), false);
  }
  for (const bool parts : {true, false}) {  // scales and zero points go before their codes
    for (const TensorBinding* binding : copied) {
      MOE_ASSIGN_OR_RETURN(const Tensor* const tensor, upload->find_tensor(binding->tensor, "upload.bindings.tensor"));
      if (tensor->spec.is_part() == parts) MOE_RETURN_IF_ERROR(upload->copy_binding(*binding, tensor->spec));
    }
  }
  return upload;
}

Result<WeightUpload::Tensor*> WeightUpload::find_tensor(const std::string& name, const char* argument) {
  std::string names;
  for (Tensor& t : tensors_) {
    if (t.spec.name == name) return &t;
    names += (names.empty() ? "" : ", ") + t.spec.name;
  }
  return invalid(argument, "\"" + name + "\" is no tensor of this layer; it has " + names);
}

Status WeightUpload::check_binding(const TensorBinding& binding, const Tensor& tensor, const Device* device) {
  const uint64_t bytes = binding.bytes(tensor.spec);
  if (tensor.present[0]) return invalid("upload.bindings.tensor", binding.tensor + " is bound twice");
  if (binding.buffer->device() != device) {
    return invalid("upload.bindings.buffer", "belongs to another device than the layer");
  }
  const uint64_t size = binding.buffer->bytes();
  if (binding.offset_bytes > size || bytes > size - binding.offset_bytes) {
    return invalid("upload.bindings.offset_bytes", binding.tensor + " takes " + std::to_string(bytes) + " bytes from " +
                                                       std::to_string(binding.offset_bytes) + " on; the buffer has " +
                                                       std::to_string(size));
  }
  return {};
}

namespace {

struct BufferSource {
  const TensorBinding* binding;
  Status status;
};

int32_t MOE_CALL read_binding(void* user, uint64_t offset, void* destination, uint64_t bytes) {
  auto* source = static_cast<BufferSource*>(user);
  source->status = source->binding->buffer->read(source->binding->offset_bytes + offset, destination, bytes);
  return source->status.ok() ? 0 : source->status.code();
}

}  // namespace

Status WeightUpload::copy_binding(const TensorBinding& binding, const TensorSpec& tensor) {
  BufferSource from{&binding, {}};
  moe_tensor_source source = moe_init<moe_tensor_source>();
  source.name = tensor.name.c_str();
  source.source = MOE_SOURCE_CALLBACK;
  source.dtype = tensor.dtype;
  source.bytes = tensor.total_bytes();
  source.read = read_binding;
  source.user = &from;
  Status status = add_tensor(source);
  return from.status.ok() ? std::move(status) : std::move(from.status);
}

Status WeightUpload::add_tensor(const moe_tensor_source& source) {
  if (stopped_) return {MOE_ERROR_STATE, "upload", "was stopped or failed half-way; only cancel_weights is left"};
  if (committed_) return {MOE_ERROR_STATE, "upload", "is committed"};
  if (source.name == nullptr) return invalid("source.name", "is NULL");
  MOE_ASSIGN_OR_RETURN(Tensor* const found, find_tensor(source.name, "source.name"));
  const bool router_blocks = source.dtype == MOE_DTYPE_BLOCKS && is_router(found->spec);
  const moe_weight_format none{};
  if (!router_blocks && std::memcmp(&source.format, &none, sizeof none) != 0) {
    return invalid("source.format", "is set, but is only of a router in blocks");
  }
  TensorSpec tensor = found->spec;
  if (router_blocks) {
    MOE_ASSIGN_OR_RETURN(tensor.format, weight_format(source.format, "source.format"));
    if (is_plain(tensor.format) || is_affine(tensor.format)) return invalid("source.format", "names no block format");
    if (tensor.columns % block_elements(tensor.format) != 0) {
      return invalid("source.format", format_name(tensor.format) + " has blocks of " +
                                          std::to_string(block_elements(tensor.format)) + " weights; a row of " +
                                          std::to_string(tensor.columns) + " is no multiple of that");
    }
  }
  const bool described = tensor.is_matrix() || tensor.is_part();
  const bool fixed = described || tensor.dtype == MOE_DTYPE_I32;
  if ((source.dtype > MOE_DTYPE_BF16 && !fixed && !router_blocks) || (fixed && source.dtype != tensor.dtype)) {
    return invalid("source.dtype",
                   tensor.name + " is " + dtype_name(source.dtype) + "; " +
                       (described ? std::string("the descriptor says ") + type_name(tensor, tensor.dtype)
                        : fixed   ? "i32 is needed"
                                  : "f32, f16 or bf16 is needed"));
  }
  const uint32_t all = static_cast<uint32_t>(found->present.size());
  uint32_t first = 0, count = 1;
  if (tensor.experts != 0) {
    first = source.expert_first;
    if (first >= all) {
      return invalid("source.expert_first",
                     tensor.name + " has " + std::to_string(all) + " experts, none at " + std::to_string(first));
    }
    count = source.expert_count != 0 ? source.expert_count : all - first;
    if (count > all - first) {
      return invalid("source.expert_count", tensor.name + " has " + std::to_string(all) + " experts; " +
                                                std::to_string(first) + " + " + std::to_string(count) + " is beyond");
    }
  }
  for (uint32_t e = first; e < first + count; ++e) {
    if (found->present[e]) {
      return invalid("source.expert_first",
                     tensor.name + (tensor.experts != 0 ? " of expert " + std::to_string(e) : std::string()) +
                         " has been added before");
    }
  }
  const uint64_t expert_bytes = tensor.bytes_per_expert(source.dtype);
  if (source.bytes != count * expert_bytes) {
    return invalid("source.bytes", tensor.name + ": " + std::to_string(source.bytes) + " bytes given, " +
                                       std::to_string(count * expert_bytes) + " needed (" + std::to_string(count) +
                                       " x " + std::to_string(tensor.rows) + " x " + std::to_string(tensor.columns) +
                                       " " + type_name(tensor, source.dtype) + ")");
  }
  if (source.source > MOE_SOURCE_CALLBACK) return invalid("source.source", "is no MOE_SOURCE_* value");
  if (source.source == MOE_SOURCE_MEMORY && source.memory == nullptr) return invalid("source.memory", "is NULL");
  if (source.source == MOE_SOURCE_FILE && source.path == nullptr) return invalid("source.path", "is NULL");
  if (source.source == MOE_SOURCE_CALLBACK && source.read == nullptr) return invalid("source.read", "is NULL");

  TensorReader reader(source, state_);
  MOE_RETURN_IF_ERROR(reader.open());
  Tensor actual = {tensor, {}};
  actual.spec.dtype = source.dtype;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t stored_before = stored_;
    Status status = tensor.is_part()      ? hold_part(actual, first + i, reader, i * expert_bytes)
                    : !tensor.is_matrix() ? store_vector(actual, first + i, reader, i * expert_bytes)
                    : tensor.transposed   ? store_transposed(actual, first + i, reader, i * expert_bytes)
                                          : store_matrix(actual, first + i, reader, i * expert_bytes);
    if (!status.ok()) {
      // Experts that came whole stay, and one of which nothing came may be sent again. Of one that came in part,
      // copies may be on their way: sent again they would race.
      stopped_ = stopped_ || stored_ != stored_before;
      return status;
    }
    found->present[first + i] = true;
  }
  return {};
}

Status WeightUpload::hold_part(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset) {
  const uint64_t bytes = tensor.spec.bytes_per_expert(tensor.spec.dtype);
  MOE_ASSIGN_OR_RETURN(const std::byte* data, reader.bytes(offset, bytes));
  MOE_RETURN_IF_ERROR(parts_.hold(tensor.spec, expert, data));
  return report(bytes);
}

Status WeightUpload::store_matrix(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset) {
  const TensorSpec& t = tensor.spec;
  const uint64_t row = t.bytes_per_row(t.dtype);
  const bool affine = is_affine(t.format);
  if (affine) MOE_RETURN_IF_ERROR(parts_.check_held(t, expert));
  uint32_t at_a_time = static_cast<uint32_t>(std::clamp<uint64_t>(kChunkBytes / row, 1, t.rows));
  if (t.role == TensorSpec::Role::kGateUpMatrix) at_a_time += at_a_time % 2;  // keep interleaved pairs together
  for (uint32_t first = 0; first < t.rows; first += at_a_time) {
    const uint32_t rows = std::min(at_a_time, t.rows - first);
    MOE_ASSIGN_OR_RETURN(const std::byte* data, reader.bytes(offset + first * row, rows * row));
    if (affine) {
      MOE_ASSIGN_OR_RETURN(data, parts_.assemble(t, expert, first, rows, data));
    }
    MOE_RETURN_IF_ERROR(store_host_rows(t, expert, first, rows, data, affine ? row_bytes(t.format, t.columns) : row));
    MOE_RETURN_IF_ERROR(report(rows * row));
  }
  if (affine) parts_.release(t, expert);
  return {};
}

Status WeightUpload::store_transposed(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset) {
  const TensorSpec& t = tensor.spec;
  const uint64_t bytes = t.bytes_per_expert(t.dtype);  // a plain format: blocks are never transposed
  MOE_ASSIGN_OR_RETURN(const std::byte* data, reader.bytes(offset, bytes));
  MOE_ASSIGN_OR_RETURN(HostMemory turned, HostMemory::allocate(state_, bytes));
  const auto turn = [&](auto element) {
    using Element = decltype(element);
    constexpr uint32_t kBlock = 32;  // both sides stay within a few cache lines
    for (uint32_t r0 = 0; r0 < t.rows; r0 += kBlock) {
      for (uint32_t c = 0; c < t.columns; ++c) {
        for (uint32_t r = r0; r < std::min(r0 + kBlock, t.rows); ++r) {
          std::memcpy(turned.data() + (uint64_t{c} * t.rows + r) * sizeof(Element),
                      data + (uint64_t{r} * t.columns + c) * sizeof(Element), sizeof(Element));
        }
      }
    }
  };
  if (dtype_bytes(t.dtype) == 4) {
    turn(uint32_t{});
  } else {
    turn(uint16_t{});
  }
  TensorSpec host = t;
  std::swap(host.rows, host.columns);
  MOE_RETURN_IF_ERROR(
      store_host_rows(host, expert, 0, host.rows, turned.data(), uint64_t{host.columns} * dtype_bytes(t.dtype)));
  return report(bytes);
}

// Rows of [out, in] order as the host lays gate and up together -> rows of the device's matrices.
Status WeightUpload::store_host_rows(const TensorSpec& t, uint32_t expert, uint32_t first_row, uint32_t rows,
                                     const std::byte* data, uint64_t stride) {
  if (t.role == TensorSpec::Role::kMatrix) return store_rows(t, t.matrix, expert, first_row, rows, data, stride);
  if (spec_.desc.gate_up_layout == MOE_GATE_UP_INTERLEAVED) {  // first_row is even
    MOE_RETURN_IF_ERROR(store_rows(t, MatrixKind::kGate, expert, first_row / 2, (rows + 1) / 2, data, 2 * stride));
    return store_rows(t, MatrixKind::kUp, expert, first_row / 2, rows / 2, data + stride, 2 * stride);
  }
  const bool up_first = spec_.desc.gate_up_layout == MOE_GATE_UP_CONCATENATED_UP_FIRST;
  const MatrixKind kinds[2] = {up_first ? MatrixKind::kUp : MatrixKind::kGate,
                               up_first ? MatrixKind::kGate : MatrixKind::kUp};
  const uint32_t width = t.rows / 2;
  const uint32_t in_first = first_row < width ? std::min(rows, width - first_row) : 0;
  if (in_first != 0) MOE_RETURN_IF_ERROR(store_rows(t, kinds[0], expert, first_row, in_first, data, stride));
  if (in_first == rows) return {};
  return store_rows(t, kinds[1], expert, first_row + in_first - width, rows - in_first, data + in_first * stride,
                    stride);
}

// Shared experts that join the routed ones are cut: rows of gate and up, columns of down.
Status WeightUpload::store_rows(const TensorSpec& t, MatrixKind kind, uint32_t expert, uint32_t first_row,
                                uint32_t rows, const std::byte* data, uint64_t stride) {
  if (rows == 0) return {};
  ++stored_;
  if (!t.shared || t.segment != 0) return sink_->store_rows(t.segment, kind, expert, first_row, rows, data, stride);
  const uint32_t width = spec_.desc.intermediate;
  const uint32_t experts = spec_.desc.experts;
  if (kind == MatrixKind::kDown) {
    for (uint32_t part = 0; part < spec_.shared_slots; ++part) {
      const uint64_t skip = part * row_bytes(t.format, width);
      MOE_RETURN_IF_ERROR(sink_->store_rows(0, kind, experts + part, first_row, rows, data + skip, stride));
    }
    return {};
  }
  while (rows != 0) {
    const uint32_t part = first_row / width;
    const uint32_t run = std::min(rows, (part + 1) * width - first_row);
    MOE_RETURN_IF_ERROR(sink_->store_rows(0, kind, experts + part, first_row % width, run, data, stride));
    first_row += run;
    rows -= run;
    data += run * stride;
  }
  return {};
}

Status WeightUpload::store_vector(const Tensor& tensor, uint32_t expert, TensorReader& reader, uint64_t offset) {
  const TensorSpec& t = tensor.spec;
  if (t.vector == VectorKind::kTokenTable) return store_token_table(t, reader, offset);
  const uint64_t row = t.bytes_per_row(t.dtype);
  MOE_ASSIGN_OR_RETURN(const std::byte* data, reader.bytes(offset, row));
  ++stored_;
  std::vector<float> values(t.columns);
  decode_row(t.dtype == MOE_DTYPE_BLOCKS ? t.format : static_cast<WeightFormat>(t.dtype), data, t.columns,
             values.data());
  if (t.role == TensorSpec::Role::kGateUpVector) {
    const uint32_t width = t.columns / 2;
    std::vector<float> gate(width), up(width);
    for (uint32_t i = 0; i < width; ++i) {
      const bool interleaved = spec_.desc.gate_up_layout == MOE_GATE_UP_INTERLEAVED;
      const bool up_first = spec_.desc.gate_up_layout == MOE_GATE_UP_CONCATENATED_UP_FIRST;
      const float a = values[interleaved ? 2 * i : i];
      const float b = values[interleaved ? 2 * i + 1 : width + i];
      gate[i] = up_first ? b : a;
      up[i] = up_first ? a : b;
    }
    MOE_RETURN_IF_ERROR(sink_->store_vector(VectorKind::kGateBias, uint64_t{expert} * width, gate.data(), width));
    MOE_RETURN_IF_ERROR(sink_->store_vector(VectorKind::kUpBias, uint64_t{expert} * width, up.data(), width));
  } else {
    MOE_RETURN_IF_ERROR(
        sink_->store_vector(t.vector, t.vector_first + uint64_t{expert} * t.columns, values.data(), t.columns));
  }
  return report(uint64_t{t.columns} * dtype_bytes(MOE_DTYPE_F32));  // as counted in total_bytes_
}

// Ids become numbers, and those of no expert -1, so that kernels need not doubt them.
Status WeightUpload::store_token_table(const TensorSpec& t, TensorReader& reader, uint64_t offset) {
  const auto candidates = static_cast<int32_t>(spec_.candidates());
  const uint64_t row = uint64_t{t.columns} * 4;
  const auto at_a_time = static_cast<uint32_t>(std::clamp<uint64_t>(kChunkBytes / row, 1, t.rows));
  for (uint32_t first = 0; first < t.rows; first += at_a_time) {
    const uint64_t count = uint64_t{std::min(at_a_time, t.rows - first)} * t.columns;
    MOE_ASSIGN_OR_RETURN(const std::byte* data, reader.bytes(offset + first * row, count * 4));
    ++stored_;
    std::vector<float> values(count);
    for (uint64_t i = 0; i < count; ++i) {
      int32_t id = -1;
      std::memcpy(&id, data + i * 4, 4);
      values[i] = id >= 0 && id < candidates ? static_cast<float>(id) : -1.0f;
    }
    MOE_RETURN_IF_ERROR(sink_->store_vector(t.vector, uint64_t{first} * t.columns, values.data(), count));
    MOE_RETURN_IF_ERROR(report(count * 4));
  }
  return {};
}

Status WeightUpload::report(uint64_t bytes) {
  done_bytes_ += bytes;
  if (progress_.report == nullptr ||
      progress_.report(progress_.user, std::min(done_bytes_, total_bytes_), total_bytes_) == 0) {
    return {};
  }
  stopped_ = true;
  return {MOE_ERROR_CANCELLED, "upload.progress", "asked to stop"};
}

Result<std::shared_ptr<Layer>> WeightUpload::commit() {
  if (stopped_ || committed_) return Status(MOE_ERROR_STATE, "upload", "was stopped; only cancel_weights is left");
  for (const Tensor& tensor : tensors_) {
    const auto missing = std::find(tensor.present.begin(), tensor.present.end(), false);
    if (missing == tensor.present.end()) continue;
    const std::string expert = std::to_string(missing - tensor.present.begin());
    return Status(MOE_ERROR_STATE, tensor.spec.name,
                  "tensor " + tensor.spec.name + (tensor.spec.experts != 0 ? " of expert " + expert : std::string()) +
                      " is missing");
  }
  MOE_RETURN_IF_ERROR(report(0));
  committed_ = true;  // whatever becomes of it, the sink finishes once
  return sink_->finish();
}

}  // namespace moevk
