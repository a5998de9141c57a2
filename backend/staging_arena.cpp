// SPDX-License-Identifier: MIT
//
// Blocks are kept between batches; a call that needs more than any block has room for gets a new one.
#include "backend/staging_arena.h"

#include <algorithm>

namespace moevk {
namespace {

constexpr uint64_t kBlockBytes = 1u << 20;
constexpr uint64_t kAlignment = 256;

}  // namespace

Result<StagingArena::Region> StagingArena::allocate(uint64_t bytes) {
  const uint64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i].host.bytes() - blocks_[i].used < size) continue;
    const Region region{i, blocks_[i].used, bytes};
    blocks_[i].used += size;
    return region;
  }
  Block block;
  const uint64_t block_bytes = std::max(size, kBlockBytes);
  MOE_ASSIGN_OR_RETURN(block.host,
                       GpuBuffer::create(device_->allocator(), block_bytes, GpuBuffer::Use::kStaging, "staging"));
  if (copies()) {
    MOE_ASSIGN_OR_RETURN(block.device,
                         GpuBuffer::create(device_->allocator(), block_bytes, GpuBuffer::Use::kTwin, "staging"));
  }
  block.used = size;
  blocks_.push_back(std::move(block));
  return Region{blocks_.size() - 1, 0, bytes};
}

std::vector<uint64_t> StagingArena::mark() const {
  std::vector<uint64_t> used;
  for (const Block& block : blocks_) used.push_back(block.used);
  return used;
}

void StagingArena::rewind(const std::vector<uint64_t>& mark) {
  for (size_t i = 0; i < blocks_.size(); ++i) blocks_[i].used = i < mark.size() ? mark[i] : 0;
}

void StagingArena::reset() { rewind({}); }

void StagingArena::copy(VkCommandBuffer commands, const Region& region, bool in) const {
  const Block& block = blocks_[region.block];
  const VkBufferCopy range{region.offset, region.offset, (region.bytes + 3) / 4 * 4};
  const VkBuffer host = block.host.handle(), device = block.device.handle();
  device_->vk().vkCmdCopyBuffer(commands, in ? host : device, in ? device : host, 1, &range);
}

}  // namespace moevk
