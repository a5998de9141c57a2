// SPDX-License-Identifier: MIT
//
// All that can fail in an encode happens before the first command is recorded.
#include "backend/vulkan_context.h"

#include <algorithm>

#include "backend/batch.h"
#include "backend/record_plan.h"
#include "backend/vulkan_buffer.h"

namespace moevk {
namespace {

constexpr uint32_t kTimestamps = 1024;  // per batch
constexpr uint64_t kStagedRowAlignment = 16;

class StreamContext final : public VulkanContext {
 public:
  StreamContext(std::shared_ptr<VulkanDevice> device, ContextDesc desc)
      : device_(std::move(device)), desc_(std::move(desc)), timeline_(device_->vk(), device_->handle()) {}

  ~StreamContext() override {
    if (value_ != 0 && device_->check_lost().ok()) (void)timeline_.wait(value_, UINT64_MAX);
    for (const auto& batch : batches_) {
      if (batch->queries != VK_NULL_HANDLE)
        device_->vk().vkDestroyQueryPool(device_->handle(), batch->queries, nullptr);
    }
  }

  Status open() {
    if (desc_.workspace != nullptr) {
      MOE_RETURN_IF_ERROR(check_workspace_buffer(vulkan_buffer(desc_.workspace), desc_.workspace_offset));
    }
    MOE_RETURN_IF_ERROR(timeline_.open());
    for (uint32_t i = 0; i < desc_.flushes_in_flight; ++i) {
      batches_.push_back(std::make_unique<Batch>(device_.get()));
      MOE_RETURN_IF_ERROR(batches_.back()->commands.open(device_->queue_family()));
    }
    return {};
  }

  Device* device() const override { return device_.get(); }
  uint64_t max_tokens() const override { return desc_.max_tokens; }
  Status encode(const Call& call) override;
  Result<uint64_t> flush(const SubmitSync* sync) override;
  Status wait(uint64_t value, uint64_t timeout_ns) override;
  Result<uint64_t> completed() override;
  Status abort() override;
  Status set_profiling(bool enabled) override;
  VkSemaphore timeline() const override { return timeline_.handle(); }
  const std::vector<StepTiming>& timings() const override { return timings_; }

 private:
  Batch& batch() { return *batches_[current_]; }
  Status begin_batch();
  Status collect(uint64_t reached);
  Status read_timings(const Batch& done, const std::vector<TimedStep>& timed);
  Status ensure_workspace(uint64_t bytes);
  Status resolve(const Call& call, PlanBuffers* buffers, std::vector<StagingArena::Region>* inputs,
                 std::vector<HostOutput>* outputs);
  void record(const Call& call, const ExecutablePlan& plan, const PlanBuffers& buffers,
              const std::vector<StagingArena::Region>& inputs, const std::vector<HostOutput>& outputs);
  void barrier(VkPipelineStageFlags from, VkAccessFlags from_access, VkPipelineStageFlags to, VkAccessFlags to_access);

  std::shared_ptr<VulkanDevice> device_;
  ContextDesc desc_;
  Timeline timeline_;
  std::vector<std::unique_ptr<Batch>> batches_;
  size_t current_ = 0;
  uint64_t value_ = 0;
  std::shared_ptr<GpuBuffer> workspace_;  // the context's own
  bool profiling_ = false;
  std::vector<StepTiming> timings_;
};

void StreamContext::barrier(VkPipelineStageFlags from, VkAccessFlags from_access, VkPipelineStageFlags to,
                            VkAccessFlags to_access) {
  const VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, from_access, to_access};
  device_->vk().vkCmdPipelineBarrier(batch().commands.handle(), from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

Status StreamContext::begin_batch() {
  Batch& b = batch();
  if (b.recording) return {};
  if (b.value != 0) {
    MOE_RETURN_IF_ERROR(device_->note(timeline_.wait(b.value, UINT64_MAX)));
    MOE_RETURN_IF_ERROR(collect(b.value));
  }
  b.arena.reset();
  b.sets.reset();
  b.queries_used = 0;
  b.calls = 0;
  MOE_RETURN_IF_ERROR(b.commands.begin());
  if (profiling_ && device_->caps().timestamps != 0) {
    if (b.queries == VK_NULL_HANDLE) {
      VkQueryPoolCreateInfo info{};
      info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
      info.queryType = VK_QUERY_TYPE_TIMESTAMP;
      info.queryCount = kTimestamps;
      MOEVK_TRY(device_->vk().vkCreateQueryPool(device_->handle(), &info, nullptr, &b.queries));
    }
    device_->vk().vkCmdResetQueryPool(b.commands.handle(), b.queries, 0, kTimestamps);
  }
  b.recording = true;
  return {};
}

Status StreamContext::ensure_workspace(uint64_t bytes) {
  if (desc_.workspace != nullptr) {
    if (bytes <= desc_.workspace_bytes) return {};
    return invalid("context.workspace_bytes", "the host's workspace has " + std::to_string(desc_.workspace_bytes) +
                                                  " bytes; this call needs " + std::to_string(bytes));
  }
  if (workspace_ != nullptr && workspace_->bytes() >= bytes) return {};
  MOE_ASSIGN_OR_RETURN(GpuBuffer grown, GpuBuffer::create(device_->allocator(), bytes, GpuBuffer::Use::kPrivate,
                                                          "a context's workspace"));
  if (workspace_ != nullptr) {  // batches on their way still use the old one
    for (const auto& b : batches_) {
      if (b->recording || b->value != 0) b->holds.push_back(workspace_);
    }
  }
  workspace_ = std::make_shared<GpuBuffer>(std::move(grown));
  return {};
}

// Views -> ranges of buffers. Host inputs are copied into staging now.
Status StreamContext::resolve(const Call& call, PlanBuffers* buffers, std::vector<StagingArena::Region>* inputs,
                              std::vector<HostOutput>* outputs) {
  StagingArena& arena = batch().arena;
  for (size_t i = 0; i < kViewCount; ++i) {
    const auto id = static_cast<ViewId>(i);
    const View& view = call.view(id);
    if (!view.present) continue;
    BoundView& bound = buffers->views[i];
    bound = bind_view(call, id);
    if (view.buffer != nullptr) continue;
    bound.stride = (view.row_bytes() + kStagedRowAlignment - 1) / kStagedRowAlignment * kStagedRowAlignment;
    MOE_ASSIGN_OR_RETURN(const StagingArena::Region region, arena.allocate(view.rows * bound.stride));
    bound.buffer = arena.device_buffer(region);
    bound.offset = region.offset;
    if (!is_input(call.stage, id)) {
      outputs->push_back({region, bound.stride, view});
      continue;
    }
    for (uint64_t row = 0; row < view.rows; ++row) {
      std::memcpy(arena.host(region) + row * bound.stride, view.host + row * view.stride_bytes, view.row_bytes());
    }
    MOE_RETURN_IF_ERROR(arena.host_wrote(region));
    inputs->push_back(region);
  }
  buffers->beta = call.beta;
  return {};
}

Status StreamContext::encode(const Call& call) {
  MOE_RETURN_IF_ERROR(device_->check_lost());
  MOE_RETURN_IF_ERROR(begin_batch());
  Batch& b = batch();
  auto* layer = static_cast<VulkanLayer*>(call.layer.get());
  PlanBuffers buffers;
  std::vector<StagingArena::Region> inputs;
  std::vector<HostOutput> outputs;
  const std::vector<uint64_t> mark = b.arena.mark();
  std::shared_ptr<const ExecutablePlan> plan;
  const auto prepare = [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_workspace(call, desc_.workspace, desc_.workspace_offset, desc_.workspace_bytes));
    MOE_RETURN_IF_ERROR(resolve(call, &buffers, &inputs, &outputs));
    MOE_ASSIGN_OR_RETURN(plan, layer->plan(shape_of(call, buffers)));
    MOE_RETURN_IF_ERROR(ensure_workspace(plan->plan.workspace_bytes));
    MOE_RETURN_IF_ERROR(check_view_ranges(*plan, buffers, device_->caps()));
    b.taken.clear();
    return b.sets.take(plan->plan, &b.taken);
  };
  if (Status status = prepare(); !status.ok()) {
    b.arena.rewind(mark);
    return status;
  }
  if (desc_.workspace != nullptr) {
    const VulkanBuffer& workspace = vulkan_buffer(desc_.workspace);
    buffers.workspace = workspace.handle();
    buffers.workspace_offset = workspace.offset() + desc_.workspace_offset;
  } else {
    buffers.workspace = workspace_->handle();
  }
  write_sets(*device_, plan->plan, *layer, buffers, b.taken);
  // From here on nothing may fail, allocations included.
  b.holds.reserve(b.holds.size() + 2 + kViewCount);
  b.outputs.reserve(b.outputs.size() + outputs.size());
  b.timed.reserve(b.timed.size() + plan->plan.steps.size());
  b.holds.push_back(call.layer);
  b.holds.push_back(plan);
  for (const View& view : call.views) {
    if (view.buffer != nullptr) b.holds.push_back(view.buffer);
  }
  record(call, *plan, buffers, inputs, outputs);
  b.outputs.insert(b.outputs.end(), outputs.begin(), outputs.end());
  ++b.calls;
  return {};
}

void StreamContext::record(const Call& call, const ExecutablePlan& plan, const PlanBuffers& buffers,
                           const std::vector<StagingArena::Region>& inputs, const std::vector<HostOutput>& outputs) {
  Batch& b = batch();
  const VkCommandBuffer commands = b.commands.handle();
  constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  constexpr VkAccessFlags kShader = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
  // Behind the call before, of this batch or an earlier one: it may have written our inputs, and read our workspace.
  barrier(kWork | VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, kWork,
          kShader | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
  if (b.arena.copies() && !inputs.empty()) {
    for (const StagingArena::Region& region : inputs) b.arena.copy_in(commands, region);
    barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            kShader);
  }
  const size_t steps = plan.plan.steps.size();
  const bool timed = profiling_ && b.queries != VK_NULL_HANDLE && b.queries_used + steps + 1 <= kTimestamps;
  std::function<void(size_t)> after_step;
  if (timed) {
    device_->vk().vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, b.queries, b.queries_used++);
    after_step = [&](size_t i) {
      const Step& step = plan.plan.steps[i];
      device_->vk().vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, b.queries, b.queries_used);
      TimedStep one;
      one.timing.call = b.calls;
      one.timing.name = step.name;
      one.timing.dispatches = static_cast<uint32_t>(step.dispatches.size());
      for (const Dispatch& dispatch : step.dispatches) {
        one.timing.bytes += dispatch.bytes;
        one.timing.flops += dispatch.flops;
      }
      one.begin = b.queries_used - 1;
      one.end = b.queries_used++;
      b.timed.push_back(std::move(one));
    };
  }
  record_plan(*device_, commands, plan, static_cast<const VulkanLayer&>(*call.layer), buffers, b.taken, after_step);
  if (b.arena.copies() && !outputs.empty()) {
    barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_ACCESS_TRANSFER_READ_BIT);
    for (const HostOutput& output : outputs) b.arena.copy_out(commands, output.region);
  }
}

Result<uint64_t> StreamContext::flush(const SubmitSync* sync) {
  MOE_RETURN_IF_ERROR(device_->check_lost());
  MOE_RETURN_IF_ERROR(begin_batch());  // an empty flush still gives a value
  Batch& b = batch();
  barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
          VK_ACCESS_HOST_READ_BIT);
  Status status = b.commands.end();
  if (status.ok()) status = device_->submit(b.commands.handle(), timeline_, value_ + 1, sync);
  if (!status.ok()) {  // what was encoded is dropped, as if by abort
    b.discard();
    return status;
  }
  b.recording = false;
  b.value = ++value_;
  current_ = (current_ + 1) % batches_.size();
  return uint64_t{value_};
}

Status StreamContext::wait(uint64_t value, uint64_t timeout_ns) {
  if (value > value_)
    return invalid("value",
                   std::to_string(value) + " has not been flushed yet; the newest is " + std::to_string(value_));
  MOE_RETURN_IF_ERROR(device_->check_lost());
  MOE_RETURN_IF_ERROR(device_->note(timeline_.wait(value, timeout_ns)));
  return collect(value);
}

// Fills host outputs and lets go of what batches up to `reached` held, oldest first.
Status StreamContext::collect(uint64_t reached) {
  std::vector<Batch*> done;
  for (const auto& b : batches_) {
    if (b->value != 0 && b->value <= reached) done.push_back(b.get());
  }
  std::sort(done.begin(), done.end(), [](const Batch* a, const Batch* b) { return a->value < b->value; });
  for (Batch* b : done) {  // a batch that fails here stays, so that the next wait says it again
    for (const HostOutput& output : b->outputs) {
      MOE_RETURN_IF_ERROR(b->arena.host_reads(output.region));
      for (uint64_t row = 0; row < output.view.rows; ++row) {
        std::memcpy(output.view.host + row * output.view.stride_bytes,
                    b->arena.host(output.region) + row * output.staged_stride, output.view.row_bytes());
      }
    }
    MOE_RETURN_IF_ERROR(read_timings(*b, b->timed));
    b->value = 0;
    b->discard();
  }
  return {};
}

Status StreamContext::read_timings(const Batch& done, const std::vector<TimedStep>& timed) {
  timings_.clear();
  if (timed.empty()) return {};
  std::vector<uint64_t> ticks(done.queries_used);
  MOEVK_TRY(device_->vk().vkGetQueryPoolResults(device_->handle(), done.queries, 0, done.queries_used, ticks.size() * 8,
                                                ticks.data(), 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
  const uint32_t bits = device_->caps().timestamps;
  const uint64_t mask = bits >= 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
  for (const TimedStep& one : timed) {
    timings_.push_back(one.timing);
    const uint64_t elapsed = (ticks[one.end] - ticks[one.begin]) & mask;
    timings_.back().milliseconds = static_cast<double>(elapsed) * device_->caps().timestamp_period_ns * 1e-6;
  }
  return {};
}

Status StreamContext::abort() {
  if (batch().recording) batch().discard();
  return {};
}

Result<uint64_t> StreamContext::completed() {
  MOE_RETURN_IF_ERROR(device_->check_lost());
  Result<uint64_t> value = timeline_.completed();
  if (!value.ok()) return device_->note(std::move(value.status()));
  return value;
}

Status StreamContext::set_profiling(bool enabled) {
  if (enabled && device_->caps().timestamps == 0)
    return unsupported("enabled", "the device's queue has no time stamps");
  if (batch().recording && batch().calls != 0 && enabled != profiling_) {
    return {MOE_ERROR_STATE, "context", "flush or abort first: profiling begins and ends with a flush"};
  }
  if (batch().recording && batch().calls == 0) batch().discard();  // begun without, or with, a query pool
  profiling_ = enabled;
  return {};
}

}  // namespace

Result<std::shared_ptr<Context>> make_vulkan_context(std::shared_ptr<VulkanDevice> device, const ContextDesc& desc) {
  auto context = std::make_shared<StreamContext>(std::move(device), desc);
  MOE_RETURN_IF_ERROR(context->open());
  return std::shared_ptr<Context>(std::move(context));
}

}  // namespace moevk
