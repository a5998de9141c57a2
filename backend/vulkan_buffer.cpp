// SPDX-License-Identifier: MIT
//
// Synchronous copies between a host and a buffer, a piece at a time where memory is not mapped.
#include "backend/vulkan_buffer.h"

#include <algorithm>
#include <cstring>

namespace moevk {
namespace {

constexpr uint64_t kCopyBytes = 16u << 20;

}  // namespace

Status VulkanBuffer::write(uint64_t offset, const void* source, uint64_t bytes) {
  if (bytes == 0) return {};
  VulkanDevice& device = vulkan();
  MOE_RETURN_IF_ERROR(device.check_lost());
  if (memory_.mapped() != nullptr) {
    MOE_RETURN_IF_ERROR(memory_.invalidate(offset, bytes));  // a flush writes whole cache lines, neighbours included
    std::memcpy(memory_.mapped() + offset, source, bytes);
    return memory_.flush(offset, bytes);
  }
  MOE_ASSIGN_OR_RETURN(GpuBuffer staging, GpuBuffer::create(device.allocator(), std::min(bytes, kCopyBytes),
                                                            GpuBuffer::Use::kStaging, "staging"));
  for (uint64_t done = 0; done < bytes; done += kCopyBytes) {
    const uint64_t part = std::min(kCopyBytes, bytes - done);
    std::memcpy(staging.mapped(), static_cast<const std::byte*>(source) + done, part);
    MOE_RETURN_IF_ERROR(staging.flush(0, part));
    MOE_RETURN_IF_ERROR(device.run_now([&](VkCommandBuffer commands) {
      const VkBufferCopy region{0, offset + done, part};
      device.vk().vkCmdCopyBuffer(commands, staging.handle(), memory_.handle(), 1, &region);
      const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT,
                                    VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
      device.vk().vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                       0, 1, &barrier, 0, nullptr, 0, nullptr);
    }));
  }
  return {};
}

Status VulkanBuffer::read(uint64_t offset, void* destination, uint64_t bytes) {
  if (bytes == 0) return {};
  VulkanDevice& device = vulkan();
  MOE_RETURN_IF_ERROR(device.check_lost());
  if (memory_.mapped() != nullptr) {
    MOE_RETURN_IF_ERROR(memory_.invalidate(offset, bytes));
    std::memcpy(destination, memory_.mapped() + offset, bytes);
    return {};
  }
  MOE_ASSIGN_OR_RETURN(GpuBuffer staging, GpuBuffer::create(device.allocator(), std::min(bytes, kCopyBytes),
                                                            GpuBuffer::Use::kStaging, "staging"));
  for (uint64_t done = 0; done < bytes; done += kCopyBytes) {
    const uint64_t part = std::min(kCopyBytes, bytes - done);
    MOE_RETURN_IF_ERROR(device.run_now([&](VkCommandBuffer commands) {
      const VkBufferCopy region{offset + done, 0, part};
      device.vk().vkCmdCopyBuffer(commands, memory_.handle(), staging.handle(), 1, &region);
      const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT,
                                    VK_ACCESS_HOST_READ_BIT};
      device.vk().vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                       &barrier, 0, nullptr, 0, nullptr);
    }));
    MOE_RETURN_IF_ERROR(staging.invalidate(0, part));
    std::memcpy(static_cast<std::byte*>(destination) + done, staging.mapped(), part);
  }
  return {};
}

}  // namespace moevk
