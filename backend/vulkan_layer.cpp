// SPDX-License-Identifier: MIT
//
// Descriptor sets for the weights' windows, and plans on demand.
#include "backend/vulkan_layer.h"

#include <algorithm>

#include "backend/descriptor_sets.h"
#include "runtime/plan_text.h"

namespace moevk {
namespace {

// A layer that meets more shapes than these forgets the oldest.
constexpr size_t kMostPlans = 256;
constexpr size_t kMostPlannedDispatches = 100'000;  // in all of them: a plan of 2^20 tokens lists every chunk

constexpr Stage kStages[] = {Stage::kForward, Stage::kRoute, Stage::kPlanDispatch, Stage::kExperts, Stage::kCombine};

// Token counts at which plans change, of those within first..last; the chunks of a longer call may have any.
std::vector<uint64_t> representative_tokens(const LayerSpec& spec, uint64_t limit, uint64_t first, uint64_t last) {
  if (last > limit) first = 1;
  last = std::min(last, limit);
  std::vector<uint64_t> tokens = {first, last};
  const uint64_t one_sort = kNumberMaxSortRoutes / spec.slots;
  for (uint64_t t : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{5}, uint64_t{8}, uint64_t{kNumberMaxSmallTokens},
                     uint64_t{kNumberMaxSmallTokens} + 1, one_sort, one_sort + 1, uint64_t{127}, uint64_t{128},
                     uint64_t{255}, uint64_t{256}}) {
    if (t >= first && t <= last) tokens.push_back(t);
  }
  return tokens;
}

// Asks for everything that a stage can give.
CallShape fullest_shape(const LayerSpec& spec, Stage stage, uint64_t tokens) {
  CallShape shape;
  shape.stage = stage;
  shape.tokens = tokens;
  shape.ids_columns = shape.weights_columns = spec.slots;
  const auto want = [&](ViewId id) { shape.outputs |= 1u << static_cast<uint32_t>(id); };
  if (stage == Stage::kPlanDispatch) want(ViewId::kCounts);
  if (stage != Stage::kForward && stage != Stage::kRoute) return shape;
  for (ViewId id : {ViewId::kIds, ViewId::kWeights, ViewId::kCounts}) want(id);
  if (spec.desc.route_source <= MOE_ROUTE_FROM_SCORES) want(ViewId::kScores);
  if (spec.computes_logits()) want(ViewId::kLogits);
  return shape;
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
  std::vector<BindingPass> passes;
  for (const auto& of_set : layout_.passes) passes.insert(passes.end(), of_set.begin(), of_set.end());
  const auto count = static_cast<uint32_t>(passes.size());
  window_sets_.resize(count);
  MOE_RETURN_IF_ERROR(
      make_sets(vulkan(), vulkan().pipelines().windows_layout(), kNumberMaxBoundWindows, &pool_, window_sets_));
  for (uint32_t i = 0; i < count; ++i) {
    VkDescriptorBufferInfo buffers[kNumberMaxBoundWindows];
    for (uint32_t w = 0; w < kNumberMaxBoundWindows; ++w) {  // every element must be valid: the last window repeats
      const uint32_t window = passes[i].first_window + std::min(w, passes[i].windows - 1);
      const WeightWindow& m = memory_.windows[window];
      buffers[w] = {m.handle, m.offset, m.bytes};
      SharedState::raise(&vulkan().state().largest_binding_bytes, m.bytes);
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
  MOE_RETURN_IF_ERROR(plan_and_compile(shape, made.get()));
  if (vulkan().state().options().trace_plan) {
    vulkan().state().log(MOE_LOG_TRACE, plan_text(spec(), layout_, vulkan().planning_caps(), made->plan));
  }
  planned_dispatches_ += made->pipelines.size();
  while (!plans_.empty() && (plans_.size() >= kMostPlans || planned_dispatches_ > kMostPlannedDispatches)) {
    planned_dispatches_ -= plans_.front()->pipelines.size();
    plans_.erase(plans_.begin());
  }
  plans_.push_back(made);
  return std::shared_ptr<const ExecutablePlan>(std::move(made));
}

Status VulkanLayer::prepare(uint64_t first_tokens, uint64_t last_tokens) {
  MOE_RETURN_IF_ERROR(vulkan().check_lost());
  const uint64_t limit = chunk_limit(spec(), vulkan().planning_caps());
  ExecutablePlan made;  // for its pipelines, which the device keeps
  for (uint64_t tokens : representative_tokens(spec(), limit, first_tokens, last_tokens)) {
    for (uint32_t x_dtype : {MOE_DTYPE_F32, MOE_DTYPE_F16, MOE_DTYPE_BF16}) {
      for (Stage stage : kStages) {
        CallShape shape = fullest_shape(spec(), stage, tokens);
        shape.x_dtype = shape.router_x_dtype = x_dtype;
        MOE_RETURN_IF_ERROR(plan_and_compile(shape, &made));
      }
    }
  }
  vulkan().pipelines().save();
  return {};
}

VkDescriptorSet VulkanLayer::windows(WeightSet set, uint32_t pass) const {
  size_t index = pass;
  for (size_t i = 0; i < static_cast<size_t>(set); ++i) index += layout_.passes[i].size();
  return window_sets_[index];
}

Status VulkanLayer::plan_and_compile(const CallShape& shape, ExecutablePlan* out) {
  for (;;) {
    MOE_ASSIGN_OR_RETURN(out->plan, plan_only(shape));
    KernelId failed{};
    Status status = compile(out, &failed);
    // What the driver cannot compile is struck, and the next plan does without it.
    if (status.ok() || !vulkan().strike(failed, status)) return status;
  }
}

Status VulkanLayer::compile(ExecutablePlan* plan, KernelId* failed) {
  plan->pipelines.clear();
  for (const Step& step : plan->plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      *failed = dispatch.kernel;
      MOE_ASSIGN_OR_RETURN(const Pipeline pipeline, vulkan().pipelines().get(dispatch));
      plan->pipelines.push_back(pipeline);
    }
  }
  return {};
}

// No region that holds rows shrinks when a chunk has more tokens, and what unused bindings take is little beside the
// tile list and the order, which only grow: the largest chunk bounds them all (tests/unit/plan_property_test.cpp).
Result<uint64_t> largest_workspace(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                                   uint64_t max_tokens) {
  uint64_t most = 0;
  const uint64_t tokens = std::min<uint64_t>(max_tokens, chunk_limit(spec, caps));
  for (Stage stage : kStages) {
    MOE_ASSIGN_OR_RETURN(const Plan plan, plan_call(spec, layout, caps, fullest_shape(spec, stage, tokens)));
    most = std::max(most, plan.workspace_bytes);
  }
  return most;
}

}  // namespace moevk
