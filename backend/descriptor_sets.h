// SPDX-License-Identifier: MIT
//
// Descriptor sets for a plan's dispatches, on devices without push descriptors: taken from pools and written before
// recording begins, so that recording itself is vkCmd* alone.
#pragma once

#include <span>
#include <vector>

#include "backend/record_plan.h"

namespace moevk {

// Allocates `sets`, each of `buffers` storage buffers, from a pool of their own, which is the caller's even on an error.
Status make_sets(const VulkanDevice& device, VkDescriptorSetLayout layout, uint32_t buffers, VkDescriptorPool* pool,
                 std::span<VkDescriptorSet> sets);

class DescriptorSets {
 public:
  explicit DescriptorSets(VulkanDevice* device) : device_(device) {}
  DescriptorSets(const DescriptorSets&) = delete;
  DescriptorSets& operator=(const DescriptorSets&) = delete;
  ~DescriptorSets();

  // Appends one set for each dispatch of the plan, not written yet; nothing where descriptors are pushed.
  Status take(const Plan& plan, std::vector<VkDescriptorSet>* out);
  // One set of `bindings` storage buffers; null where descriptors are pushed.
  Result<VkDescriptorSet> take(uint32_t bindings);
  // All sets taken since the last reset are free again: the commands that use them are done.
  void reset() { free_ = all_; }

 private:
  Status add_pool(uint32_t bindings);

  static constexpr uint32_t kSetsPerPool = 64;
  VulkanDevice* device_;
  std::vector<VkDescriptorPool> pools_;
  std::vector<std::vector<VkDescriptorSet>> all_;   // by number of bindings
  std::vector<std::vector<VkDescriptorSet>> free_;  // not taken since the last reset
};

// Points the sets of a plan's dispatches at a call's buffers.
void write_sets(const VulkanDevice& device, const Plan& plan, const VulkanLayer& layer, const PlanBuffers& buffers,
                std::span<const VkDescriptorSet> sets);

}  // namespace moevk
