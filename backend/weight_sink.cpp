// SPDX-License-Identifier: MIT
//
// Uploads rows through a ring of staging slots: one is filled while the device reads the other. Rows are padded with
// zeros on the way, and packed for the kernels where the plan of the upload says: here or on the device. Vectors are
// small and go last, in one piece.
#include "backend/weight_sink.h"

#include <algorithm>
#include <cstring>

#include "backend/upload_slot.h"
#include "backend/vulkan_buffer.h"
#include "backend/vulkan_layer.h"
#include "kernel_table.h"
#include "runtime/codebooks.h"

namespace moevk {
namespace {

class VulkanSink final : public WeightSink {
 public:
  VulkanSink(std::shared_ptr<VulkanDevice> device, LayerSpec spec, WeightLayout layout)
      : device_(std::move(device)),
        spec_(std::move(spec)),
        layout_(std::move(layout)),
        timeline_(device_->vk(), device_->handle()) {}

  ~VulkanSink() override {
    if (submitted_ != 0) (void)timeline_.wait(submitted_, UINT64_MAX);  // copies must not outlive their buffers
  }

  Status open(const InPlaceWeights& in_place) {
    const auto buffer = [&](uint64_t bytes, const char* what) -> Result<GpuBuffer> {
      memory_.bytes += bytes;
      return GpuBuffer::create(device_->allocator(), bytes, GpuBuffer::Use::kPrivate, what);
    };
    for (const Window& window : layout_.windows) {
      VulkanLayer::WeightWindow w;
      w.bytes = window.bytes;
      w.offset = window.offset_bytes;
      if (window.host_buffer != kNumberNone) {
        w.handle = vulkan_buffer(in_place.buffers[window.host_buffer]).handle();
      } else {
        MOE_ASSIGN_OR_RETURN(w.own, buffer(window.bytes, "expert weights"));
        w.handle = w.own.handle();
      }
      memory_.windows.push_back(std::move(w));
    }
    memory_.host_buffers = in_place.buffers;
    memory_.in_place_bytes = in_place.bytes;
    if (device_->caps().buffer_device_address != 0) MOE_RETURN_IF_ERROR(check_addresses());
    MOE_ASSIGN_OR_RETURN(memory_.table, buffer(uint64_t{layout_.table_entries} * 8, "the expert table"));
    MOE_ASSIGN_OR_RETURN(memory_.router, buffer(std::max<uint64_t>(layout_.router_bytes(spec_), 16), "the router"));
    MOE_ASSIGN_OR_RETURN(memory_.aux, buffer(uint64_t{layout_.aux_floats} * 4, "biases"));
    router_.resize(layout_.router_bytes(spec_) / 4);
    aux_.resize(layout_.aux_floats);
    MOE_RETURN_IF_ERROR(timeline_.open());
    MOE_RETURN_IF_ERROR(plan());
    for (UploadSlot& slot : slots_) MOE_RETURN_IF_ERROR(slot.open(plan_, pack_));
    return {};
  }

  Status store_rows(uint32_t segment, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                    const std::byte* source, uint64_t stride) override {
    const MatrixLayout& m = layout_.at(segment, kind);
    const MatrixUpload& upload = plan_.at(segment, kind);
    const PackedRow& row = upload.row;
    const uint64_t staged = upload.staged_row_bytes();
    while (rows != 0) {
      const uint32_t piece = first_row / m.rows_per_piece;
      const uint32_t in_piece = first_row % m.rows_per_piece;
      if (slot().room() < staged) MOE_RETURN_IF_ERROR(next_slot());
      const auto run = static_cast<uint32_t>(
          std::min<uint64_t>({rows, slot().room() / staged, m.rows_per_piece - in_piece, upload.most_rows}));
      const PiecePlace& place = m.places[expert * m.pieces + piece];
      const VkBuffer window = memory_.windows[place.window].handle;
      const uint64_t offset = place.offset_bytes + in_piece * m.row_bytes;
      if (upload.how == RowUpload::kPackedByDevice) {
        std::byte* const to = slot().pack(upload, run, window, offset);
        if (stride == staged) {
          std::memcpy(to, source, run * staged);
        } else {
          for (uint32_t i = 0; i < run; ++i) std::memcpy(to + i * staged, source + i * stride, staged);
        }
      } else {
        std::byte* const to = slot().copy(run * staged, window, offset);
        for (uint32_t i = 0; i < run; ++i) row.pack(source + i * stride, to + i * staged);
      }
      source += run * stride;
      first_row += run;
      rows -= run;
    }
    return {};
  }

  Status store_vector(VectorKind kind, uint64_t first, const float* values, uint64_t count) override {
    if (kind == VectorKind::kRouter) {
      for (uint64_t i = 0; i < count; ++i) {
        router_[(first + i) / spec_.desc.hidden * layout_.router_stride + (first + i) % spec_.desc.hidden] = values[i];
      }
      return {};
    }
    const uint32_t at[kVectorKinds] = {0,
                                       layout_.router_bias,
                                       layout_.selection_bias,
                                       layout_.norm,
                                       layout_.gate_bias,
                                       layout_.up_bias,
                                       layout_.down_bias,
                                       layout_.router_scale,
                                       layout_.expert_scale,
                                       layout_.token_table,
                                       layout_.latent_norm};
    std::copy_n(values, count, aux_.begin() + static_cast<ptrdiff_t>(at[static_cast<size_t>(kind)] + first));
    return {};
  }

  Result<std::shared_ptr<Layer>> finish() override {
    MOE_RETURN_IF_ERROR(upload(memory_.router, router_.data(), router_.size() * 4));
    MOE_RETURN_IF_ERROR(upload(memory_.aux, aux_.data(), aux_.size() * 4));
    const std::vector<uint32_t> table = expert_table();
    MOE_RETURN_IF_ERROR(upload(memory_.table, table.data(), table.size() * 4));
    MOE_RETURN_IF_ERROR(submit_slot());
    MOE_RETURN_IF_ERROR(device_->note(timeline_.wait(submitted_, UINT64_MAX)));
    auto layer = std::make_shared<VulkanLayer>(device_, spec_, layout_, std::move(memory_));
    MOE_RETURN_IF_ERROR(layer->open());
    return std::shared_ptr<Layer>(std::move(layer));
  }

 private:
  UploadSlot& slot() { return slots_[current_]; }

  // Where the device cannot compile the kernel, the host packs.
  Status plan() {
    for (;;) {
      plan_ = plan_upload(spec_, layout_, device_->planning_caps());
      if (!plan_.packs) break;
      Result<Pipeline> pack = device_->pipelines().get(pack_rows_kernel());
      if (pack.ok()) {
        pack_ = pack.value();
        break;
      }
      if (!device_->strike(KernelId::kPackRows, pack.status())) return std::move(pack.status());
    }
    if (device_->state().options().trace_plan) {
      device_->state().log(MOE_LOG_TRACE, upload_text(spec_, plan_));
    }
    return {};
  }

  Status submit_slot() {
    MOE_RETURN_IF_ERROR(slot().submit(timeline_, submitted_ + 1));
    ++submitted_;
    return {};
  }

  Status next_slot() {
    MOE_RETURN_IF_ERROR(submit_slot());
    current_ = (current_ + 1) % kUploadSlots;
    return slot().reuse(timeline_);
  }

  Status upload(const GpuBuffer& to, const void* data, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
      if (slot().room() == 0) MOE_RETURN_IF_ERROR(next_slot());
      const uint64_t part = std::min(bytes - done, slot().room());
      std::memcpy(slot().copy(part, to.handle(), done), static_cast<const std::byte*>(data) + done, part);
      done += part;
    }
    return {};
  }

  uint64_t address(const VulkanLayer::WeightWindow& window) const {
    VkBufferDeviceAddressInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
    info.buffer = window.handle;
    return device_->vk().vkGetBufferDeviceAddress(device_->handle(), &info) + window.offset;
  }

  // Where a host's buffer itself begins is the host's choice.
  Status check_addresses() const {
    for (const VulkanLayer::WeightWindow& window : memory_.windows) {
      if (address(window) % 16 != 0) {
        return unsupported("upload.bindings.buffer", "its device address is no multiple of 16");
      }
    }
    return {};
  }

  std::vector<uint32_t> expert_table() const {
    std::vector<uint32_t> table(size_t{layout_.table_entries} * 2);
    if (layout_.codebook_entries != 0) std::copy(codebook_words().begin(), codebook_words().end(), table.begin());
    const bool addresses = device_->caps().buffer_device_address != 0;
    std::vector<uint64_t> window_address(memory_.windows.size());
    for (size_t i = 0; addresses && i < window_address.size(); ++i) window_address[i] = address(memory_.windows[i]);
    for (uint32_t segment = 0; segment < spec_.weight_segments(); ++segment) {
      for (const MatrixLayout& m : layout_.matrix[segment]) {
        for (size_t i = 0; i < m.places.size(); ++i) {
          const PiecePlace& place = m.places[i];
          uint32_t* entry = &table[(m.first_entry + i) * 2];
          if (addresses) {
            const uint64_t address = window_address[place.window] + place.offset_bytes;
            entry[0] = static_cast<uint32_t>(address);
            entry[1] = static_cast<uint32_t>(address >> 32);
          } else {
            entry[0] = place.pass << 16 | place.bound_index;
            entry[1] = static_cast<uint32_t>(place.offset_bytes / 16);
          }
        }
      }
    }
    return table;
  }

  std::shared_ptr<VulkanDevice> device_;
  LayerSpec spec_;
  WeightLayout layout_;
  VulkanLayer::Memory memory_;
  std::vector<float> router_, aux_;
  Timeline timeline_;
  uint64_t submitted_ = 0;
  UploadPlan plan_;
  Pipeline pack_;  // the kernel pack_rows, where the plan needs it
  UploadSlot slots_[kUploadSlots] = {UploadSlot(device_.get()), UploadSlot(device_.get())};
  uint32_t current_ = 0;
};

}  // namespace

Result<std::unique_ptr<WeightSink>> make_vulkan_sink(std::shared_ptr<VulkanDevice> device, const LayerSpec& spec,
                                                     const InPlaceWeights& in_place) {
  MOE_ASSIGN_OR_RETURN(WeightLayout layout, make_weight_layout(spec, device->caps(), in_place.matrices));
  auto sink = std::make_unique<VulkanSink>(std::move(device), spec, std::move(layout));
  MOE_RETURN_IF_ERROR(sink->open(in_place));
  return std::unique_ptr<WeightSink>(std::move(sink));
}

}  // namespace moevk
