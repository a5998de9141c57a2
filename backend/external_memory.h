// SPDX-License-Identifier: MIT
//
// Device memory that others share: imported from a handle or a host's pages, or made to be handed on. Past VMA, since
// such memory is one allocation for one buffer.
#pragma once

#include "backend/os_handle.h"
#include "backend/vulkan_device.h"
#include "plugin_api/moe_plugin_memory.h"

namespace moevk {

// Owns a VkBuffer and its memory.
class ExternalBuffer {
 public:
  // What of a moe_memory_desc is a handle or pointer. The caller's handle is not closed, whatever happens.
  static Result<std::unique_ptr<ExternalBuffer>> import(std::shared_ptr<VulkanDevice> device,
                                                        const moe_memory_desc& desc);
  static Result<std::unique_ptr<ExternalBuffer>> create_exportable(std::shared_ptr<VulkanDevice> device, uint32_t kind,
                                                                   uint64_t bytes);
  explicit ExternalBuffer(std::shared_ptr<VulkanDevice> device) : device_(std::move(device)) {}
  ExternalBuffer(const ExternalBuffer&) = delete;
  ExternalBuffer& operator=(const ExternalBuffer&) = delete;
  ~ExternalBuffer();

  VkBuffer handle() const { return buffer_; }
  Result<moe_memory_handle> export_handle(uint64_t bytes) const;

 private:
  Status import_pages(const moe_memory_desc& desc);
  Status import_handle(const moe_memory_desc& desc);
  Status create_buffer(uint32_t kind, uint64_t bytes);
  // imported: a handle that belongs to the driver once the memory exists, or null.
  Status bind(const VkMemoryAllocateInfo& info, OsHandle* imported);

  std::shared_ptr<VulkanDevice> device_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  uint64_t held_ = 0;  // bytes of the budget
  uint32_t export_kind_ = UINT32_MAX;
  uint64_t allocation_bytes_ = 0;
  uint32_t memory_type_ = 0;
  bool dedicated_ = false;
};

moe_memory_support external_memory_support(const VulkanDevice& device, uint32_t kind);

}  // namespace moevk
