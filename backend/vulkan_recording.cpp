// SPDX-License-Identifier: MIT
//
// Binding a call once, so that recording is a loop over vkCmd*.
#include "backend/vulkan_recording.h"

namespace moevk {
namespace {

PlanBuffers bind_views(const Call& call) {
  PlanBuffers buffers;
  for (size_t i = 0; i < kViewCount; ++i) {
    if (call.views[i].present) buffers.views[i] = bind_view(call, static_cast<ViewId>(i));
  }
  buffers.beta = call.beta;
  return buffers;
}

}  // namespace

VulkanRecording::VulkanRecording(const Call& call) : call_(call), pool_(&layer().vulkan()) {}

Result<VulkanRecording::Info> VulkanRecording::query(const Call& call) {
  auto* layer = static_cast<VulkanLayer*>(call.layer.get());
  MOE_ASSIGN_OR_RETURN(const Plan plan, layer->plan_only(shape_of(call, bind_views(call))));
  return Info{plan.workspace_bytes, static_cast<uint32_t>(plan.dispatches()), static_cast<uint32_t>(plan.barriers())};
}

Result<std::shared_ptr<VulkanRecording>> VulkanRecording::create(const Call& call, const WorkspaceRange& workspace) {
  auto recording = std::make_shared<VulkanRecording>(call);
  VulkanDevice& device = recording->layer().vulkan();
  MOE_RETURN_IF_ERROR(device.check_lost());
  MOE_ASSIGN_OR_RETURN(recording->plan_, recording->layer().plan(shape_of(call, bind_views(call))));
  if (workspace.buffer == nullptr) {
    MOE_ASSIGN_OR_RETURN(recording->own_workspace_,
                         GpuBuffer::create(device.allocator(), recording->plan_->plan.workspace_bytes,
                                           GpuBuffer::Use::kPrivate, "a recording's workspace"));
  }
  MOE_RETURN_IF_ERROR(recording->pool_.take(recording->plan_->plan, &recording->sets_));
  MOE_RETURN_IF_ERROR(recording->bind(call, workspace));
  return recording;
}

Status VulkanRecording::update(const Call& call, const WorkspaceRange& workspace) {
  if (call.layer != call_.layer) return invalid("layer", "is not the recording's");
  if ((workspace.buffer == nullptr) != (workspace_.buffer == nullptr)) {
    return invalid("desc.workspace", workspace.buffer == nullptr ? "is NULL, but the recording was made with the host's"
                                                                 : "is given, but the recording has one of its own");
  }
  if (!(shape_of(call, bind_views(call)) == plan_->plan.shape)) {
    return invalid("desc.args",
                   "stage, tokens, types, the set of views and x at a multiple of 16 bytes or not must be as in "
                   "create_recording");
  }
  return bind(call, workspace);
}

// Checks everything before anything changes.
Status VulkanRecording::bind(const Call& call, const WorkspaceRange& workspace) {
  const VulkanDevice& device = layer().vulkan();
  PlanBuffers buffers = bind_views(call);
  MOE_RETURN_IF_ERROR(check_view_ranges(*plan_, buffers, device.caps()));
  if (workspace.buffer != nullptr) {
    const VulkanBuffer& buffer = vulkan_buffer(workspace.buffer);
    const uint64_t needed = plan_->plan.workspace_bytes;
    if (workspace.bytes < needed) {
      return invalid("desc.workspace_bytes",
                     "is " + std::to_string(workspace.bytes) + "; this call needs " + std::to_string(needed));
    }
    MOE_RETURN_IF_ERROR(check_workspace_buffer(buffer, workspace.offset));
    buffers.workspace = buffer.handle();
    buffers.workspace_offset = buffer.offset() + workspace.offset;
    MOE_RETURN_IF_ERROR(check_workspace(call, workspace.buffer, workspace.offset, workspace.bytes));
  } else {
    buffers.workspace = own_workspace_.handle();
  }
  call_ = call;
  workspace_ = workspace;
  buffers_ = buffers;
  write_sets(device, plan_->plan, layer(), buffers_, sets_);
  return {};
}

Status VulkanRecording::record(VkCommandBuffer commands, bool entry_barrier) const {
  const VulkanDevice& device = layer().vulkan();
  MOE_RETURN_IF_ERROR(device.check_lost());
  if (entry_barrier) {
    // Behind the call before: it may have written our inputs, and read our workspace.
    const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_SHADER_WRITE_BIT,
                                  VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    device.vk().vkCmdPipelineBarrier(commands,
                                     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT,
                                     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
  }
  record_plan(device, commands, *plan_, layer(), buffers_, sets_, nullptr);
  return {};
}

}  // namespace moevk
