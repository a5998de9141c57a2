// SPDX-License-Identifier: MIT
//
// A host's VkDevice as a Device.
#pragma once

#include "backend/vulkan_device.h"
#include "backend/vulkan_requirements.h"

namespace moevk {

struct ImportDesc {
  HostPhysicalDevice physical;
  VkInstance instance = VK_NULL_HANDLE;
  EnabledFeatures enabled;
  LentQueue lent;
  uint32_t queue_family = 0;
  uint64_t budget_bytes = 0;
};

// Refuses, each by name, what the host did not enable and what the device lacks.
Result<std::shared_ptr<Device>> import_vulkan_device(std::shared_ptr<SharedState> state, const ImportDesc& desc);

}  // namespace moevk
