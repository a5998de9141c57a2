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

VulkanBuffer::VulkanBuffer(std::shared_ptr<Device> device, GpuBuffer memory, uint64_t bytes)
    : Buffer(std::move(device)), memory_(std::move(memory)), bytes_(bytes) {
  handle_ = memory_.handle();
  usage_ = buffer_usage(vulkan().caps());
}

VulkanBuffer::VulkanBuffer(std::shared_ptr<Device> device, std::unique_ptr<ExternalBuffer> memory, uint64_t offset,
                           uint64_t bytes)
    : Buffer(std::move(device)), external_(std::move(memory)), offset_(offset), bytes_(bytes) {
  handle_ = external_->handle();
  usage_ = buffer_usage(vulkan().caps());
}

VulkanBuffer::VulkanBuffer(std::shared_ptr<Device> device, VkBuffer buffer, VkBufferUsageFlags usage, uint64_t offset,
                           uint64_t bytes)
    : Buffer(std::move(device)), handle_(buffer), usage_(usage), offset_(offset), bytes_(bytes) {}

BufferPlace VulkanBuffer::place() const {
  BufferPlace place;
  std::memcpy(&place.memory, &handle_, sizeof handle_);  // a pointer or a number, by platform
  place.offset_bytes = offset_;
  place.in_vulkan = true;
  place.has_address = (usage_ & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT) != 0;
  return place;
}

Status VulkanBuffer::check_usage(VkBufferUsageFlags needed, const char* name) const {
  if ((usage_ & needed) == needed) return {};
  return unsupported("buffer", std::string("the host's VkBuffer was created without ") + name + " usage");
}

Result<moe_memory_handle> VulkanBuffer::export_handle() const {
  if (external_ == nullptr) return unsupported("buffer", "was not made by create_exportable_buffer");
  return external_->export_handle(bytes_);
}

Status VulkanBuffer::write(uint64_t offset, const void* source, uint64_t bytes) {
  if (bytes == 0) return {};
  MOE_RETURN_IF_ERROR(check_usage(VK_BUFFER_USAGE_TRANSFER_DST_BIT, "TRANSFER_DST"));
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
      const VkBufferCopy region{0, offset_ + offset + done, part};
      device.vk().vkCmdCopyBuffer(commands, staging.handle(), handle_, 1, &region);
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
  MOE_RETURN_IF_ERROR(check_usage(VK_BUFFER_USAGE_TRANSFER_SRC_BIT, "TRANSFER_SRC"));
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
      const VkBufferCopy region{offset_ + offset + done, 0, part};
      device.vk().vkCmdCopyBuffer(commands, handle_, staging.handle(), 1, &region);
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

Status check_workspace_buffer(const VulkanBuffer& buffer, uint64_t offset) {
  if ((buffer.usage() & VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT) == 0) {
    return invalid("desc.workspace", "the host's VkBuffer was created without INDIRECT_BUFFER usage");
  }
  if ((buffer.offset() + offset) % 256 == 0) return {};
  return invalid("desc.workspace_offset_bytes", "the workspace begins at byte " +
                                                    std::to_string(buffer.offset() + offset) +
                                                    " of the VkBuffer, no multiple of 256");
}

Result<std::shared_ptr<Buffer>> import_vulkan_buffer(std::shared_ptr<VulkanDevice> device, const moe_memory_desc& desc,
                                                     moe_memory_info* info) {
  if (desc.kind == MOE_MEMORY_VK_BUFFER) {
    VkBuffer buffer = VK_NULL_HANDLE;
    std::memcpy(&buffer, &desc.from.vulkan.buffer, sizeof buffer);
    if ((desc.from.vulkan.usage & VK_BUFFER_USAGE_STORAGE_BUFFER_BIT) == 0) {
      return unsupported("desc.from.vulkan.usage", "has no STORAGE_BUFFER: kernels could not use the buffer");
    }
    return std::shared_ptr<Buffer>(
        std::make_shared<VulkanBuffer>(device, buffer, desc.from.vulkan.usage, desc.offset_bytes, desc.bytes));
  }
  Result<std::unique_ptr<ExternalBuffer>> memory = ExternalBuffer::import(device, desc);
  if (memory.ok()) {
    return std::shared_ptr<Buffer>(
        std::make_shared<VulkanBuffer>(device, std::move(memory.value()), desc.offset_bytes, desc.bytes));
  }
  if (desc.kind != MOE_MEMORY_HOST_POINTER || (desc.flags & MOE_MEMORY_ALLOW_COPY) == 0) {
    return std::move(memory.status());
  }
  const std::string why = memory.status().text();
  MOE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> copy, device->create_buffer(desc.bytes));
  MOE_RETURN_IF_ERROR(copy->write(0, desc.from.host.pointer, desc.bytes));
  info->copied = 1;
  std::memcpy(info->reason, why.data(), std::min(why.size(), sizeof info->reason - 1));
  return copy;
}

}  // namespace moevk
