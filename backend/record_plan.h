// SPDX-License-Identifier: MIT
//
// Plan -> commands. Knows buffers and offsets, not who owns the device, the command buffer or the memory: a host's
// will do. Recording calls vkCmd* alone and allocates nothing.
#pragma once

#include <functional>
#include <span>

#include "backend/vulkan_layer.h"

namespace moevk {

inline constexpr uint32_t kMostBindings = 16;

// A view as a range of a buffer.
struct BoundView {
  VkBuffer buffer = VK_NULL_HANDLE;
  uint64_t offset = 0;  // bytes
  uint64_t stride = 0;  // bytes
  uint64_t row_bytes = 0;
  uint64_t rows_per_token = 0;  // 0: not by tokens, bound whole
  uint64_t rows = 0;
};

struct PlanBuffers {
  std::array<BoundView, kViewCount> views;
  VkBuffer workspace = VK_NULL_HANDLE;
  uint64_t workspace_offset = 0;
  float beta = 0;
};

// A view of a call as a range; one in host memory has its shape alone, and no buffer yet.
BoundView bind_view(const Call& call, ViewId id);
// What of a call decides its plan, once its views are bound.
CallShape shape_of(const Call& call, const PlanBuffers& buffers);
// A view must not lie in the workspace (null: not the host's).
Status check_workspace(const Call& call, const std::shared_ptr<Buffer>& workspace, uint64_t offset, uint64_t bytes);
// The largest range that the plan would bind of a view must fit the device.
Status check_view_ranges(const ExecutablePlan& plan, const PlanBuffers& buffers, const DeviceCaps& caps);

// The ranges that one dispatch binds to set 0.
class BoundBuffers {
 public:
  BoundBuffers(const Dispatch& dispatch, const Step& step, const Plan& plan, const VulkanLayer& layer,
               const PlanBuffers& buffers);
  uint32_t count() const { return count_; }
  std::array<VkWriteDescriptorSet, kMostBindings> writes(VkDescriptorSet set) const;

 private:
  uint32_t count_;
  std::array<VkDescriptorBufferInfo, kMostBindings> ranges_;
};

// sets: one written for each dispatch (descriptor_sets.h), or none where descriptors are pushed. after_step, if set,
// is called behind each step (time stamps).
void record_plan(const VulkanDevice& device, VkCommandBuffer commands, const ExecutablePlan& plan,
                 const VulkanLayer& layer, const PlanBuffers& buffers, std::span<const VkDescriptorSet> sets,
                 const std::function<void(size_t)>& after_step);

}  // namespace moevk
