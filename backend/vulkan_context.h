// SPDX-License-Identifier: MIT
//
// A stream of calls on a Vulkan device: encode into the open batch, flush submits it, wait hands results back.
#pragma once

#include "backend/vulkan_device.h"

namespace moevk {

class VulkanContext : public Context {
 public:
  virtual VkSemaphore timeline() const = 0;
};

Result<std::shared_ptr<Context>> make_vulkan_context(std::shared_ptr<VulkanDevice> device, const ContextDesc& desc);

}  // namespace moevk
