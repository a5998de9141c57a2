// SPDX-License-Identifier: MIT
//
// A VkDevice with its queue, memory and pipelines, as the Device of runtime/. The queue is shared by contexts and
// uploads under a lock; everything else is thread-safe by itself.
#pragma once

#include <functional>

#include "backend/gpu_memory.h"
#include "backend/pipelines.h"
#include "backend/probe_caps.h"
#include "runtime/device.h"

namespace moevk {

// Instance and loader, kept alive by the devices.
struct VulkanInstance {
  InstanceFunctions vk;
  VkInstance handle = VK_NULL_HANDLE;
  std::function<void()> destroy;
  VulkanInstance() = default;
  VulkanInstance(const VulkanInstance&) = delete;
  VulkanInstance& operator=(const VulkanInstance&) = delete;
  ~VulkanInstance() {
    if (destroy) destroy();
  }
};

// A timeline semaphore.
class Timeline {
 public:
  Timeline(const DeviceFunctions& vk, VkDevice device) : vk_(vk), device_(device) {}
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;
  ~Timeline() {
    if (handle_ != VK_NULL_HANDLE) vk_.vkDestroySemaphore(device_, handle_, nullptr);
  }
  Status open();
  VkSemaphore handle() const { return handle_; }
  Status wait(uint64_t value, uint64_t timeout_ns) const;  // MOE_ERROR_TIMEOUT
  Result<uint64_t> completed() const;

 private:
  const DeviceFunctions& vk_;
  VkDevice device_;
  VkSemaphore handle_ = VK_NULL_HANDLE;
};

// A command pool with one command buffer.
class CommandBuffer {
 public:
  CommandBuffer(const DeviceFunctions& vk, VkDevice device) : vk_(vk), device_(device) {}
  CommandBuffer(const CommandBuffer&) = delete;
  CommandBuffer& operator=(const CommandBuffer&) = delete;
  ~CommandBuffer() {
    if (pool_ != VK_NULL_HANDLE) vk_.vkDestroyCommandPool(device_, pool_, nullptr);
  }
  Status open(uint32_t queue_family);
  Status begin();  // resets what was recorded before
  Status end();
  VkCommandBuffer handle() const { return handle_; }

 private:
  const DeviceFunctions& vk_;
  VkDevice device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer handle_ = VK_NULL_HANDLE;
};

// A host's device and queue.
struct LentQueue {
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  void* user = nullptr;
  void(MOE_CALL* lock)(void* user) = nullptr;  // both or neither
  void(MOE_CALL* unlock)(void* user) = nullptr;
};

// Semaphores and fence of a host, beside the timeline that every submit signals.
struct SubmitSync {
  std::vector<VkSemaphore> waits, signals;
  std::vector<uint64_t> wait_values, signal_values;  // ignored for binary semaphores
  std::vector<VkPipelineStageFlags> wait_stages;
  VkFence fence = VK_NULL_HANDLE;
};

class VulkanDevice final : public Device {
 public:
  VulkanDevice(std::shared_ptr<VulkanInstance> instance, ProbedDevice probed, std::shared_ptr<SharedState> state);
  ~VulkanDevice() override;
  Status open(uint64_t budget_bytes);                          // creates the VkDevice
  Status adopt(const LentQueue& lent, uint64_t budget_bytes);  // borrows a host's

  const DeviceCaps& caps() const override { return probed_.caps; }
  DeviceCaps planning_caps() const override;
  // A kernel that failed to compile is not planned with again. False: it may work next time (no memory, a lost
  // device).
  bool strike(KernelId kernel, const Status& why);
  Status check_limits(const LayerSpec& spec) const override;
  Result<moe_estimate> estimate(const std::vector<LayerSpec>& specs, uint64_t max_tokens) const override;
  Result<std::unique_ptr<WeightSink>> begin_weights(const LayerSpec& spec, const InPlaceWeights& in_place) override;
  Result<std::shared_ptr<Buffer>> create_buffer(uint64_t bytes) override;
  moe_memory_support memory_support(uint32_t kind) const override;
  Result<std::shared_ptr<Buffer>> import_buffer(const moe_memory_desc& desc, moe_memory_info* info) override;
  Result<std::shared_ptr<Buffer>> create_exportable_buffer(uint32_t kind, uint64_t bytes) override;
  Result<std::shared_ptr<Context>> create_context(const ContextDesc& desc) override;

  const DeviceFunctions& vk() const { return vk_; }
  const InstanceFunctions& instance_vk() const { return instance_->vk; }
  const ProbedDevice& probed() const { return probed_; }
  VkDevice handle() const { return device_; }
  uint32_t queue_family() const { return probed_.queue_family; }
  Pipelines& pipelines() { return *pipelines_; }
  const std::shared_ptr<GpuAllocator>& allocator() const { return allocator_; }
  SharedState& state() const { return *state_; }

  // Submits under the queue's lock; `timeline` reaches `value` when it is done. sync: a host's, or null.
  Status submit(VkCommandBuffer commands, const Timeline& timeline, uint64_t value, const SubmitSync* sync = nullptr);
  // Records, submits and waits: for set-up work.
  Status run_now(const std::function<void(VkCommandBuffer)>& record);
  // Remembers a lost device: from then on check_lost fails.
  Status note(Status status);
  Status check_lost() const;

 private:
  std::shared_ptr<VulkanDevice> self() { return std::static_pointer_cast<VulkanDevice>(shared_from_this()); }
  Status zero_fill(VkBuffer buffer);
  Status create_device();
  Status start(uint64_t budget_bytes);

  std::shared_ptr<VulkanInstance> instance_;
  ProbedDevice probed_;
  std::shared_ptr<SharedState> state_;
  VkDevice device_ = VK_NULL_HANDLE;
  bool owns_device_ = false;
  LentQueue lent_;
  DeviceFunctions vk_;
  VkQueue queue_ = VK_NULL_HANDLE;
  std::mutex queue_mutex_;
  std::atomic<bool> lost_{false};
  std::atomic<uint32_t> struck_{0};  // bit per KernelId
  std::shared_ptr<GpuAllocator> allocator_;
  std::unique_ptr<Pipelines> pipelines_;
};

}  // namespace moevk
