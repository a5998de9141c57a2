// SPDX-License-Identifier: MIT
//
// Probing what the host enabled, then the same device object as ever, without the right to destroy.
#include "backend/vulkan_import.h"

namespace moevk {

Result<std::shared_ptr<Device>> import_vulkan_device(std::shared_ptr<SharedState> state, const ImportDesc& desc) {
  const std::string missing = missing_requirements(desc.physical, desc.enabled);
  if (!missing.empty()) return unsupported("desc.enabled_features", missing);
  const LentDevice lent{desc.enabled, desc.queue_family};
  ProbedDevice probed =
      probe_device(desc.physical.vk, desc.physical.handle, desc.physical.api_version, state->options(), &lent);
  if (probed.info.usable == 0) {
    return Status(MOE_ERROR_NO_DEVICE, "desc.physical_device",
                  probed.caps.name + " cannot be used: " + probed.info.reason);
  }
  for (const std::string& quirk : probed.quirks) {
    state->log(MOE_LOG_WARNING, probed.caps.name + " has a known defect; " + quirk);
  }
  auto instance = std::make_shared<VulkanInstance>();  // the host's: nothing to destroy
  instance->vk = desc.physical.vk;
  instance->handle = desc.instance;
  auto device = std::make_shared<VulkanDevice>(std::move(instance), std::move(probed), std::move(state));
  MOE_RETURN_IF_ERROR(device->adopt(desc.lent, desc.budget_bytes));
  return std::shared_ptr<Device>(std::move(device));
}

}  // namespace moevk
