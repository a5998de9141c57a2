// SPDX-License-Identifier: MIT
#include "backend/vulkan_backend.h"
namespace moevk {
namespace {
class None final : public VulkanBackend {
 public:
  const std::string& why_no_gpu() const override { return why_; }
  const std::vector<moe_device_info>& devices() const override { return devices_; }
  Result<std::shared_ptr<Device>> open(uint32_t, uint64_t) override { return Status(MOE_ERROR_NO_DEVICE, "", "none"); }
  std::string why_ = "this build has no Vulkan yet";
  std::vector<moe_device_info> devices_;
};
}  // namespace
Result<std::shared_ptr<VulkanBackend>> VulkanBackend::create(std::shared_ptr<SharedState>, bool) {
  return std::shared_ptr<VulkanBackend>(std::make_shared<None>());
}
}  // namespace moevk
