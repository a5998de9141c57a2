// SPDX-License-Identifier: MIT
//
// The way in to backend/: the Vulkan loader, its instance, and the devices it shows. Where there is no loader or
// driver the object still exists, has no devices, and says why.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/device.h"

namespace moevk {

class VulkanBackend {
 public:
  // validation: Khronos validation with synchronization checks; its absence is an error, not a shrug.
  static Result<std::shared_ptr<VulkanBackend>> create(std::shared_ptr<SharedState> state, bool validation);

  virtual ~VulkanBackend() = default;
  virtual const std::string& why_no_gpu() const = 0;
  virtual const std::vector<moe_device_info>& devices() const = 0;
  virtual Result<std::shared_ptr<Device>> open(uint32_t index, uint64_t budget_bytes) = 0;
};

}  // namespace moevk
