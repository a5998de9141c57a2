// SPDX-License-Identifier: MIT
//
// Function tables and errors of Vulkan calls.
#include "backend/vulkan_functions.h"

#include <cstring>

namespace moevk {

Status InstanceFunctions::load(PFN_vkGetInstanceProcAddr get, VkInstance instance) {
  vkGetInstanceProcAddr = get;
#define X(name)                                              \
  name = reinterpret_cast<PFN_##name>(get(instance, #name)); \
  if (name == nullptr) return {MOE_ERROR_DRIVER, "", "the Vulkan loader has no " #name};
  MOEVK_INSTANCE_FUNCTIONS(X)
#undef X
  return {};
}

Status DeviceFunctions::load(PFN_vkGetDeviceProcAddr get, VkDevice device) {
#define X(name)                                            \
  name = reinterpret_cast<PFN_##name>(get(device, #name)); \
  if (name == nullptr) return {MOE_ERROR_DRIVER, "", "the driver has no " #name};
  MOEVK_DEVICE_FUNCTIONS(X)
#undef X
#define X(name)                                            \
  name = reinterpret_cast<PFN_##name>(get(device, #name)); \
  if (name == nullptr) name = reinterpret_cast<PFN_##name>(get(device, #name "KHR"));
  MOEVK_PROMOTED_FUNCTIONS(X)
#undef X
#define X(name) name = reinterpret_cast<PFN_##name>(get(device, #name));
  MOEVK_OPTIONAL_FUNCTIONS(X)
#undef X
  vkGetMemoryWin32HandleKHR = get(device, "vkGetMemoryWin32HandleKHR");
  if (vkGetSemaphoreCounterValue == nullptr || vkWaitSemaphores == nullptr) {
    return {MOE_ERROR_DRIVER, "", "the driver has no timeline semaphores"};
  }
  return {};
}

Status vk_status(VkResult result, const char* call, const char* file, int line) {
  moe_status code = MOE_ERROR_DRIVER;
  const char* what = "failed";
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      code = MOE_ERROR_OUT_OF_HOST_MEMORY;
      what = "ran out of host memory";
      break;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
      code = MOE_ERROR_OUT_OF_DEVICE_MEMORY;
      what = "ran out of device memory";
      break;
    case VK_ERROR_DEVICE_LOST:
      code = MOE_ERROR_DEVICE_LOST;
      what = "lost the device";
      break;
    default: break;
  }
  const char* name = call;  // "device_->vk().vkCreateBuffer(...)": the part that begins with vk and a capital
  while ((name = std::strstr(name, "vk")) != nullptr && (name[2] < 'A' || name[2] > 'Z')) ++name;
  std::string text = name != nullptr ? name : call;
  text = text.substr(0, text.find('(')) + " " + what + " (VkResult " + std::to_string(result) + ", " + file + ":" +
         std::to_string(line) + ")";
  return {code, "", std::move(text), result};
}

}  // namespace moevk
