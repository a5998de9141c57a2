// SPDX-License-Identifier: MIT
//
// A layer's weights in device memory, the expert table that leads to them, and the plans made for it so far.
#pragma once

#include "backend/vulkan_device.h"
#include "runtime/plan.h"

namespace moevk {

// A plan with its pipelines: all that recording needs besides the call's buffers.
struct ExecutablePlan {
  Plan plan;
  std::vector<Pipeline> pipelines;  // of the dispatches, step by step
};

class VulkanLayer final : public Layer {
 public:
  struct WeightWindow {
    GpuBuffer own;  // empty: in place, in a host's buffer
    VkBuffer handle = VK_NULL_HANDLE;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  struct Memory {
    std::vector<WeightWindow> windows;
    GpuBuffer table, router, aux;
    uint64_t bytes = 0;
    uint64_t in_place_bytes = 0;
    std::vector<std::shared_ptr<Buffer>> host_buffers;  // kept alive
  };
  VulkanLayer(std::shared_ptr<VulkanDevice> device, LayerSpec spec, WeightLayout layout, Memory memory);
  ~VulkanLayer() override;
  Status open();  // descriptor sets of the windows

  uint64_t weight_bytes() const override { return memory_.bytes; }
  uint64_t in_place_bytes() const override { return memory_.in_place_bytes; }
  uint64_t max_stage_tokens() const override { return chunk_limit(spec(), vulkan().planning_caps()); }
  Status prepare(uint64_t first_tokens, uint64_t last_tokens) override;
  // Without pipelines: compiles nothing.
  Result<Plan> plan_only(const CallShape& shape) const {
    return plan_call(spec(), layout_, vulkan().planning_caps(), shape);
  }
  // Thread-safe; the same shape gives the same plan.
  Result<std::shared_ptr<const ExecutablePlan>> plan(const CallShape& shape);

  VulkanDevice& vulkan() const { return *static_cast<VulkanDevice*>(device()); }
  const WeightLayout& layout() const { return layout_; }
  const Memory& memory() const { return memory_; }
  const GpuBuffer& table() const { return memory_.table; }
  const GpuBuffer& router() const { return memory_.router; }
  const GpuBuffer& aux() const { return memory_.aux; }
  VkDescriptorSet windows(WeightSet set, uint32_t pass) const;

 private:
  // Plans until every pipeline compiles; kernels that do not are struck on the way.
  Status plan_and_compile(const CallShape& shape, ExecutablePlan* out);
  // The pipelines of plan->plan; on an error `failed` is the kernel that did not compile.
  Status compile(ExecutablePlan* plan, KernelId* failed);

  WeightLayout layout_;
  Memory memory_;
  VkDescriptorPool pool_ = VK_NULL_HANDLE;
  std::vector<VkDescriptorSet> window_sets_;  // of each set's passes; empty with device addresses
  std::mutex mutex_;
  std::vector<std::shared_ptr<const ExecutablePlan>> plans_;
  size_t planned_dispatches_ = 0;
};

// Workspace of the largest call with up to max_tokens.
Result<uint64_t> largest_workspace(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                                   uint64_t max_tokens);

}  // namespace moevk
