// SPDX-License-Identifier: MIT
//
// Staging, where it helps a twin on the device, and the commands between them and the weights.
#include "backend/upload_slot.h"

#include <algorithm>

namespace moevk {

Status UploadSlot::open(const UploadPlan& plan, const Pipeline& pack) {
  pack_ = pack;
  alignment_ = plan.alignment;
  MOE_ASSIGN_OR_RETURN(
      staging_, GpuBuffer::create(device_->allocator(), kUploadSlotBytes, GpuBuffer::Use::kStaging, "upload staging"));
  if (plan.twins) {
    MOE_ASSIGN_OR_RETURN(
        twin_, GpuBuffer::create(device_->allocator(), kUploadSlotBytes, GpuBuffer::Use::kTwin, "upload staging"));
  }
  return commands_.open(device_->queue_family());
}

Status UploadSlot::reuse(const Timeline& timeline) {
  if (value_ != 0) MOE_RETURN_IF_ERROR(device_->note(timeline.wait(value_, UINT64_MAX)));
  parts_.clear();
  sets_.reset();
  used_ = 0;
  return {};
}

std::byte* UploadSlot::add(const Part& part) {
  parts_.push_back(part);
  used_ = part.from + part.bytes;
  return staging_.mapped() + part.from;
}

std::byte* UploadSlot::copy(uint64_t bytes, VkBuffer to, uint64_t offset) {
  return add({nullptr, 0, begin(), bytes, to, offset, bytes});
}

std::byte* UploadSlot::pack(const MatrixUpload& upload, uint32_t rows, VkBuffer to, uint64_t offset) {
  const uint64_t bytes = rows * upload.row.host_bytes, written = rows * upload.row.bytes;
  Part* const last = parts_.empty() ? nullptr : &parts_.back();
  if (last != nullptr && last->upload == &upload && last->to == to && last->offset + last->written == offset &&
      rows <= upload.most_rows - last->rows) {  // the rows that follow
    last->rows += rows;
    last->bytes += bytes;
    last->written += written;
    used_ += bytes;
    return staging_.mapped() + used_ - bytes;
  }
  return add({&upload, rows, begin(), bytes, to, offset, written});
}

void UploadSlot::barrier_to_kernels(VkPipelineStageFlags from, VkAccessFlags written) const {
  const VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, written, VK_ACCESS_SHADER_READ_BIT};
  device_->vk().vkCmdPipelineBarrier(commands_.handle(), from, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &memory, 0,
                                     nullptr, 0, nullptr);
}

Status UploadSlot::submit(const Timeline& timeline, uint64_t value) {
  MOE_RETURN_IF_ERROR(staging_.flush(0, kUploadSlotBytes));
  MOE_RETURN_IF_ERROR(commands_.begin());
  record_copies();
  MOE_RETURN_IF_ERROR(record_packing());
  barrier_to_kernels(VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                     VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_SHADER_WRITE_BIT);
  MOE_RETURN_IF_ERROR(commands_.end());
  MOE_RETURN_IF_ERROR(device_->submit(commands_.handle(), timeline, value));
  value_ = value;
  return {};
}

void UploadSlot::record_copies() const {
  for (const Part& part : parts_) {
    if (part.upload != nullptr) continue;
    const VkBufferCopy region{part.from, part.offset, part.bytes};
    device_->vk().vkCmdCopyBuffer(commands_.handle(), staging_.handle(), part.to, 1, &region);
  }
}

UploadSlot::Bound UploadSlot::bind(const Part& part) const {
  const uint64_t from = part.from / alignment_ * alignment_, to = part.offset / alignment_ * alignment_;
  const VkBuffer staging = twin_.handle() != VK_NULL_HANDLE ? twin_.handle() : staging_.handle();
  return {{staging, from, (part.from + part.bytes + 3) / 4 * 4 - from},
          {part.to, to, part.offset + part.written - to},
          pack_rows_dispatch(part.upload->row, part.rows, static_cast<uint32_t>(part.from - from),
                             static_cast<uint32_t>((part.offset - to) / 4))};
}

// No barrier between dispatches: each writes words of its own, though bound ranges, which begin where the device can
// bind, may have some in common.
Status UploadSlot::record_packing() {
  const auto packs = [](const Part& part) { return part.upload != nullptr; };
  if (std::none_of(parts_.begin(), parts_.end(), packs)) return {};
  const DeviceFunctions& vk = device_->vk();
  const VkCommandBuffer commands = commands_.handle();
  constexpr VkPipelineBindPoint kCompute = VK_PIPELINE_BIND_POINT_COMPUTE;
  if (twin_.handle() != VK_NULL_HANDLE) {
    const VkBufferCopy whole{0, 0, std::min((used_ + 15) / 16 * 16, kUploadSlotBytes)};
    vk.vkCmdCopyBuffer(commands, staging_.handle(), twin_.handle(), 1, &whole);
    barrier_to_kernels(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
  }
  vk.vkCmdBindPipeline(commands, kCompute, pack_.handle);
  for (const Part& part : parts_) {
    if (!packs(part)) continue;
    const Bound bound = bind(part);
    SharedState::raise(&device_->state().largest_binding_bytes, std::max(bound.from.range, bound.to.range));
    MOE_ASSIGN_OR_RETURN(const VkDescriptorSet set, sets_.take(2));
    const auto write = [&](uint32_t binding, const VkDescriptorBufferInfo& info) {
      return VkWriteDescriptorSet{VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, nullptr, set,   binding, 0, 1,
                                  VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,      nullptr, &info, nullptr};
    };
    const VkWriteDescriptorSet writes[2] = {write(0, bound.from), write(1, bound.to)};
    if (set == VK_NULL_HANDLE) {
      vk.vkCmdPushDescriptorSetKHR(commands, kCompute, pack_.layout, 0, 2, writes);
    } else {
      vk.vkUpdateDescriptorSets(device_->handle(), 2, writes, 0, nullptr);
      vk.vkCmdBindDescriptorSets(commands, kCompute, pack_.layout, 0, 1, &set, 0, nullptr);
    }
    vk.vkCmdPushConstants(commands, pack_.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, bound.dispatch.push_words * 4,
                          bound.dispatch.push.data());
    vk.vkCmdDispatch(commands, bound.dispatch.grid[0], 1, 1);
  }
  return {};
}

}  // namespace moevk
