// SPDX-License-Identifier: MIT
//
// Allocation, the budget, and the counters of the instance.
#include "backend/gpu_memory.h"

#include <algorithm>
#include <array>
#include <utility>

namespace moevk {
namespace {

constexpr VkDeviceSize kBlockBytes = 4ull << 20;  // what is held beyond what is used, at most, for each kind of memory
constexpr VkDeviceSize kAddressAlignment = 256;   // kernels read weights by addresses of 16-byte words

void VKAPI_PTR count_allocation(VmaAllocator, uint32_t, VkDeviceMemory, VkDeviceSize bytes, void* state) {
  static_cast<SharedState*>(state)->driver_allocated(bytes);
}
void VKAPI_PTR count_free(VmaAllocator, uint32_t, VkDeviceMemory, VkDeviceSize bytes, void* state) {
  static_cast<SharedState*>(state)->driver_freed(bytes);
}

}  // namespace

VkBufferUsageFlags buffer_usage(const DeviceCaps& caps) {
  return VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
         VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
         (caps.buffer_device_address != 0 ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0);
}

GpuAllocator::~GpuAllocator() {
  if (vma_ != nullptr) vmaDestroyAllocator(vma_);
}

Status GpuAllocator::open(const Desc& desc, const DeviceCaps& caps, std::shared_ptr<SharedState> state,
                          uint64_t budget_bytes) {
  VmaVulkanFunctions functions{};
  functions.vkGetInstanceProcAddr = desc.get_instance_proc;
  functions.vkGetDeviceProcAddr = desc.get_device_proc;
  VmaAllocatorCreateInfo info{};
  info.instance = desc.instance;
  info.physicalDevice = desc.physical;
  info.device = desc.device;
  info.vulkanApiVersion = desc.api_version;
  info.pVulkanFunctions = &functions;
  if (caps.buffer_device_address != 0) info.flags |= VMA_ALLOCATOR_CREATE_BUFFER_DEVICE_ADDRESS_BIT;
  if (desc.memory_budget) info.flags |= VMA_ALLOCATOR_CREATE_EXT_MEMORY_BUDGET_BIT;
  state_ = std::move(state);
  const VmaDeviceMemoryCallbacks callbacks{count_allocation, count_free, state_.get()};
  info.pDeviceMemoryCallbacks = &callbacks;
  // Blocks that several buffers share; larger buffers get an allocation of their own.
  info.preferredLargeHeapBlockSize = std::min<uint64_t>(kBlockBytes, caps.max_allocation_bytes);
  std::array<VkDeviceSize, VK_MAX_MEMORY_HEAPS> limits;
  if (desc.heap_limit_bytes != 0) {
    limits.fill(desc.heap_limit_bytes);
    info.pHeapSizeLimit = limits.data();
    info.preferredLargeHeapBlockSize = std::min(info.preferredLargeHeapBlockSize, desc.heap_limit_bytes / 8);
  }
  MOEVK_TRY(vmaCreateAllocator(&info, &vma_));
  unified_ = caps.unified_memory != 0;
  usage_ = buffer_usage(caps);
  budget_bytes_ = budget_bytes;
  return {};
}

Status GpuAllocator::full(uint64_t bytes, const char* what, int32_t vk_result) const {
  const std::string budget = budget_bytes_ != 0 ? "; the budget is " + std::to_string(budget_bytes_) + " bytes" : "";
  return {MOE_ERROR_OUT_OF_DEVICE_MEMORY, "",
          "no room for " + std::to_string(bytes) + " bytes of " + what + " beside the " + std::to_string(used_bytes_) +
              " in use" + budget,
          vk_result};
}

Status GpuAllocator::charge(uint64_t bytes, const char* what) {
  const uint64_t before = used_bytes_.fetch_add(bytes);
  if (bytes == 0 || budget_bytes_ == 0 || (bytes <= budget_bytes_ && before <= budget_bytes_ - bytes)) return {};
  used_bytes_ -= bytes;
  return full(bytes, what, 0);
}

GpuBuffer::~GpuBuffer() {
  if (buffer_ == VK_NULL_HANDLE) return;
  vmaDestroyBuffer(allocator_->vma_, buffer_, allocation_);
  allocator_->used_bytes_ -= charged_;
  allocator_->state_->allocated_bytes -= held_;
}

void GpuBuffer::swap(GpuBuffer& other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(buffer_, other.buffer_);
  std::swap(allocation_, other.allocation_);
  std::swap(mapped_, other.mapped_);
  std::swap(bytes_, other.bytes_);
  std::swap(held_, other.held_);
  std::swap(charged_, other.charged_);
}

Result<GpuBuffer> GpuBuffer::create(std::shared_ptr<GpuAllocator> allocator, uint64_t bytes, Use use,
                                    const char* what) {
  GpuAllocator& a = *allocator;
  const uint64_t size = std::min(bytes, uint64_t{1} << 60) / 16 * 16 + (bytes % 16 != 0 ? 16 : 0);
  if (size >= uint64_t{1} << 60) return a.full(size, what, 0);
  const uint64_t charged = use == Use::kStaging || use == Use::kTwin ? 0 : size;
  MOE_RETURN_IF_ERROR(a.charge(charged, what));
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = size;
  info.usage = a.usage_;
  VmaAllocationCreateInfo where{};
  if (use == Use::kStaging || (use == Use::kDevice && a.unified_)) {
    where.flags = VMA_ALLOCATION_CREATE_HOST_ACCESS_RANDOM_BIT | VMA_ALLOCATION_CREATE_MAPPED_BIT;
  }
  where.usage =
      use == Use::kStaging && !a.unified_ ? VMA_MEMORY_USAGE_AUTO_PREFER_HOST : VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE;
  GpuBuffer buffer;
  VmaAllocationInfo placed{};
  const VkResult result = vmaCreateBufferWithAlignment(a.vma_, &info, &where, kAddressAlignment, &buffer.buffer_,
                                                       &buffer.allocation_, &placed);
  if (result != VK_SUCCESS) {
    a.used_bytes_ -= charged;
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY) return a.full(size, what, result);
    return vk_status(result, "vkAllocateMemory(", "vmaCreateBuffer", 0);
  }
  buffer.mapped_ = static_cast<std::byte*>(placed.pMappedData);
  buffer.bytes_ = bytes;
  buffer.held_ = size;
  buffer.charged_ = charged;
  a.state_->allocated_bytes += size;
  if (a.state_->options().trace_memory) {
    a.state_->log(MOE_LOG_TRACE, "memory: " + std::to_string(size) + " bytes for " + what + ", " +
                                     std::to_string(a.used_bytes_) + " in use");
  }
  buffer.allocator_ = std::move(allocator);
  return buffer;
}

Status GpuBuffer::flush(uint64_t offset, uint64_t bytes) const {
  MOEVK_TRY(vmaFlushAllocation(allocator_->vma_, allocation_, offset, bytes));
  return {};
}

Status GpuBuffer::invalidate(uint64_t offset, uint64_t bytes) const {
  MOEVK_TRY(vmaInvalidateAllocation(allocator_->vma_, allocation_, offset, bytes));
  return {};
}

}  // namespace moevk
