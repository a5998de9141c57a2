// SPDX-License-Identifier: MIT
//
// Device memory: one allocator per device with a byte budget, and buffers that give back what they took.
#pragma once

#include <atomic>
#include <memory>

#include "backend/vma.h"
#include "backend/vulkan_functions.h"
#include "runtime/device_caps.h"
#include "runtime/shared_state.h"

namespace moevk {

// Usage of every buffer that we create, so that it can serve as anything.
VkBufferUsageFlags buffer_usage(const DeviceCaps& caps);

class GpuAllocator {
 public:
  GpuAllocator() = default;
  GpuAllocator(const GpuAllocator&) = delete;
  GpuAllocator& operator=(const GpuAllocator&) = delete;
  ~GpuAllocator();

  struct Desc {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t api_version;
    PFN_vkGetInstanceProcAddr get_instance_proc;
    PFN_vkGetDeviceProcAddr get_device_proc;
    bool memory_budget;
    uint64_t heap_limit_bytes;  // of the device-local heap, lowered by the user; 0: as it is
  };
  // Bytes of the budget; charged before the driver is asked, so that two threads cannot share the last ones.
  Status charge(uint64_t bytes, const char* what);
  void uncharge(uint64_t bytes) { used_bytes_ -= bytes; }
  Status open(const Desc& desc, const DeviceCaps& caps, std::shared_ptr<SharedState> state, uint64_t budget_bytes);

 private:
  friend class GpuBuffer;
  Status full(uint64_t bytes, const char* what, int32_t vk_result) const;
  VmaAllocator vma_ = nullptr;
  std::shared_ptr<SharedState> state_;
  bool unified_ = false;
  VkBufferUsageFlags usage_ = 0;
  uint64_t budget_bytes_ = 0;  // 0: the driver's
  std::atomic<uint64_t> used_bytes_{0};
};

class GpuBuffer {
 public:
  enum class Use {
    kPrivate,  // weights and workspaces: the device's alone
    kDevice,   // a host's buffer: mapped where memory is unified
    kStaging,  // the host's side of copies: mapped, cached where possible; not charged to the budget
    kTwin,     // the device's side of them; not charged either
  };

  GpuBuffer() = default;
  GpuBuffer(const GpuBuffer&) = delete;
  GpuBuffer& operator=(const GpuBuffer&) = delete;
  GpuBuffer(GpuBuffer&& other) noexcept { swap(other); }
  GpuBuffer& operator=(GpuBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~GpuBuffer();

  static Result<GpuBuffer> create(std::shared_ptr<GpuAllocator> allocator, uint64_t bytes, Use use, const char* what);

  VkBuffer handle() const { return buffer_; }
  uint64_t bytes() const { return bytes_; }
  std::byte* mapped() const { return mapped_; }  // null if the host does not see it
  // Host writes become visible to the device, device writes to the host (no-ops on coherent memory).
  Status flush(uint64_t offset, uint64_t bytes) const;
  Status invalidate(uint64_t offset, uint64_t bytes) const;

 private:
  void swap(GpuBuffer& other) noexcept;
  std::shared_ptr<GpuAllocator> allocator_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VmaAllocation allocation_ = nullptr;
  std::byte* mapped_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t held_ = 0;     // with padding
  uint64_t charged_ = 0;  // to the budget
};

}  // namespace moevk
