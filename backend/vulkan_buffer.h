// SPDX-License-Identifier: MIT
//
// A buffer of the ABI: memory of ours, memory shared with others, or a range of a host's VkBuffer. Read and written
// through a mapping or through staging.
#pragma once

#include "backend/external_memory.h"

namespace moevk {

class VulkanBuffer final : public Buffer {
 public:
  VulkanBuffer(std::shared_ptr<Device> device, GpuBuffer memory, uint64_t bytes);
  VulkanBuffer(std::shared_ptr<Device> device, std::unique_ptr<ExternalBuffer> memory, uint64_t offset, uint64_t bytes);
  // A host's VkBuffer, not owned.
  VulkanBuffer(std::shared_ptr<Device> device, VkBuffer buffer, VkBufferUsageFlags usage, uint64_t offset,
               uint64_t bytes);

  uint64_t bytes() const override { return bytes_; }
  BufferPlace place() const override;
  Status write(uint64_t offset, const void* source, uint64_t bytes) override;
  Status read(uint64_t offset, void* destination, uint64_t bytes) override;
  Result<moe_memory_handle> export_handle() const override;

  VkBuffer handle() const { return handle_; }
  uint64_t offset() const { return offset_; }  // of the first byte in handle()
  VkBufferUsageFlags usage() const { return usage_; }

 private:
  VulkanDevice& vulkan() const { return *static_cast<VulkanDevice*>(device()); }
  Status check_usage(VkBufferUsageFlags needed, const char* name) const;

  GpuBuffer memory_;
  std::unique_ptr<ExternalBuffer> external_;
  VkBuffer handle_;
  VkBufferUsageFlags usage_;
  uint64_t offset_ = 0;
  uint64_t bytes_;
};

// The object behind a moe_buffer of a Vulkan device.
inline const VulkanBuffer& vulkan_buffer(const std::shared_ptr<Buffer>& buffer) {
  return *static_cast<const VulkanBuffer*>(buffer.get());
}

// A workspace holds arguments of indirect dispatches, and its parts are aligned to 256 bytes.
Status check_workspace_buffer(const VulkanBuffer& buffer, uint64_t offset);

Result<std::shared_ptr<Buffer>> import_vulkan_buffer(std::shared_ptr<VulkanDevice> device, const moe_memory_desc& desc,
                                                     moe_memory_info* info);

}  // namespace moevk
