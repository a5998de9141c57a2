// SPDX-License-Identifier: MIT
//
// Opens the device that the driver shows, as a host would, and compiles every kernel variant of its plans through the
// library's own pipelines.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/vulkan_device.h"
#include "tests/vendor/kernel_record.h"

namespace moevk::vendor {

// The first device that can be used, opened for pipeline reports; else why there is none.
Result<std::shared_ptr<VulkanDevice>> open_device();

struct DeviceRecords {
  std::vector<KernelRecord> records;
  std::vector<std::string> failures;  // variants that did not compile
};

DeviceRecords compile_variants(VulkanDevice* device);

// Every variant whose name contains `part`: all that the driver says of it.
Status show_variants(VulkanDevice* device, const std::string& part);

}  // namespace moevk::vendor
