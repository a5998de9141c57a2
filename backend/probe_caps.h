// SPDX-License-Identifier: MIT
//
// A physical device -> the plain facts that planning sees, and what a host needs to choose.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "backend/vulkan_functions.h"
#include "runtime/device_caps.h"
#include "runtime/options.h"

namespace moevk {

// What vkCreateDevice was given, of what we look at. Of a device that we create ourselves: all that is supported.
struct EnabledFeatures {
  std::set<std::string> extensions;
  bool timeline_semaphore = false;
  bool buffer_device_address = false;
  bool storage_buffer_array_indexing = false;
  bool integer_dot = false;
};

// Handle types of other people's memory; zero where an extension is missing.
struct ExternalMemoryCaps {
  uint64_t host_pointer_alignment = 0;
  bool opaque_fd = false;
  bool dma_buf = false;
  bool win32 = false;
};

struct ProbedDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  uint32_t api_version = 0;   // what we may use: the lower of instance and device
  uint32_t queue_family = 0;  // computes; UINT32_MAX: none does
  bool memory_budget = false;
  bool creation_feedback = false;
  ExternalMemoryCaps external;
  bool pipeline_reports = false;    // asked for by Options, and the driver has them
  DeviceCaps caps;                  // after quirks, MOEVK_DISABLE and MOEVK_LIMITS
  std::vector<std::string> quirks;  // the reasons of those applied
  moe_device_info info{};
  std::string refused_limits;  // why a device that is usable without MOEVK_LIMITS is not with them; else empty
};

// A device that somebody else created.
struct LentDevice {
  EnabledFeatures enabled;
  uint32_t queue_family = 0;
};

// Never fails: a device that cannot be asked is not usable, and says why. lent: null for a device of our own.
ProbedDevice probe_device(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t instance_version,
                          const Options& options, const LentDevice* lent = nullptr);

Result<std::set<std::string>> device_extensions(const InstanceFunctions& vk, VkPhysicalDevice device);
// Of these structs, whatever the device supports; `extensions` are the device's.
EnabledFeatures supported_features(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t api_version,
                                   const std::set<std::string>& extensions);

}  // namespace moevk
