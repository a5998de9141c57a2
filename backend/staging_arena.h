// SPDX-License-Identifier: MIT
//
// Memory between a host's pointers and the device, for the calls of one batch. Where memory is unified a kernel
// works on the host-mapped bytes themselves; else each block has a twin on the device and is copied.
#pragma once

#include <cstring>
#include <vector>

#include "backend/vulkan_device.h"

namespace moevk {

class StagingArena {
 public:
  struct Region {
    size_t block = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  explicit StagingArena(VulkanDevice* device) : device_(device) {}
  Result<Region> allocate(uint64_t bytes);
  // Frees what was allocated since `mark`: an encode that failed leaves nothing.
  std::vector<uint64_t> mark() const;
  void rewind(const std::vector<uint64_t>& mark);
  void reset();

  std::byte* host(const Region& region) const { return blocks_[region.block].host.mapped() + region.offset; }
  VkBuffer device_buffer(const Region& region) const { return memory_of(blocks_[region.block]).handle(); }
  Status host_wrote(const Region& region) const {
    return blocks_[region.block].host.flush(region.offset, region.bytes);
  }
  Status host_reads(const Region& region) const {
    return blocks_[region.block].host.invalidate(region.offset, region.bytes);
  }
  bool copies() const { return device_->caps().unified_memory == 0; }
  void copy_in(VkCommandBuffer commands, const Region& region) const { copy(commands, region, true); }
  void copy_out(VkCommandBuffer commands, const Region& region) const { copy(commands, region, false); }

 private:
  struct Block {
    GpuBuffer host;
    GpuBuffer device;  // empty where memory is unified
    uint64_t used = 0;
  };
  const GpuBuffer& memory_of(const Block& block) const { return copies() ? block.device : block.host; }
  void copy(VkCommandBuffer commands, const Region& region, bool in) const;

  VulkanDevice* device_;
  std::vector<Block> blocks_;
};

}  // namespace moevk
