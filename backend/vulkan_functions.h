// SPDX-License-Identifier: MIT
//
// The Vulkan functions that moevk calls, as two tables filled through a getInstanceProcAddr of any origin: nothing
// here knows whether the loader, or later a host, owns the device.
#pragma once

#include <vulkan/vulkan.h>

#include <string>

#include "runtime/status.h"

namespace moevk {

#define MOEVK_INSTANCE_FUNCTIONS(X)              \
  X(vkDestroyInstance)                           \
  X(vkEnumeratePhysicalDevices)                  \
  X(vkGetPhysicalDeviceProperties)               \
  X(vkGetPhysicalDeviceProperties2)              \
  X(vkGetPhysicalDeviceFeatures2)                \
  X(vkGetPhysicalDeviceMemoryProperties2)        \
  X(vkGetPhysicalDeviceQueueFamilyProperties)    \
  X(vkGetPhysicalDeviceMemoryProperties)         \
  X(vkGetPhysicalDeviceExternalBufferProperties) \
  X(vkEnumerateDeviceExtensionProperties) X(vkCreateDevice) X(vkGetDeviceProcAddr)

#define MOEVK_DEVICE_FUNCTIONS(X)                                                                                  \
  X(vkDestroyDevice)                                                                                               \
  X(vkGetDeviceQueue)                                                                                              \
  X(vkQueueSubmit)                                                                                                 \
  X(vkCreateCommandPool)                                                                                           \
  X(vkDestroyCommandPool)                                                                                          \
  X(vkResetCommandPool)                                                                                            \
  X(vkAllocateCommandBuffers)                                                                                      \
  X(vkBeginCommandBuffer)                                                                                          \
  X(vkEndCommandBuffer)                                                                                            \
  X(vkCmdPipelineBarrier) X(vkCmdBindPipeline) X(vkCmdBindDescriptorSets) X(vkCmdPushConstants) X(vkCmdDispatch)   \
      X(vkCmdDispatchIndirect) X(vkCmdCopyBuffer) X(vkCmdFillBuffer) X(vkCmdWriteTimestamp) X(vkCmdResetQueryPool) \
          X(vkCreateQueryPool) X(vkDestroyQueryPool) X(vkGetQueryPoolResults) X(vkCreateDescriptorPool)            \
              X(vkDestroyDescriptorPool) X(vkAllocateDescriptorSets) X(vkUpdateDescriptorSets)                     \
                  X(vkCreateDescriptorSetLayout) X(vkDestroyDescriptorSetLayout) X(vkCreatePipelineLayout)         \
                      X(vkDestroyPipelineLayout) X(vkCreateShaderModule) X(vkDestroyShaderModule)                  \
                          X(vkCreateComputePipelines) X(vkDestroyPipeline) X(vkCreatePipelineCache)                \
                              X(vkDestroyPipelineCache) X(vkGetPipelineCacheData) X(vkCreateSemaphore)             \
                                  X(vkDestroySemaphore) X(vkCreateBuffer) X(vkDestroyBuffer)                       \
                                      X(vkGetBufferMemoryRequirements) X(vkAllocateMemory) X(vkFreeMemory)         \
                                          X(vkBindBufferMemory)

// Core in Vulkan 1.2, with a KHR suffix before; absent ones are null.
#define MOEVK_PROMOTED_FUNCTIONS(X) X(vkGetSemaphoreCounterValue) X(vkWaitSemaphores) X(vkGetBufferDeviceAddress)

// Of extensions that a device need not have; absent ones are null.
#define MOEVK_OPTIONAL_FUNCTIONS(X)       \
  X(vkCmdPushDescriptorSetKHR)            \
  X(vkGetMemoryFdKHR)                     \
  X(vkGetMemoryFdPropertiesKHR)           \
  X(vkGetMemoryHostPointerPropertiesEXT)  \
  X(vkGetPipelineExecutablePropertiesKHR) \
  X(vkGetPipelineExecutableStatisticsKHR) X(vkGetPipelineExecutableInternalRepresentationsKHR)

struct InstanceFunctions {
  PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr = nullptr;
#define X(name) PFN_##name name = nullptr;
  MOEVK_INSTANCE_FUNCTIONS(X)
#undef X
  Status load(PFN_vkGetInstanceProcAddr get, VkInstance instance);
};

struct DeviceFunctions {
#define X(name) PFN_##name name = nullptr;
  MOEVK_DEVICE_FUNCTIONS(X)
  MOEVK_PROMOTED_FUNCTIONS(X)
  MOEVK_OPTIONAL_FUNCTIONS(X)
#undef X
  PFN_vkVoidFunction vkGetMemoryWin32HandleKHR = nullptr;  // its type needs windows.h; null where not enabled
  Status load(PFN_vkGetDeviceProcAddr get, VkDevice device);
};

// A failed Vulkan call as a Status of the ABI: out of memory and a lost device keep their own codes.
Status vk_status(VkResult result, const char* call, const char* file, int line);

#define MOEVK_TRY(call)                                                                                   \
  do {                                                                                                    \
    const VkResult moevk_result_ = (call);                                                                \
    if (moevk_result_ != VK_SUCCESS) return ::moevk::vk_status(moevk_result_, #call, __FILE__, __LINE__); \
  } while (false)

}  // namespace moevk
