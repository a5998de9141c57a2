// SPDX-License-Identifier: MIT
//
// The plugin's table as a Vulkan host would stand behind it: devices are the host's, lent by import_device, and
// calls may be recorded into the host's command buffers on its VkBuffers. The conformance suite runs through it as
// it runs through the library's own table.
#ifndef MOE_TESTS_INTEROP_HOST_API_H_
#define MOE_TESTS_INTEROP_HOST_API_H_

#include "plugin_api/moe_plugin.h"

namespace moe_interop {

enum class HostMode {
  kImported,  // contexts and buffers of the library on a host's device
  kRecorded,  // every call recorded into a host's command buffer, every buffer a host's VkBuffer
};

// `library` stays in use until the process ends. One host table a process.
const moe_api* host_api(const moe_api* library, HostMode mode);

}  // namespace moe_interop

#endif  // MOE_TESTS_INTEROP_HOST_API_H_
