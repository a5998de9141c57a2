// SPDX-License-Identifier: MIT
//
// One trampoline a function, made by a template over its type and its number in the list.
#include "tests/interop/interposer.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <set>

namespace moe_interop {
namespace {

#define MOE_COUNTED_FUNCTIONS(X)                                                                                       \
  X(vkDestroyDevice)                                                                                                   \
  X(vkGetDeviceQueue)                                                                                                  \
  X(vkQueueSubmit)                                                                                                     \
  X(vkCreateCommandPool)                                                                                               \
  X(vkDestroyCommandPool)                                                                                              \
  X(vkResetCommandPool) X(vkAllocateCommandBuffers) X(vkBeginCommandBuffer) X(vkEndCommandBuffer) X(                   \
      vkCmdPipelineBarrier) X(vkCmdBindPipeline) X(vkCmdBindDescriptorSets) X(vkCmdPushConstants) X(vkCmdDispatch)     \
      X(vkCmdDispatchIndirect) X(vkCmdCopyBuffer) X(vkCmdFillBuffer) X(vkCmdWriteTimestamp) X(vkCmdResetQueryPool) X(  \
          vkCreateQueryPool) X(vkDestroyQueryPool) X(vkGetQueryPoolResults) X(vkCreateDescriptorPool)                  \
          X(vkDestroyDescriptorPool) X(vkResetDescriptorPool) X(vkAllocateDescriptorSets) X(vkUpdateDescriptorSets) X( \
              vkCreateDescriptorSetLayout) X(vkDestroyDescriptorSetLayout) X(vkCreatePipelineLayout)                   \
              X(vkDestroyPipelineLayout) X(vkCreateShaderModule) X(vkDestroyShaderModule) X(vkCreateComputePipelines)  \
                  X(vkDestroyPipeline) X(vkCreatePipelineCache) X(vkDestroyPipelineCache) X(vkGetPipelineCacheData) X( \
                      vkCreateSemaphore) X(vkDestroySemaphore) X(vkGetSemaphoreCounterValue)                           \
                      X(vkGetSemaphoreCounterValueKHR) X(vkWaitSemaphores) X(vkWaitSemaphoresKHR) X(                   \
                          vkGetBufferDeviceAddress) X(vkGetBufferDeviceAddressKHR) X(vkCmdPushDescriptorSetKHR)        \
                          X(vkGetMemoryFdKHR) X(vkGetMemoryFdPropertiesKHR) X(vkGetMemoryHostPointerPropertiesEXT) X(  \
                              vkAllocateMemory) X(vkFreeMemory) X(vkMapMemory) X(vkUnmapMemory)                        \
                              X(vkFlushMappedMemoryRanges) X(vkInvalidateMappedMemoryRanges) X(vkBindBufferMemory) X(  \
                                  vkBindImageMemory) X(vkGetBufferMemoryRequirements) X(vkGetImageMemoryRequirements)  \
                                  X(vkCreateBuffer) X(vkDestroyBuffer) X(vkCreateImage) X(vkDestroyImage)              \
                                      X(vkGetBufferMemoryRequirements2) X(vkGetBufferMemoryRequirements2KHR)           \
                                          X(vkGetImageMemoryRequirements2) X(vkGetImageMemoryRequirements2KHR)         \
                                              X(vkBindBufferMemory2) X(vkBindBufferMemory2KHR) X(vkBindImageMemory2)   \
                                                  X(vkBindImageMemory2KHR) X(vkGetDeviceBufferMemoryRequirements)      \
                                                      X(vkGetDeviceImageMemoryRequirements)                            \
                                                          X(vkGetDeviceBufferMemoryRequirementsKHR) X(                 \
                                                              vkGetDeviceImageMemoryRequirementsKHR)                   \
                                                              X(vkGetPipelineExecutablePropertiesKHR) X(               \
                                                                  vkGetPipelineExecutableStatisticsKHR)                \
                                                                  X(vkGetPipelineExecutableInternalRepresentationsKHR)

enum Index : size_t {
#define X(name) k_##name,
  MOE_COUNTED_FUNCTIONS(X)
#undef X
      kFunctions
};

constexpr const char* kNames[kFunctions] = {
#define X(name) #name,
    MOE_COUNTED_FUNCTIONS(X)
#undef X
};

std::array<std::atomic<uint64_t>, kFunctions> counts;
std::atomic<uint64_t> nanoseconds{0};
std::atomic<PFN_vkGetDeviceProcAddr> next_device_proc{nullptr};
std::mutex uncounted_mutex;
std::set<std::string> uncounted;

thread_local bool inside = false;

// Adds the time of its life.
class Clock {
 public:
  Clock() { inside = true; }
  ~Clock() {
    inside = false;
    const auto took = std::chrono::steady_clock::now() - begin_;
    nanoseconds += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

template <class Function, size_t index>
struct Trampoline;
template <class R, class... A, size_t index>
struct Trampoline<R(VKAPI_PTR*)(A...), index> {
  static inline std::atomic<R(VKAPI_PTR*)(A...)> next{nullptr};
  static R VKAPI_CALL call(A... arguments) {
    ++counts[index];
    const Clock clock;
    return next.load()(arguments...);
  }
};

std::atomic<int64_t> until_failure{-1};
std::atomic<bool> failed{false};
std::atomic<PipelineFailure> failure{PipelineFailure::kError};

VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                     const VkComputePipelineCreateInfo* infos, const VkAllocationCallbacks* allocator,
                                     VkPipeline* pipelines) {
  if (until_failure.fetch_sub(1) == 0) {
    failed = true;
    for (uint32_t i = 0; i < count; ++i) pipelines[i] = VK_NULL_HANDLE;
    return failure == PipelineFailure::kNull ? VK_SUCCESS : VK_ERROR_UNKNOWN;
  }
  return Trampoline<PFN_vkCreateComputePipelines, k_vkCreateComputePipelines>::call(device, cache, count, infos,
                                                                                    allocator, pipelines);
}

PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char* name) {
  const PFN_vkVoidFunction real = next_device_proc.load()(device, name);
  if (real == nullptr) return nullptr;
#define X(function)                                                   \
  if (std::strcmp(name, #function) == 0) {                            \
    using T = Trampoline<PFN_##function, k_##function>;               \
    T::next = reinterpret_cast<PFN_##function>(real);                 \
    if (k_##function == k_vkCreateComputePipelines) {                 \
      return reinterpret_cast<PFN_vkVoidFunction>(&create_pipelines); \
    }                                                                 \
    return reinterpret_cast<PFN_vkVoidFunction>(&T::call);            \
  }
  MOE_COUNTED_FUNCTIONS(X)
#undef X
  const std::lock_guard lock(uncounted_mutex);
  uncounted.insert(name);
  return real;
}

}  // namespace

uint64_t DriverCalls::commands() const {
  uint64_t sum = 0;
  for (const auto& [name, count] : counts) sum += name.compare(0, 5, "vkCmd") == 0 ? count : 0;
  return sum;
}

uint64_t DriverCalls::others() const {
  uint64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum - commands();
}

PFN_vkVoidFunction VKAPI_CALL counting_get_instance_proc_addr(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction real = vkGetInstanceProcAddr(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") != 0 || real == nullptr) return real;
  next_device_proc = reinterpret_cast<PFN_vkGetDeviceProcAddr>(real);
  return reinterpret_cast<PFN_vkVoidFunction>(&get_device_proc);
}

void fail_pipeline(uint64_t number, PipelineFailure how) {
  failed = false;
  failure = how;
  until_failure = static_cast<int64_t>(number);
}

bool pipeline_failed() { return failed; }

bool in_driver() { return inside; }

void reset_driver_calls() {
  for (auto& count : counts) count = 0;
  nanoseconds = 0;
}

DriverCalls driver_calls() {
  DriverCalls calls;
  for (size_t i = 0; i < kFunctions; ++i) {
    if (counts[i] != 0) calls.counts[kNames[i]] = counts[i];
  }
  calls.nanoseconds = nanoseconds;
  return calls;
}

std::vector<std::string> uncounted_functions() {
  const std::lock_guard lock(uncounted_mutex);
  return {uncounted.begin(), uncounted.end()};
}

}  // namespace moe_interop
