// SPDX-License-Identifier: MIT
//
// plan_call: chunks the tokens, walks the candidates of each step (fused or split router, one-workgroup or block
// sort, small-token or tiled matmul, fused or separate combination), and lays out the workspace.
#include "runtime/plan_builder.h"

#include <algorithm>

namespace moevk {
namespace {

constexpr uint64_t kMaxWorkspaceBytes = 256ull << 20;
constexpr uint64_t kMaxHistogramCells = 1u << 18;  // one workgroup scans them
constexpr uint64_t kRegionAlignment = 256;
constexpr double kWatchdogSeconds = 0.1;

// f32 multiply-adds per second that a middling device of a kind is trusted with, for the watchdog. A device of a
// tenth of that stays within the two seconds after which Windows resets a GPU.
double assumed_rate(uint32_t kind) {
  switch (kind) {
    case MOE_DEVICE_KIND_DISCRETE_GPU: return 4e12;
    case MOE_DEVICE_KIND_INTEGRATED_GPU: return 1e11;
    case MOE_DEVICE_KIND_CPU_VULKAN: return 0;  // no watchdog
    default: return 1e11;
  }
}

void lay_out_workspace(Plan* plan) {
  uint64_t at = 0;
  for (size_t i = 0; i < kRegionCount; ++i) {
    plan->region_offset[i] = at;
    at += (plan->region_bytes[i] + kRegionAlignment - 1) / kRegionAlignment * kRegionAlignment;
  }
  plan->workspace_bytes = at;
}

// An expert's capacity is counted over all tokens of a call.
Status check_capacity_size(const LayerSpec& spec, const CallShape& shape, uint64_t limit) {
  const bool routes = shape.stage == Stage::kForward || shape.stage == Stage::kRoute;
  if (spec.desc.capacity == MOE_CAPACITY_NONE || !routes || shape.tokens <= limit) return {};
  return unsupported("args.tokens",
                     std::to_string(shape.tokens) + " tokens are more than one pass takes here (" +
                         std::to_string(limit) +
                         ", moe_layer_info.max_stage_tokens), and desc.capacity counts over all of them");
}

Status check_stage_size(const CallShape& shape, uint64_t limit) {
  const bool whole = shape.stage == Stage::kPlanDispatch || shape.stage == Stage::kExperts;
  if (!whole || shape.tokens <= limit) return {};
  return unsupported("args.tokens", std::to_string(shape.tokens) +
                                        " tokens are more than moe_layer_info.max_stage_tokens (" +
                                        std::to_string(limit) + "); call the stages piece by piece, or forward");
}

// A kernel that nothing can stand in for.
Status check_struck(const Plan& plan, const DeviceCaps& caps) {
  if (caps.struck_kernels.empty()) return {};
  for (const Step& step : plan.steps) {
    for (const Dispatch& dispatch : step.dispatches) {
      const char* name = kKernels[static_cast<size_t>(dispatch.kernel)].name;
      if (!is_struck(caps, name)) continue;
      return unsupported("device", std::string("its driver cannot compile the kernel ") + name +
                                       ", and no other can take its place here");
    }
  }
  return {};
}

}  // namespace

const char* region_name(Region region) {
  constexpr const char* kNames[kRegionCount] = {
      "prepared", "logits", "scores",     "chosen", "ids",        "weights", "histogram", "offsets", "order", "tiles",
      "indirect", "h",      "expert_out", "latent", "latent_sum", "beside",  "x_codes",   "h_codes", "unused"};
  return kNames[static_cast<size_t>(region)];
}

size_t Plan::dispatches() const {
  size_t count = 0;
  for (const Step& step : steps) count += step.dispatches.size();
  return count;
}

uint64_t chunk_limit(const LayerSpec& spec, const DeviceCaps& caps) {
  const uint64_t slots = spec.slots;
  const uint64_t per_token_h = slots * spec.widest() * 4;
  const uint64_t per_token_out = slots * spec.hidden_padded * 4;
  const uint64_t per_token_logits = uint64_t{std::max(spec.router_rows(), spec.candidates())} * 4;
  const uint64_t range = std::min<uint64_t>(caps.max_storage_buffer_range, UINT32_MAX);
  uint64_t limit = 65535 / slots;  // routes are a grid dimension
  limit = std::min(limit, range / std::max({per_token_h, per_token_out, per_token_logits}));
  const uint64_t per_token_latent =
      spec.latent() ? 8 * uint64_t{spec.latent_segment().intermediate_padded} + 4 * uint64_t{spec.hidden_padded} : 0;
  limit = std::min(limit, kMaxWorkspaceBytes / (per_token_h + per_token_out + 2 * per_token_logits + per_token_latent));
  const uint64_t block = PlanBuilder::fused_tokens_per_group(spec, 1u << 20);
  limit = std::min(limit, kMaxHistogramCells / spec.experts_total * block);
  if (const double rate = assumed_rate(caps.kind); rate > 0) {
    const double gate_up = 2.0 * static_cast<double>(slots) * spec.hidden_padded * spec.widest();
    const double projection = static_cast<double>(spec.hidden_padded) * spec.desc.latent;
    const double token = std::max(gate_up, projection);
    limit = std::min(limit, std::max<uint64_t>(64, static_cast<uint64_t>(kWatchdogSeconds * rate / token)));
  }
  const auto struck = [&](std::initializer_list<KernelId> kernels) {
    return std::any_of(kernels.begin(), kernels.end(),
                       [&](KernelId id) { return is_struck(caps, kKernels[static_cast<size_t>(id)].name); });
  };
  // What a driver cannot compile is done without, in smaller pieces.
  if (struck({KernelId::kGateUpTile, KernelId::kDownTile})) limit = std::min<uint64_t>(limit, kNumberMaxSmallTokens);
  if (struck({KernelId::kHistogram, KernelId::kScan, KernelId::kScatter})) {
    limit = std::min(limit, std::max<uint64_t>(kNumberMaxSortRoutes / slots, 1));
  }
  return std::max<uint64_t>(limit, 1);
}

Result<Plan> plan_call(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                       const CallShape& shape) {
  const uint64_t limit = chunk_limit(spec, caps);
  MOE_RETURN_IF_ERROR(check_stage_size(shape, limit));
  MOE_RETURN_IF_ERROR(check_capacity_size(spec, shape, limit));
  Plan plan;
  plan.shape = shape;
  const uint64_t chunks = (shape.tokens + limit - 1) / limit;
  const uint64_t per_chunk = (shape.tokens + chunks - 1) / chunks;
  if (chunks > 1)
    plan.refused.push_back("one pass: " + std::to_string(shape.tokens) + " tokens exceed the limit of " +
                           std::to_string(limit));
  for (uint64_t first = 0; first < shape.tokens; first += per_chunk) {
    PlanBuilder builder(spec, layout, caps, shape, &plan, first, std::min(per_chunk, shape.tokens - first));
    builder.build();
  }
  MOE_RETURN_IF_ERROR(check_struck(plan, caps));
  lay_out_workspace(&plan);
  for (size_t i = 0; i < kRegionCount; ++i) {
    if (plan.region_bytes[i] <= caps.max_storage_buffer_range) continue;
    return unsupported(
        "desc", std::string("one token's part \"") + region_name(static_cast<Region>(i)) +
                    "\" of the workspace takes " + std::to_string(plan.region_bytes[i]) +
                    " bytes, more than max_storage_buffer_range = " + std::to_string(caps.max_storage_buffer_range));
  }
  return plan;
}

}  // namespace moevk
