// SPDX-License-Identifier: MIT
//
// The order of the steps for each stage, and the small parts that all of them use.
#include "runtime/plan_builder.h"

#include <algorithm>
#include <cmath>

namespace moevk {

uint32_t small_tokens_per_group(uint32_t tokens) { return tokens > 4 ? 8 : tokens > 2 ? 4 : tokens; }

uint32_t routed_tokens_per_group(const LayerSpec& spec, uint32_t tokens) {
  const uint32_t most = small_tokens_per_group(tokens);
  const double chance = std::min(1.0, static_cast<double>(spec.desc.top_k) / spec.candidates());
  if (chance == 1.0) return most;
  // Experts that n of the tokens chose, n >= 1, and passes over their weights: ceil(n / together). n is binomial.
  double used = spec.shared_slots, passes[3] = {};
  for (int i = 0; i < 3; ++i) passes[i] = spec.shared_slots * ((tokens + (1u << i) - 1) >> i);
  double experts = spec.desc.experts * std::pow(1 - chance, tokens);
  for (uint32_t n = 1; n <= tokens; ++n) {
    experts *= chance / (1 - chance) * (tokens - n + 1) / n;
    used += experts;
    for (int i = 0; i < 3; ++i) passes[i] += experts * ((n + (1u << i) - 1) >> i);
  }
  for (int i = 0; 1u << i < most; ++i) {
    if (passes[i] <= 1.25 * used) return 1u << i;
  }
  return most;
}

uint32_t small_rows(uint32_t tokens_per_group) {
  return kNumberGroups * (tokens_per_group <= 2 ? 4 : tokens_per_group == 4 ? 2 : 1);
}

std::string binding_pass_text(size_t pass, size_t passes) {
  if (passes == 1) return "";
  return "; weights in binding pass " + std::to_string(pass + 1) + " of " + std::to_string(passes);
}

uint32_t output_dtypes(const CallShape& shape) {
  const uint32_t residual = shape.residual_dtype == kNumberNone ? kNumberNoResidual : shape.residual_dtype;
  return shape.y_dtype | residual << 4;
}

PlanBuilder::PlanBuilder(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                         const CallShape& shape, Plan* plan, uint64_t first_token, uint64_t tokens)
    : spec_(spec),
      layout_(layout),
      caps_(caps),
      shape_(shape),
      plan_(plan),
      first_token_(first_token),
      tokens_(static_cast<uint32_t>(tokens)),
      routes_(static_cast<uint32_t>(tokens * spec.slots)),
      small_(tokens <= kNumberMaxSmallTokens),
      one_sort_(routes_ <= kNumberMaxSortRoutes) {
  const bool router = spec.computes_logits();
  small_ = small_ && compiles({KernelId::kGateUpSmall, KernelId::kDownSmall}, "small-token matmul");
  one_sort_ = one_sort_ && compiles({KernelId::kSortSmall}, "one-workgroup sort");
  split_ = one_sort_ && router && compiles({KernelId::kRouterLogits}, "split router");
  has_logits_ = router || spec.shared_router();
}

// Says so where a driver took a candidate away.
bool PlanBuilder::compiles(std::initializer_list<KernelId> kernels, const char* candidate) {
  for (KernelId id : kernels) {
    const char* name = kKernels[static_cast<size_t>(id)].name;
    if (!is_struck(caps_, name)) continue;
    refuse(std::string(candidate) + ": the driver cannot compile " + name);
    return false;
  }
  return true;
}

void PlanBuilder::build() {
  switch (shape_.stage) {
    case Stage::kForward:
      route();
      if (!small_) sort(false);
      gate_up();
      down();
      latent_up();
      break;
    case Stage::kRoute: route(); break;
    case Stage::kPlanDispatch: {
      step("import");
      import_ids();
      if (shape_.wants(ViewId::kCounts)) add_next(count_routes(0));
      sort(true);
      const uint32_t total = spec_.experts_total;
      export_rows(Region::kOrder, 0, ViewId::kOrder, 1, routes_);
      export_rows(Region::kOffsets, 0, ViewId::kOffsets, 1, total + 1);
      break;
    }
    case Stage::kExperts:
      import_for_experts();
      gate_up();
      down();
      export_expert_out();
      break;
    case Stage::kCombine:
      step("import");
      import_ids();
      combine();
      latent_up();
      break;
  }
  if (!next_.empty()) step("export");
}

Step& PlanBuilder::step(const char* name) {
  Step s;
  s.name = name;
  s.first_token = first_token_;
  s.tokens = tokens_;
  plan_->steps.push_back(std::move(s));
  unused_in_step_ = 0;
  waits_for_ = nullptr;
  std::vector<Dispatch> waiting = std::move(next_);
  next_.clear();
  for (Dispatch& d : waiting) add(std::move(d));
  return plan_->steps.back();
}

Dispatch PlanBuilder::dispatch(KernelId kernel, std::string why) const {
  Dispatch d;
  d.kernel = kernel;
  std::copy_n(kConstantDefaults, kConstantCount, d.constants.begin());
  d.why = std::move(why);
  set(&d, Constant::kUnpackHalf, caps_.unpack_half != 0 ? 1 : 0);
  // Lanes that share a row of the small-token kernels are those that run together: on a processor's 8 a row is one
  // stream of memory, on a GPU's 32 a load takes whole cache lines.
  const uint32_t lanes = caps_.subgroup_size <= 8 ? 8 : caps_.subgroup_size <= 16 ? 16 : 32;
  set(&d, Constant::kInvocations, kNumberGroups * lanes);
  return d;
}

void PlanBuilder::add(Dispatch d) {
  // Constants that the kernel does not read stay at their defaults, so that pipelines are shared.
  for (size_t i = 0; i < kConstantCount; ++i) {
    if ((kKernels[static_cast<size_t>(d.kernel)].constants >> i & 1) == 0) d.constants[i] = kConstantDefaults[i];
  }
  for (Binding& binding : d.bindings) {
    if (binding.kind == Binding::Kind::kRegion && static_cast<Region>(binding.index) == Region::kUnused) {
      binding.unused = static_cast<uint8_t>(unused_in_step_++);
      uint64_t& most = plan_->region_bytes[static_cast<size_t>(Region::kUnused)];
      most = std::max<uint64_t>(most, unused_in_step_ * 256ull);
    }
  }
  plan_->steps.back().dispatches.push_back(std::move(d));
}

void PlanBuilder::add_next(Dispatch d) { next_.push_back(std::move(d)); }

Binding PlanBuilder::region(Region r, uint64_t bytes) {
  uint64_t& most = plan_->region_bytes[static_cast<size_t>(r)];
  most = std::max({most, bytes, uint64_t{16}});
  return {Binding::Kind::kRegion, static_cast<uint8_t>(r), 0};
}

// For a binding that the kernel declares but, with these constants, never touches. Each has memory of its own, so
// that what validation believes to be written is written once.
Binding PlanBuilder::unused() { return {Binding::Kind::kRegion, static_cast<uint8_t>(Region::kUnused), 0}; }

void PlanBuilder::refuse(std::string text) {
  if (std::find(plan_->refused.begin(), plan_->refused.end(), text) == plan_->refused.end())
    plan_->refused.push_back(std::move(text));
}

Dispatch PlanBuilder::copy_rows(Binding from, Binding to, uint32_t rows, uint32_t columns, std::string why) const {
  Dispatch d = dispatch(KernelId::kCopyRows, std::move(why));
  d.bindings = {from, to};
  d.grid = {(columns + kNumberWorkgroup - 1) / kNumberWorkgroup, rows, 1};
  d.bytes = 8.0 * rows * columns;
  return d;
}

void PlanBuilder::import_rows(ViewId from, Region to, uint32_t rows, uint32_t columns) {
  Dispatch d = copy_rows(view(from), region(to, uint64_t{rows} * columns * 4), rows, columns,
                         std::string("the host's ") + view_name(from) + " into the workspace");
  CopyRowsPush push{rows, columns, 0, 0, 0, columns, 0, 0, 0};
  if (from == ViewId::kIds) {
    push.id_limit = spec_.host_ids();
    push.id_first = spec_.desc.experts;
    push.id_shift = spec_.shared_slots;
  }
  set_push(&d, push);
  patch(&d, offsetof(CopyRowsPush, from_offset), from, Patch::Kind::kOffsetWords);
  patch(&d, offsetof(CopyRowsPush, from_stride), from, Patch::Kind::kStrideWords);
  add(std::move(d));
}

void PlanBuilder::import_ids() { import_rows(ViewId::kIds, Region::kIds, tokens_, spec_.slots); }

void PlanBuilder::export_rows(Region from, uint32_t from_stride, ViewId to, uint32_t rows, uint32_t columns) {
  Dispatch d = copy_rows(region(from, 0), view(to), rows, columns, std::string(view_name(to)) + " for the host");
  CopyRowsPush push{rows, columns, 0, from_stride, 0, 0, 0, 0, 0};
  if (from == Region::kIds && spec_.desc.identity_experts != 0) {
    push.id_limit = spec_.host_ids();
    push.id_first = spec_.desc.experts;
    push.id_shift = spec_.desc.identity_experts;
  }
  set_push(&d, push);
  patch(&d, offsetof(CopyRowsPush, to_offset), to, Patch::Kind::kOffsetWords);
  patch(&d, offsetof(CopyRowsPush, to_stride), to, Patch::Kind::kStrideWords);
  add_next(std::move(d));
}

}  // namespace moevk
