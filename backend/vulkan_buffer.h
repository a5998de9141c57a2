// SPDX-License-Identifier: MIT
//
// A host's buffer in device memory, read and written through a mapping or through staging.
#pragma once

#include "backend/vulkan_device.h"

namespace moevk {

class VulkanBuffer final : public Buffer {
 public:
  VulkanBuffer(std::shared_ptr<Device> device, GpuBuffer memory, uint64_t bytes)
      : Buffer(std::move(device)), memory_(std::move(memory)), bytes_(bytes) {}
  uint64_t bytes() const override { return bytes_; }
  Status write(uint64_t offset, const void* source, uint64_t bytes) override;
  Status read(uint64_t offset, void* destination, uint64_t bytes) override;
  const GpuBuffer& memory() const { return memory_; }

 private:
  VulkanDevice& vulkan() const { return *static_cast<VulkanDevice*>(device()); }
  GpuBuffer memory_;
  uint64_t bytes_;
};

}  // namespace moevk
