// SPDX-License-Identifier: MIT
//
// A physical device -> the plain facts that planning sees, and what a host needs to choose.
#pragma once

#include <vector>

#include "backend/vulkan_functions.h"
#include "runtime/device_caps.h"
#include "runtime/options.h"

namespace moevk {

struct ProbedDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  uint32_t api_version = 0;   // what we may use: the lower of instance and device
  uint32_t queue_family = 0;  // computes; UINT32_MAX: none does
  bool memory_budget = false;
  bool creation_feedback = false;
  bool pipeline_reports = false;    // asked for by Options, and the driver has them
  DeviceCaps caps;                  // after quirks, MOEVK_DISABLE and MOEVK_LIMITS
  std::vector<std::string> quirks;  // the reasons of those applied
  moe_device_info info{};
};

// Never fails: a device that cannot be asked is not usable, and says why.
ProbedDevice probe_device(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t instance_version,
                          const Options& options);

}  // namespace moevk
