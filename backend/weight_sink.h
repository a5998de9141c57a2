// SPDX-License-Identifier: MIT
//
// The device's end of a weight transaction: rows in, a layer in device memory out.
#pragma once

#include "backend/vulkan_device.h"

namespace moevk {

Result<std::unique_ptr<WeightSink>> make_vulkan_sink(std::shared_ptr<VulkanDevice> device, const LayerSpec& spec,
                                                     const InPlaceWeights& in_place);

}  // namespace moevk
