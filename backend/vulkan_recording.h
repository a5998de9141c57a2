// SPDX-License-Identifier: MIT
//
// A call with its plan, buffers and workspace, to be recorded into a host's command buffers. All that can fail or
// allocate is done when it is made.
#pragma once

#include "backend/descriptor_sets.h"
#include "backend/vulkan_buffer.h"

namespace moevk {

struct WorkspaceRange {
  std::shared_ptr<Buffer> buffer;  // null: the recording's own
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class VulkanRecording {
 public:
  struct Info {
    uint64_t workspace_bytes = 0;
    uint32_t dispatches = 0;
    uint32_t barriers = 0;
  };

  // Plans without compiling. Every view of the call lies in a buffer.
  static Result<Info> query(const Call& call);
  static Result<std::shared_ptr<VulkanRecording>> create(const Call& call, const WorkspaceRange& workspace);
  explicit VulkanRecording(const Call& call);
  VulkanRecording(const VulkanRecording&) = delete;
  VulkanRecording& operator=(const VulkanRecording&) = delete;

  const Call& call() const { return call_; }
  // Other buffers for the same plan.
  Status update(const Call& call, const WorkspaceRange& workspace);
  // vkCmd* alone.
  Status record(VkCommandBuffer commands, bool entry_barrier) const;

 private:
  Status bind(const Call& call, const WorkspaceRange& workspace);
  VulkanLayer& layer() const { return *static_cast<VulkanLayer*>(call_.layer.get()); }

  Call call_;  // keeps layer and buffers alive
  std::shared_ptr<const ExecutablePlan> plan_;
  PlanBuffers buffers_;
  WorkspaceRange workspace_;
  GpuBuffer own_workspace_;
  DescriptorSets pool_;
  std::vector<VkDescriptorSet> sets_;
};

}  // namespace moevk
