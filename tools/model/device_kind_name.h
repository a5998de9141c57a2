// SPDX-License-Identifier: MIT
//
// In:  moe_device_info::kind.
// Out: one word for it.
// Why: tables, reports and scripts that read them use the same words.
#pragma once

#include <cstdint>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

inline const char* device_kind_name(uint32_t kind) {
  switch (kind) {
    case MOE_DEVICE_KIND_REFERENCE: return "reference";
    case MOE_DEVICE_KIND_DISCRETE_GPU: return "discrete";
    case MOE_DEVICE_KIND_INTEGRATED_GPU: return "integrated";
    case MOE_DEVICE_KIND_VIRTUAL_GPU: return "virtual";
    case MOE_DEVICE_KIND_CPU_VULKAN: return "software";
    default: return "other";
  }
}

}  // namespace moevk::model
