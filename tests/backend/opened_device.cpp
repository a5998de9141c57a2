// SPDX-License-Identifier: MIT
//
// Opens a device through backend/ itself.
#include "tests/backend/opened_device.h"

#include <gtest/gtest.h>

#include <iostream>

#include "backend/vulkan_backend.h"
#include "backend/vulkan_buffer.h"

namespace moevk::backend_tests {

OpenedDevice open_device(const std::set<std::string>& disable, const std::string& limits) {
  OpenedDevice opened;
  Result<Options> options = options_from_environment();
  EXPECT_TRUE(options.ok()) << options.status().text();
  options.value().disable.insert(disable.begin(), disable.end());
  if (!limits.empty()) options.value().limits += "," + limits;
  options.value().cache = false;
  const std::string wanted = options.value().device;
  const bool validation = options.value().validation;
  opened.state = std::make_shared<SharedState>(moe_init<moe_instance_desc>(), std::move(options.value()));
  Result<std::shared_ptr<VulkanBackend>> backend = VulkanBackend::create(opened.state, validation);
  if (!backend.ok() && backend.status().argument() == "validation") {
    std::cout << "note: the Vulkan validation layers are not installed; this test runs without them\n";
    backend = VulkanBackend::create(opened.state, false);
  }
  EXPECT_TRUE(backend.ok()) << backend.status().text();
  if (!backend.ok()) return opened;
  opened.why_none = backend.value()->why_no_gpu();
  const std::vector<moe_device_info>& devices = backend.value()->devices();
  for (uint32_t i = 0; i < devices.size(); ++i) {
    const bool named = wanted == std::to_string(i) || std::string(devices[i].name).find(wanted) != std::string::npos;
    if (devices[i].usable == 0 || !named) continue;
    Result<std::shared_ptr<Device>> device = backend.value()->open(i, 0);
    EXPECT_TRUE(device.ok()) << device.status().text();
    if (device.ok()) opened.device = std::static_pointer_cast<VulkanDevice>(device.value());
    return opened;
  }
  if (opened.why_none.empty()) opened.why_none = "no Vulkan device is called \"" + wanted + "\"";
  return opened;
}

std::vector<std::byte> read_device(const OpenedDevice& opened, VkBuffer buffer, uint64_t offset, uint64_t bytes) {
  std::vector<std::byte> data(bytes);
  VulkanBuffer lent(opened.device, buffer, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, 0, offset + bytes);
  const Status status = lent.read(offset, data.data(), bytes);
  EXPECT_TRUE(status.ok()) << status.text();
  return data;
}

}  // namespace moevk::backend_tests
