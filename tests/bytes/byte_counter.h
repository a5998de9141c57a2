// SPDX-License-Identifier: MIT
//
// In:  a host's Vulkan device that is lent to the plugin.
// Out: of each dispatch that the plugin records there, the bytes that it asked for and the lines that it touched.
// Why: stands between the plugin and the driver, so that the library that ships is what is counted: its shader modules
//      are rewritten (count_accesses.h), and its dispatches are kept apart by copies of the counters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/interop/vulkan_host.h"

namespace moe_bytes {

// Of one binding, or of all that was read through device addresses ("weights").
struct AccessBytes {
  std::string name;
  bool writes = false;
  uint64_t requested = 0;  // by all invocations, each access anew
  uint64_t coalesced = 0;  // by subgroups, one access anew, each address in it once; 0: not counted
  uint64_t distinct = 0;   // whole lines, each once
};

struct DispatchBytes {
  std::vector<AccessBytes> accesses;  // without those that did nothing
  uint64_t distinct() const;          // of reads and of writes
};

// One at a time. Made before the device is imported and pipelines are compiled; outlives the imported device.
class ByteCounter {
 public:
  // by_subgroups: with AccessBytes::coalesced; kernels then take several times as long to compile.
  explicit ByteCounter(moe_interop::VulkanHost& host, bool by_subgroups = true, uint32_t most_dispatches = 16);
  ByteCounter(const ByteCounter&) = delete;
  ByteCounter& operator=(const ByteCounter&) = delete;
  ~ByteCounter();

  // To be passed to VulkanHost.
  static PFN_vkVoidFunction VKAPI_CALL get_instance_proc_addr(VkInstance instance, const char* name);

  void reset();  // forgets the dispatches so far; none may be pending
  // Of the dispatches since reset, which must be done. Throws std::runtime_error where something was not counted:
  // a module that could not be rewritten, a line that belongs to no buffer, weights that share counters.
  std::vector<DispatchBytes> read() const;

 private:
  moe_interop::VulkanHost& host_;
  moe_interop::VulkanHost::Buffer counters_, log_;
};

}  // namespace moe_bytes
