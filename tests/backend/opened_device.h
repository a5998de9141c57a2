// SPDX-License-Identifier: MIT
//
// In:  what a device shall lack.
// Out: a Vulkan device below the ABI, with validation where that is installed; and what lies in its memory.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/vulkan_device.h"

namespace moevk::backend_tests {

struct OpenedDevice {
  std::shared_ptr<SharedState> state;
  std::shared_ptr<VulkanDevice> device;  // null: there is none
  std::string why_none;
};

// The one that MOEVK_DEVICE names, else the first usable; `disable` and `limits` are as of the variables of that name.
OpenedDevice open_device(const std::set<std::string>& disable = {}, const std::string& limits = "");

std::vector<std::byte> read_device(const OpenedDevice& opened, VkBuffer buffer, uint64_t offset, uint64_t bytes);

}  // namespace moevk::backend_tests
