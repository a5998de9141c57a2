// SPDX-License-Identifier: MIT
//
// The device's end of a weight transaction: rows in, a layer in device memory out.
#pragma once

#include "backend/vulkan_device.h"

namespace moevk {

inline constexpr uint64_t kUploadSlotBytes = 8u << 20;
inline constexpr uint32_t kUploadSlots = 2;

Result<std::unique_ptr<WeightSink>> make_vulkan_sink(std::shared_ptr<VulkanDevice> device, const LayerSpec& spec,
                                                     const InPlaceWeights& in_place);

}  // namespace moevk
