// SPDX-License-Identifier: MIT
//
// One loop over steps and dispatches: pipeline, buffers, push constants with the host's offsets, dispatch; between
// steps one memory barrier.
#include "backend/record_plan.h"

#include <algorithm>
#include <cstring>

namespace moevk {
namespace {

struct Range {
  VkDescriptorBufferInfo buffer;
  uint64_t remainder;  // bytes from the bound offset to the first element
};

Range bind_view(const BoundView& view, const Step& step, uint64_t alignment) {
  const uint64_t first_row = step.first_token * view.rows_per_token;
  const uint64_t rows = view.rows_per_token != 0 ? step.tokens * view.rows_per_token : view.rows;
  const uint64_t base = view.offset + first_row * view.stride;
  const uint64_t aligned = base / alignment * alignment;
  const uint64_t bytes = (rows - 1) * view.stride + (view.row_bytes + 3) / 4 * 4;
  return {{view.buffer, aligned, base - aligned + bytes}, base - aligned};
}

uint32_t patched(const Patch& patch, const BoundView& view, const Step& step, uint64_t alignment, float beta) {
  switch (patch.kind) {
    case Patch::Kind::kOffsetWords: return static_cast<uint32_t>(bind_view(view, step, alignment).remainder / 4);
    case Patch::Kind::kStrideWords: return static_cast<uint32_t>(view.stride / 4);
    case Patch::Kind::kOffsetVec4: return static_cast<uint32_t>(bind_view(view, step, alignment).remainder / 16);
    case Patch::Kind::kStrideVec4: return static_cast<uint32_t>(view.stride / 16);
    case Patch::Kind::kBeta: break;
  }
  uint32_t bits;
  std::memcpy(&bits, &beta, 4);
  return bits;
}

VkDescriptorBufferInfo resolve(const Binding& binding, const Step& step, const Plan& plan, const VulkanLayer& layer,
                               const PlanBuffers& buffers, uint64_t alignment) {
  switch (binding.kind) {
    case Binding::Kind::kView: return bind_view(buffers.views[binding.index], step, alignment).buffer;
    case Binding::Kind::kRegion: {
      const bool unused = static_cast<Region>(binding.index) == Region::kUnused;
      const uint64_t offset =
          buffers.workspace_offset + plan.region_offset[binding.index] + (unused ? binding.unused * 256ull : 0);
      return {buffers.workspace, offset, unused ? 256 : plan.region_bytes[binding.index]};
    }
    case Binding::Kind::kRouter: return {layer.router(), 0, VK_WHOLE_SIZE};
    case Binding::Kind::kAux: return {layer.aux(), 0, VK_WHOLE_SIZE};
    case Binding::Kind::kTable: return {layer.table(), 0, VK_WHOLE_SIZE};
  }
  return {};
}

void step_barrier(const DeviceFunctions& vk, VkCommandBuffer commands) {
  const VkMemoryBarrier barrier{
      VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_SHADER_WRITE_BIT,
      VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_INDIRECT_COMMAND_READ_BIT};
  vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                          VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT, 0, 1, &barrier, 0,
                          nullptr, 0, nullptr);
}

}  // namespace

DescriptorBinder::~DescriptorBinder() {
  for (VkDescriptorPool pool : pools_) device_->vk().vkDestroyDescriptorPool(device_->handle(), pool, nullptr);
}

Status DescriptorBinder::reserve(const std::vector<Step>& steps) {
  if (device_->caps().push_descriptors != 0) return {};
  std::vector<size_t> needed(16);
  for (const Step& step : steps) {
    for (const Dispatch& dispatch : step.dispatches) ++needed[dispatch.bindings.size()];
  }
  ready_.resize(needed.size());
  for (uint32_t bindings = 1; bindings < needed.size(); ++bindings) {
    while (ready_[bindings].size() < needed[bindings]) {
      const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kSetsPerPool * bindings};
      VkDescriptorPoolCreateInfo info{};
      info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
      info.maxSets = kSetsPerPool;
      info.poolSizeCount = 1;
      info.pPoolSizes = &size;
      VkDescriptorPool pool = VK_NULL_HANDLE;
      MOEVK_TRY(device_->vk().vkCreateDescriptorPool(device_->handle(), &info, nullptr, &pool));
      pools_.push_back(pool);
      MOE_ASSIGN_OR_RETURN(const VkDescriptorSetLayout layout, device_->pipelines().buffers_layout(bindings));
      const std::vector<VkDescriptorSetLayout> layouts(kSetsPerPool, layout);
      std::vector<VkDescriptorSet> sets(kSetsPerPool);
      VkDescriptorSetAllocateInfo allocate{};
      allocate.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
      allocate.descriptorPool = pool;
      allocate.descriptorSetCount = kSetsPerPool;
      allocate.pSetLayouts = layouts.data();
      MOEVK_TRY(device_->vk().vkAllocateDescriptorSets(device_->handle(), &allocate, sets.data()));
      ready_[bindings].insert(ready_[bindings].end(), sets.begin(), sets.end());
      all_.resize(needed.size());
      all_[bindings].insert(all_[bindings].end(), sets.begin(), sets.end());
    }
  }
  return {};
}

void DescriptorBinder::reset() { ready_ = all_; }

void DescriptorBinder::bind(VkCommandBuffer commands, VkPipelineLayout layout, const VkDescriptorBufferInfo* buffers,
                            uint32_t count) {
  std::array<VkWriteDescriptorSet, 16> writes{};
  const bool push = device_->caps().push_descriptors != 0;
  VkDescriptorSet set = VK_NULL_HANDLE;
  if (!push) {
    set = ready_[count].back();
    ready_[count].pop_back();
  }
  for (uint32_t i = 0; i < count; ++i) {
    writes[i].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    writes[i].dstSet = set;
    writes[i].dstBinding = i;
    writes[i].descriptorCount = 1;
    writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[i].pBufferInfo = &buffers[i];
  }
  if (push) {
    device_->vk().vkCmdPushDescriptorSetKHR(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, count, writes.data());
  } else {
    device_->vk().vkUpdateDescriptorSets(device_->handle(), count, writes.data(), 0, nullptr);
    device_->vk().vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, nullptr);
  }
}

Status check_view_ranges(const ExecutablePlan& plan, const PlanBuffers& buffers, const DeviceCaps& caps) {
  for (const Step& step : plan.plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      for (const Binding& binding : dispatch.bindings) {
        if (binding.kind != Binding::Kind::kView) continue;
        const uint64_t range =
            bind_view(buffers.views[binding.index], step, caps.storage_offset_alignment).buffer.range;
        if (range > std::min<uint64_t>(caps.max_storage_buffer_range, 16ull << 30)) {
          return unsupported(std::string("args.") + view_name(static_cast<ViewId>(binding.index)),
                             std::to_string(range) + " bytes of the view are bound at once; the device binds at most " +
                                 std::to_string(caps.max_storage_buffer_range));
        }
      }
    }
  }
  return {};
}

void record_plan(VulkanDevice* device, VkCommandBuffer commands, const ExecutablePlan& executable,
                 const VulkanLayer& layer, const PlanBuffers& buffers, DescriptorBinder* binder,
                 const std::function<void(size_t)>& after_step) {
  const DeviceFunctions& vk = device->vk();
  const uint64_t alignment = std::max<uint64_t>(device->caps().storage_offset_alignment, 4);
  const Plan& plan = executable.plan;
  size_t next = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if (i != 0) step_barrier(vk, commands);
    for (const Dispatch& dispatch : step.dispatches) {
      const Pipeline& pipeline = executable.pipelines[next++];
      vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle);
      std::array<VkDescriptorBufferInfo, 16> ranges;
      const auto count = static_cast<uint32_t>(dispatch.bindings.size());
      for (uint32_t b = 0; b < count; ++b)
        ranges[b] = resolve(dispatch.bindings[b], step, plan, layer, buffers, alignment);
      binder->bind(commands, pipeline.layout, ranges.data(), count);
      if (dispatch.weight_set != WeightSet::kNone && device->caps().buffer_device_address == 0) {
        const VkDescriptorSet windows = layer.windows(dispatch.weight_set, dispatch.binding_pass);
        vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 1, 1, &windows, 0,
                                   nullptr);
      }
      std::array<uint32_t, 32> push = dispatch.push;
      for (const Patch& patch : dispatch.patches) {
        push[patch.word] =
            patched(patch, buffers.views[static_cast<size_t>(patch.view)], step, alignment, buffers.beta);
      }
      vk.vkCmdPushConstants(commands, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatch.push_words * 4,
                            push.data());
      if (dispatch.indirect) {
        const uint64_t region = plan.region_offset[static_cast<size_t>(Region::kIndirect)];
        vk.vkCmdDispatchIndirect(commands, buffers.workspace,
                                 buffers.workspace_offset + region + dispatch.indirect_offset_bytes);
      } else {
        vk.vkCmdDispatch(commands, dispatch.grid[0], dispatch.grid[1], dispatch.grid[2]);
      }
    }
    if (after_step) after_step(i);
  }
}

}  // namespace moevk
