// SPDX-License-Identifier: MIT
//
// Uploads rows through a ring of staging slots: one is filled while the other is copied. Rows are packed for the
// kernels and padded with zeros on the way. Vectors are small and go last, in one piece.
#include "backend/weight_sink.h"

#include <algorithm>
#include <cstring>

#include "backend/vulkan_buffer.h"
#include "backend/vulkan_layer.h"
#include "kernel_table.h"
#include "runtime/codebooks.h"
#include "runtime/packed_rows.h"

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
    for (Slot& slot : slots_) {
      MOE_ASSIGN_OR_RETURN(slot.staging, GpuBuffer::create(device_->allocator(), kUploadSlotBytes,
                                                           GpuBuffer::Use::kStaging, "upload staging"));
      slot.commands = std::make_unique<CommandBuffer>(device_->vk(), device_->handle());
      MOE_RETURN_IF_ERROR(slot.commands->open(device_->queue_family()));
    }
    return begin_slot();
  }

  Status store_rows(uint32_t segment, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                    const std::byte* source, uint64_t stride) override {
    const MatrixLayout& m = layout_.at(segment, kind);
    const PackedRow row = packed_row(m.format, m.columns);
    while (rows != 0) {
      const uint32_t piece = first_row / m.rows_per_piece;
      const uint32_t in_piece = first_row % m.rows_per_piece;
      Slot* slot = &slots_[current_];
      if (kUploadSlotBytes - slot->used < m.row_bytes) {
        MOE_RETURN_IF_ERROR(next_slot());
        slot = &slots_[current_];
      }
      const uint64_t room = (kUploadSlotBytes - slot->used) / m.row_bytes;
      const auto run = static_cast<uint32_t>(std::min<uint64_t>({rows, room, m.rows_per_piece - in_piece}));
      std::byte* to = slot->staging.mapped() + slot->used;
      for (uint32_t i = 0; i < run; ++i) row.pack(source + i * stride, to + i * m.row_bytes);
      const PiecePlace& place = m.places[expert * m.pieces + piece];
      copy(memory_.windows[place.window].handle, place.offset_bytes + in_piece * m.row_bytes, run * m.row_bytes);
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
  struct Slot {
    GpuBuffer staging;
    std::unique_ptr<CommandBuffer> commands;
    uint64_t used = 0;
    uint64_t value = 0;  // of the submit that reads it
  };

  Status begin_slot() {
    Slot& slot = slots_[current_];
    if (slot.value != 0) MOE_RETURN_IF_ERROR(device_->note(timeline_.wait(slot.value, UINT64_MAX)));
    slot.used = 0;
    return slot.commands->begin();
  }

  Status submit_slot() {
    Slot& slot = slots_[current_];
    MOE_RETURN_IF_ERROR(slot.staging.flush(0, kUploadSlotBytes));
    // Later submissions of the queue see the weights.
    const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT,
                                  VK_ACCESS_SHADER_READ_BIT};
    device_->vk().vkCmdPipelineBarrier(slot.commands->handle(), VK_PIPELINE_STAGE_TRANSFER_BIT,
                                       VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
    MOE_RETURN_IF_ERROR(slot.commands->end());
    MOE_RETURN_IF_ERROR(device_->submit(slot.commands->handle(), timeline_, submitted_ + 1));
    slot.value = ++submitted_;
    return {};
  }

  Status next_slot() {
    MOE_RETURN_IF_ERROR(submit_slot());
    current_ = (current_ + 1) % kUploadSlots;
    return begin_slot();
  }

  void copy(VkBuffer to, uint64_t offset, uint64_t bytes) {
    Slot& slot = slots_[current_];
    const VkBufferCopy region{slot.used, offset, bytes};
    device_->vk().vkCmdCopyBuffer(slot.commands->handle(), slot.staging.handle(), to, 1, &region);
    slot.used += (bytes + 15) / 16 * 16;
  }

  Status upload(const GpuBuffer& to, const void* data, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
      if (slots_[current_].used >= kUploadSlotBytes) MOE_RETURN_IF_ERROR(next_slot());
      Slot& slot = slots_[current_];
      const uint64_t part = std::min(bytes - done, kUploadSlotBytes - slot.used);
      std::memcpy(slot.staging.mapped() + slot.used, static_cast<const std::byte*>(data) + done, part);
      copy(to.handle(), done, part);
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
  Slot slots_[kUploadSlots];
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
