// SPDX-License-Identifier: MIT
//
// Plan -> commands. Knows buffers and offsets, not who owns the device, the command buffer or the memory: a host's
// will do. Nothing here allocates once the binder has reserved, submits or waits.
#pragma once

#include <functional>
#include <vector>

#include "backend/vulkan_layer.h"

namespace moevk {

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

// Binds storage buffers to set 0: push descriptors, or sets out of pools that one batch of commands fills.
class DescriptorBinder {
 public:
  explicit DescriptorBinder(VulkanDevice* device) : device_(device) {}
  DescriptorBinder(const DescriptorBinder&) = delete;
  DescriptorBinder& operator=(const DescriptorBinder&) = delete;
  ~DescriptorBinder();

  // Makes room for that many bindings calls; afterwards bind cannot fail.
  Status reserve(const std::vector<Step>& steps);
  void bind(VkCommandBuffer commands, VkPipelineLayout layout, const VkDescriptorBufferInfo* buffers, uint32_t count);
  void reset();  // the commands recorded so far are done

 private:
  static constexpr uint32_t kSetsPerPool = 64;
  VulkanDevice* device_;
  std::vector<VkDescriptorPool> pools_;
  std::vector<std::vector<VkDescriptorSet>> all_;    // by number of bindings
  std::vector<std::vector<VkDescriptorSet>> ready_;  // not used since the last reset
};

// The largest range that the plan would bind of a view must fit the device.
Status check_view_ranges(const ExecutablePlan& plan, const PlanBuffers& buffers, const DeviceCaps& caps);

// after_step, if set, is called behind each step (time stamps).
void record_plan(VulkanDevice* device, VkCommandBuffer commands, const ExecutablePlan& plan, const VulkanLayer& layer,
                 const PlanBuffers& buffers, DescriptorBinder* binder, const std::function<void(size_t)>& after_step);

}  // namespace moevk
