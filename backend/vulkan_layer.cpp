// SPDX-License-Identifier: MIT
//
// Descriptor sets for the weights' windows, and plans on demand.
#include "backend/vulkan_layer.h"

#include <algorithm>

#include "runtime/plan_text.h"

namespace moevk {
namespace {

constexpr size_t kMostPlans = 256;  // a layer that meets more shapes forgets the oldest

// Token counts whose plans use all pipelines that counts within first..last can use.
std::vector<uint64_t> representative_tokens(uint64_t first, uint64_t last) {
  std::vector<uint64_t> tokens = {first, last};
  for (uint64_t t = first; t <= last && t <= 64; ++t) tokens.push_back(t);
  for (uint64_t t = 64; t < last; t *= 2) {
    if (t > first) tokens.push_back(t);
  }
  return tokens;
}

}  // namespace

VulkanLayer::VulkanLayer(std::shared_ptr<VulkanDevice> device, LayerSpec spec, WeightLayout layout, Memory memory)
    : Layer(std::move(device), std::move(spec)), layout_(std::move(layout)), memory_(std::move(memory)) {}

VulkanLayer::~VulkanLayer() {
  if (pool_ != VK_NULL_HANDLE) vulkan().vk().vkDestroyDescriptorPool(vulkan().handle(), pool_, nullptr);
}

Status VulkanLayer::open() {
  if (vulkan().caps().buffer_device_address != 0) return {};
  const DeviceFunctions& vk = vulkan().vk();
  std::vector<BindingPass> passes = layout_.gate_up_passes;
  passes.insert(passes.end(), layout_.down_passes.begin(), layout_.down_passes.end());
  const auto count = static_cast<uint32_t>(passes.size());
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, count * kNumberMaxBoundWindows};
  VkDescriptorPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  pool.maxSets = count;
  pool.poolSizeCount = 1;
  pool.pPoolSizes = &size;
  MOEVK_TRY(vk.vkCreateDescriptorPool(vulkan().handle(), &pool, nullptr, &pool_));
  const std::vector<VkDescriptorSetLayout> layouts(count, vulkan().pipelines().windows_layout());
  window_sets_.resize(count);
  VkDescriptorSetAllocateInfo sets{};
  sets.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
  sets.descriptorPool = pool_;
  sets.descriptorSetCount = count;
  sets.pSetLayouts = layouts.data();
  MOEVK_TRY(vk.vkAllocateDescriptorSets(vulkan().handle(), &sets, window_sets_.data()));
  for (uint32_t i = 0; i < count; ++i) {
    VkDescriptorBufferInfo buffers[kNumberMaxBoundWindows];
    for (uint32_t w = 0; w < kNumberMaxBoundWindows; ++w) {  // every element must be valid: the last window repeats
      const uint32_t window = passes[i].first_window + std::min(w, passes[i].windows - 1);
      buffers[w] = {memory_.windows[window].handle(), 0, layout_.window_bytes[window]};
    }
    VkWriteDescriptorSet write{};
    write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    write.dstSet = window_sets_[i];
    write.descriptorCount = kNumberMaxBoundWindows;
    write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    write.pBufferInfo = buffers;
    vk.vkUpdateDescriptorSets(vulkan().handle(), 1, &write, 0, nullptr);
  }
  return {};
}

Result<std::shared_ptr<const ExecutablePlan>> VulkanLayer::plan(const CallShape& shape) {
  const std::lock_guard lock(mutex_);
  for (const auto& one : plans_) {
    if (one->plan.shape == shape) return one;
  }
  auto made = std::make_shared<ExecutablePlan>();
  MOE_ASSIGN_OR_RETURN(made->plan, plan_call(spec(), layout_, vulkan().caps(), shape));
  for (const Step& step : made->plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      MOE_ASSIGN_OR_RETURN(const Pipeline pipeline, vulkan().pipelines().get(dispatch));
      made->pipelines.push_back(pipeline);
    }
  }
  if (vulkan().state().options().trace_plan) {
    vulkan().state().log(MOE_LOG_TRACE, plan_text(spec(), layout_, vulkan().caps(), made->plan));
  }
  if (plans_.size() >= kMostPlans) plans_.erase(plans_.begin());
  plans_.push_back(made);
  return std::shared_ptr<const ExecutablePlan>(std::move(made));
}

Status VulkanLayer::prepare(uint64_t first_tokens, uint64_t last_tokens) {
  for (uint64_t tokens : representative_tokens(first_tokens, last_tokens)) {
    for (uint32_t x_dtype : {MOE_DTYPE_F32, MOE_DTYPE_F16, MOE_DTYPE_BF16}) {
      CallShape shape;
      shape.tokens = tokens;
      shape.x_dtype = x_dtype;
      MOE_ASSIGN_OR_RETURN(const Plan plan, plan_call(spec(), layout_, vulkan().caps(), shape));
      for (const Step& step : plan.steps) {
        for (const Dispatch& dispatch : step.dispatches) {
          Result<Pipeline> pipeline = vulkan().pipelines().get(dispatch);
          if (!pipeline.ok()) return std::move(pipeline.status());
        }
      }
    }
  }
  vulkan().pipelines().save();
  return {};
}

Result<uint64_t> largest_workspace(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps, uint64_t max_tokens) {
  uint64_t most = 0;
  // Needs grow with the tokens of a chunk; the largest chunk and the largest small-token call bound them.
  for (uint64_t tokens : {std::min<uint64_t>(max_tokens, chunk_limit(spec, caps)), max_tokens, std::min<uint64_t>(max_tokens, kNumberMaxSmallTokens)}) {
    CallShape shape;
    shape.tokens = tokens;
    shape.outputs = 1u << static_cast<uint32_t>(ViewId::kScores);
    MOE_ASSIGN_OR_RETURN(const Plan plan, plan_call(spec, layout, caps, shape));
    most = std::max(most, plan.workspace_bytes);
  }
  return most;
}

}  // namespace moevk
