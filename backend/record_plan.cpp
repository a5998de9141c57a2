// SPDX-License-Identifier: MIT
//
// One loop over steps and dispatches: pipeline, buffers, push constants with the host's offsets, dispatch; between
// steps one memory barrier.
#include "backend/record_plan.h"

#include <algorithm>
#include <cstring>

#include "backend/vulkan_buffer.h"

namespace moevk {
namespace {

// Offsets of bindings are rounded down to it; kernels add the rest, in words.
uint64_t binding_alignment(const DeviceCaps& caps) { return std::max<uint64_t>(caps.storage_offset_alignment, 4); }

struct Range {
  VkDescriptorBufferInfo buffer;
  uint64_t remainder;  // bytes from the bound offset to the first element
};

Range bound_range(const BoundView& view, const Step& step, uint64_t alignment) {
  const uint64_t first_row = step.first_token * view.rows_per_token;
  const uint64_t rows = view.rows_per_token != 0 ? step.tokens * view.rows_per_token : view.rows;
  const uint64_t base = view.offset + first_row * view.stride;
  const uint64_t aligned = base / alignment * alignment;
  const uint64_t bytes = (rows - 1) * view.stride + (view.row_bytes + 3) / 4 * 4;
  return {{view.buffer, aligned, base - aligned + bytes}, base - aligned};
}

uint32_t patched(const Patch& patch, const BoundView& view, const Step& step, uint64_t alignment, float beta) {
  switch (patch.kind) {
    case Patch::Kind::kOffsetWords: return static_cast<uint32_t>(bound_range(view, step, alignment).remainder / 4);
    case Patch::Kind::kStrideWords: return static_cast<uint32_t>(view.stride / 4);
    case Patch::Kind::kOffsetVec4: return static_cast<uint32_t>(bound_range(view, step, alignment).remainder / 16);
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
    case Binding::Kind::kView: return bound_range(buffers.views[binding.index], step, alignment).buffer;
    case Binding::Kind::kRegion: {
      const bool unused = static_cast<Region>(binding.index) == Region::kUnused;
      const uint64_t offset =
          buffers.workspace_offset + plan.region_offset[binding.index] + (unused ? binding.unused * 256ull : 0);
      return {buffers.workspace, offset, unused ? 256 : plan.region_bytes[binding.index]};
    }
    case Binding::Kind::kRouter: return {layer.router().handle(), 0, layer.router().bytes()};
    case Binding::Kind::kAux: return {layer.aux().handle(), 0, layer.aux().bytes()};
    case Binding::Kind::kTable: return {layer.table().handle(), 0, layer.table().bytes()};
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

BoundView bind_view(const Call& call, ViewId id) {
  const View& view = call.view(id);
  BoundView bound;
  bound.row_bytes = view.row_bytes();
  bound.rows = view.rows;
  const bool whole = id == ViewId::kCounts || id == ViewId::kOrder || id == ViewId::kOffsets;
  bound.rows_per_token = whole ? 0 : view.rows / call.tokens;
  if (view.buffer != nullptr) {
    const VulkanBuffer& buffer = vulkan_buffer(view.buffer);
    bound.buffer = buffer.handle();
    bound.offset = buffer.offset() + view.offset_bytes;
    bound.stride = view.stride_bytes;
  }
  return bound;
}

CallShape shape_of(const Call& call, const PlanBuffers& buffers) {
  const LayerSpec& spec = call.layer->spec();
  CallShape shape;
  shape.stage = call.stage;
  shape.tokens = call.tokens;
  if (call.has(ViewId::kX)) {
    const BoundView& x = buffers.views[static_cast<size_t>(ViewId::kX)];
    shape.x_dtype = call.view(ViewId::kX).dtype;
    shape.x_direct = shape.x_dtype == MOE_DTYPE_F32 && !spec.has(MOE_LAYER_INPUT_NORM) &&
                     spec.hidden_padded == spec.desc.hidden && x.offset % 16 == 0 && x.stride % 16 == 0;
  }
  if (call.has(ViewId::kRouterX)) shape.router_x_dtype = call.view(ViewId::kRouterX).dtype;
  if (call.has(ViewId::kY)) shape.y_dtype = call.view(ViewId::kY).dtype;
  if (call.has(ViewId::kResidual)) shape.residual_dtype = call.view(ViewId::kResidual).dtype;
  for (ViewId id : {ViewId::kIds, ViewId::kWeights, ViewId::kLogits, ViewId::kScores, ViewId::kCounts}) {
    if (call.has(id) && !is_input(call.stage, id)) shape.outputs |= 1u << static_cast<uint32_t>(id);
  }
  shape.ids_columns = static_cast<uint32_t>(call.view(ViewId::kIds).columns);
  shape.weights_columns = static_cast<uint32_t>(call.view(ViewId::kWeights).columns);
  return shape;
}

Status check_workspace(const Call& call, const std::shared_ptr<Buffer>& workspace, uint64_t offset, uint64_t bytes) {
  if (workspace == nullptr) return {};
  const BufferPlace place = workspace->place();
  for (size_t i = 0; i < kViewCount; ++i) {
    const auto id = static_cast<ViewId>(i);
    const View& view = call.view(id);
    if (view.buffer == nullptr || view.buffer->place().memory != place.memory) continue;
    const uint64_t first = view.buffer->place().offset_bytes + view.offset_bytes;
    const uint64_t workspace_first = place.offset_bytes + offset;
    if (first < workspace_first + bytes && workspace_first < first + view.span_bytes()) {
      return invalid(std::string("args.") + view_name(id) + ".buffer", "the view lies in the workspace");
    }
  }
  return {};
}

Status check_view_ranges(const ExecutablePlan& plan, const PlanBuffers& buffers, const DeviceCaps& caps) {
  for (const Step& step : plan.plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      for (const Binding& binding : dispatch.bindings) {
        if (binding.kind != Binding::Kind::kView) continue;
        const uint64_t range = bound_range(buffers.views[binding.index], step, binding_alignment(caps)).buffer.range;
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

BoundBuffers::BoundBuffers(const Dispatch& dispatch, const Step& step, const Plan& plan, const VulkanLayer& layer,
                           const PlanBuffers& buffers)
    : count_(static_cast<uint32_t>(dispatch.bindings.size())) {
  const uint64_t alignment = binding_alignment(layer.vulkan().caps());
  uint64_t largest = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    ranges_[i] = resolve(dispatch.bindings[i], step, plan, layer, buffers, alignment);
    largest = std::max(largest, ranges_[i].range);
  }
  SharedState::raise(&layer.vulkan().state().largest_binding_bytes, largest);
}

std::array<VkWriteDescriptorSet, kMostBindings> BoundBuffers::writes(VkDescriptorSet set) const {
  std::array<VkWriteDescriptorSet, kMostBindings> writes;
  for (uint32_t i = 0; i < count_; ++i) {
    writes[i] = {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, nullptr, set,         i,      0, 1,
                 VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,      nullptr, &ranges_[i], nullptr};
  }
  return writes;
}

void record_plan(const VulkanDevice& device, VkCommandBuffer commands, const ExecutablePlan& executable,
                 const VulkanLayer& layer, const PlanBuffers& buffers, std::span<const VkDescriptorSet> sets,
                 const std::function<void(size_t)>& after_step) {
  constexpr VkPipelineBindPoint kCompute = VK_PIPELINE_BIND_POINT_COMPUTE;
  const DeviceFunctions& vk = device.vk();
  const uint64_t alignment = binding_alignment(device.caps());
  const Plan& plan = executable.plan;
  size_t next = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if (i != 0) step_barrier(vk, commands);
    for (const Dispatch& dispatch : step.dispatches) {
      const Pipeline& pipeline = executable.pipelines[next];
      vk.vkCmdBindPipeline(commands, kCompute, pipeline.handle);
      if (sets.empty()) {
        const BoundBuffers bound(dispatch, step, plan, layer, buffers);
        const auto writes = bound.writes(VK_NULL_HANDLE);
        vk.vkCmdPushDescriptorSetKHR(commands, kCompute, pipeline.layout, 0, bound.count(), writes.data());
      } else {
        vk.vkCmdBindDescriptorSets(commands, kCompute, pipeline.layout, 0, 1, &sets[next], 0, nullptr);
      }
      ++next;
      if (dispatch.weight_set != WeightSet::kNone && device.caps().buffer_device_address == 0) {
        const VkDescriptorSet windows = layer.windows(dispatch.weight_set, dispatch.binding_pass);
        vk.vkCmdBindDescriptorSets(commands, kCompute, pipeline.layout, 1, 1, &windows, 0, nullptr);
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
