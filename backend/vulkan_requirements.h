// SPDX-License-Identifier: MIT
//
// What a host should enable before it creates the VkDevice that it lends: one table, used for the answer to
// get_requirements, for setting features in a host's chain, and for judging what it enabled.
#pragma once

#include <vector>

#include "backend/probe_caps.h"

namespace moevk {

struct Requirement {
  bool extension = false;  // else a feature
  bool required = false;   // else recommended
  bool supported = false;
  const char* name = "";
  const char* reason = "";
};

struct HostPhysicalDevice {
  InstanceFunctions vk;
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  uint32_t api_version = 0;  // the lower of the host's and the device's
  std::set<std::string> extensions;
  EnabledFeatures supported;
};

// Asks the device; refuses NULL handles, and versions below 1.1.
Result<HostPhysicalDevice> ask_physical_device(PFN_vkGetInstanceProcAddr get, VkInstance instance,
                                               VkPhysicalDevice device, uint32_t api_version);
std::vector<Requirement> list_requirements(const HostPhysicalDevice& device);
// Sets the wanted features in the structs of the host's chain.
Status add_features(const HostPhysicalDevice& device, VkPhysicalDeviceFeatures2* features);
// What the host says it enabled, as far as the device supports it.
EnabledFeatures read_enabled(const HostPhysicalDevice& device, const VkPhysicalDeviceFeatures2* features,
                             const char* const* extensions, uint32_t extension_count);
// Every required item that is not enabled, by name; empty if none.
std::string missing_requirements(const HostPhysicalDevice& device, const EnabledFeatures& enabled);

}  // namespace moevk
