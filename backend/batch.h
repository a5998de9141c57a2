// SPDX-License-Identifier: MIT
//
// What one flush submits: commands, the staging and descriptors they use, what must live until they are done, and
// the host memory to be filled then.
#pragma once

#include "backend/descriptor_sets.h"
#include "backend/staging_arena.h"

namespace moevk {

// A host output to be filled when the batch is done.
struct HostOutput {
  StagingArena::Region region;
  uint64_t staged_stride = 0;
  View view;
};

struct TimedStep {
  StepTiming timing;
  uint32_t begin = 0;  // query
  uint32_t end = 0;
};

struct Batch {
  explicit Batch(VulkanDevice* device) : commands(device->vk(), device->handle()), arena(device), sets(device) {}
  CommandBuffer commands;
  StagingArena arena;
  DescriptorSets sets;
  std::vector<VkDescriptorSet> taken;  // of one call; kept for its capacity
  VkQueryPool queries = VK_NULL_HANDLE;
  uint32_t queries_used = 0;
  uint32_t calls = 0;
  uint64_t value = 0;  // 0: not submitted
  bool recording = false;
  std::vector<HostOutput> outputs;
  std::vector<TimedStep> timed;
  std::vector<std::shared_ptr<const void>> holds;  // layers, buffers, plans, a workspace that was replaced

  // Forgets what was encoded. The commands need no end: the next begin resets their pool.
  void discard() {
    recording = false;
    outputs.clear();
    timed.clear();
    holds.clear();
  }
};

}  // namespace moevk
