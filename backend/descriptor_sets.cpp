// SPDX-License-Identifier: MIT
//
// Pools of sets that have the same number of storage buffers.
#include "backend/descriptor_sets.h"

namespace moevk {

DescriptorSets::~DescriptorSets() {
  for (VkDescriptorPool pool : pools_) device_->vk().vkDestroyDescriptorPool(device_->handle(), pool, nullptr);
}

Status make_sets(const VulkanDevice& device, VkDescriptorSetLayout layout, uint32_t buffers, VkDescriptorPool* pool,
                 std::span<VkDescriptorSet> sets) {
  const auto count = static_cast<uint32_t>(sets.size());
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, count * buffers};
  VkDescriptorPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  info.maxSets = count;
  info.poolSizeCount = 1;
  info.pPoolSizes = &size;
  MOEVK_TRY(device.vk().vkCreateDescriptorPool(device.handle(), &info, nullptr, pool));
  const std::vector<VkDescriptorSetLayout> layouts(count, layout);
  VkDescriptorSetAllocateInfo allocate{};
  allocate.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
  allocate.descriptorPool = *pool;
  allocate.descriptorSetCount = count;
  allocate.pSetLayouts = layouts.data();
  MOEVK_TRY(device.vk().vkAllocateDescriptorSets(device.handle(), &allocate, sets.data()));
  return {};
}

Status DescriptorSets::add_pool(uint32_t bindings) {
  MOE_ASSIGN_OR_RETURN(const VkDescriptorSetLayout layout, device_->pipelines().buffers_layout(bindings));
  std::vector<VkDescriptorSet> sets(kSetsPerPool);
  MOE_RETURN_IF_ERROR(make_sets(*device_, layout, bindings, &pools_.emplace_back(), sets));
  free_[bindings].insert(free_[bindings].end(), sets.begin(), sets.end());
  all_[bindings].insert(all_[bindings].end(), sets.begin(), sets.end());
  return {};
}

Result<VkDescriptorSet> DescriptorSets::take(uint32_t bindings) {
  if (device_->caps().push_descriptors != 0) return VkDescriptorSet{VK_NULL_HANDLE};
  free_.resize(kMostBindings + 1);
  all_.resize(kMostBindings + 1);
  auto& free = free_[bindings];
  if (free.empty()) MOE_RETURN_IF_ERROR(add_pool(bindings));
  const VkDescriptorSet set = free.back();
  free.pop_back();
  return set;
}

Status DescriptorSets::take(const Plan& plan, std::vector<VkDescriptorSet>* out) {
  if (device_->caps().push_descriptors != 0) return {};
  for (const Step& step : plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      MOE_ASSIGN_OR_RETURN(const VkDescriptorSet set, take(static_cast<uint32_t>(dispatch.bindings.size())));
      out->push_back(set);
    }
  }
  return {};
}

void write_sets(const VulkanDevice& device, const Plan& plan, const VulkanLayer& layer, const PlanBuffers& buffers,
                std::span<const VkDescriptorSet> sets) {
  if (sets.empty()) return;  // pushed
  size_t next = 0;
  for (const Step& step : plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      const BoundBuffers bound(dispatch, step, plan, layer, buffers);
      std::array<VkWriteDescriptorSet, kMostBindings> writes = bound.writes(sets[next++]);
      device.vk().vkUpdateDescriptorSets(device.handle(), bound.count(), writes.data(), 0, nullptr);
    }
  }
}

}  // namespace moevk
