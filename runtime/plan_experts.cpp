// SPDX-License-Identifier: MIT
//
// Steps of the experts: gate + up + activation, down with the routing weight, combination; and what brings x and
// the routes of an earlier stage into the workspace.
#include <algorithm>
#include <cmath>

#include "runtime/plan_builder.h"

namespace moevk {
namespace {

// Distinct experts that `tokens` tokens meet under uniform routing: E (1 - (1 - k/E)^T).
double distinct_experts(const moe_layer_desc& d, double tokens) {
  const double share = static_cast<double>(d.top_k) / (d.experts + d.identity_experts);
  return d.experts * (1 - std::pow(1 - share, tokens));
}

}  // namespace

// x as f32 rows padded with zeros, normalised: what the matmuls read. Left out where x is like that already.
void PlanBuilder::prepare() {
  if (shape_.stage != Stage::kForward && shape_.stage != Stage::kExperts) return;
  if (shape_.x_direct) {
    quantise_x();
    return latent_down();
  }
  Dispatch d = dispatch(KernelId::kPrepare,
                        spec_.has(MOE_LAYER_INPUT_NORM) ? "x, normalised, as padded f32 rows" : "x as padded f32 rows");
  set(&d, Constant::kXDtype, shape_.x_dtype);
  set(&d, Constant::kInputNorm, spec_.has(MOE_LAYER_INPUT_NORM) ? 1 : 0);
  set_push(&d, PreparePush{tokens_, spec_.desc.hidden, spec_.hidden_padded, 0, 0, layout_.norm, spec_.desc.norm_eps});
  patch(&d, offsetof(PreparePush, x_offset), ViewId::kX, Patch::Kind::kOffsetWords);
  patch(&d, offsetof(PreparePush, x_stride), ViewId::kX, Patch::Kind::kStrideWords);
  d.bindings = {view(ViewId::kX), aux(), region(Region::kPrepared, uint64_t{tokens_} * spec_.hidden_padded * 4)};
  d.grid = {tokens_, 1, 1};
  d.bytes = static_cast<double>(tokens_) * spec_.hidden_padded * 8;
  add(std::move(d));
  quantise_x();
  latent_down();
}

// Prepared x, or the host's as it is.
Binding PlanBuilder::matmul_input(Dispatch* d) {
  if (!shape_.x_direct) return region(Region::kPrepared, 0);
  patch(d, offsetof(GateUpPush, x_offset4), ViewId::kX, Patch::Kind::kOffsetVec4);
  patch(d, offsetof(GateUpPush, x_stride4), ViewId::kX, Patch::Kind::kStrideVec4);
  return view(ViewId::kX);
}

void PlanBuilder::import_for_experts() {
  step("import");
  prepare();
  import_ids();
  import_rows(ViewId::kWeights, Region::kWeights, tokens_, spec_.slots);
  if (small_) return;  // no sort: the order is not needed
  import_rows(ViewId::kOrder, Region::kOrder, 1, routes_);
  import_rows(ViewId::kOffsets, Region::kOffsets, 1, spec_.experts_total + 1);
  step("tiles");
  Dispatch d = dispatch(KernelId::kScan, "tiles from the offsets of plan_dispatch");
  set(&d, Constant::kFromOffsets, 1);
  set_push(&d, sort_push());
  d.bindings = {unused(), region(Region::kOffsets, 0), region(Region::kTiles, uint64_t{tile_room()} * 16),
                region(Region::kIndirect, 24)};
  add(std::move(d));
}

GateUpPush PlanBuilder::gate_up_push() const {
  GateUpPush push{};
  push.slots = spec_.slots;
  push.routes = routes_;
  push.experts_total = spec_.experts_total;
  push.input_weighted = spec_.has(MOE_LAYER_WEIGHT_ON_INPUT) ? spec_.desc.experts : 0;
  push.x_stride4 = spec_.hidden_padded / 4;
  push.h_stride = spec_.widest();
  push.segment_split = spec_.segments == 2 ? spec_.segment[1].first_expert : spec_.experts_total;
  push.activation = spec_.desc.activation;
  push.alpha = spec_.desc.activation_alpha;
  push.beta = spec_.desc.activation_beta;
  push.limit = spec_.desc.activation_limit;
  for (uint32_t i = 0; i < spec_.segments; ++i) {
    const MatrixLayout& gate = layout_.at(i, MatrixKind::kGate);
    const uint32_t bias = i == 0 ? layout_.up_bias : kNumberNone;
    push.segment[i] = {spec_.segment[i].hidden_padded / 8,
                       spec_.segment[i].intermediate,
                       gate.first_entry,
                       static_cast<uint32_t>(gate.places.size()),
                       gate.pieces,
                       gate.rows_per_piece,
                       i == 0 ? layout_.gate_bias : kNumberNone,
                       bias};
  }
  return push;
}

DownPush PlanBuilder::down_push() const {
  DownPush push{};
  push.slots = spec_.slots;
  push.routes = routes_;
  push.experts_total = spec_.experts_total;
  push.input_weighted = spec_.has(MOE_LAYER_WEIGHT_ON_INPUT) ? spec_.desc.experts : 0;
  push.x_stride = spec_.hidden_padded;
  push.hidden = spec_.desc.hidden;
  push.h_stride4 = spec_.widest() / 4;
  push.out_stride = spec_.hidden_padded;
  push.segment_split = spec_.segments == 2 ? spec_.segment[1].first_expert : spec_.experts_total;
  push.out_scale = spec_.desc.out_scale;
  push.dtypes = output_dtypes(shape_);
  push.norm_offset = kNumberNone;
  for (uint32_t i = 0; i < spec_.segments; ++i) {
    const MatrixLayout& down = layout_.at(i, MatrixKind::kDown);
    push.segment[i] = {spec_.segment[i].hidden, spec_.segment[i].intermediate_padded / 8, down.first_entry, down.pieces,
                       down.rows_per_piece,     i == 0 ? layout_.down_bias : kNumberNone};
  }
  return push;
}

void PlanBuilder::set_formats(Dispatch* d) const {
  const Segment& routed = spec_.segment[0];
  const Segment& shared = spec_.segment[spec_.segments - 1];
  set(d, Constant::kGateFormat, kernel_format(routed.gate));
  set(d, Constant::kUpFormat, kernel_format(routed.up));
  set(d, Constant::kDownFormat, kernel_format(routed.down));
  set(d, Constant::kSharedGateFormat, kernel_format(shared.gate));
  set(d, Constant::kSharedUpFormat, kernel_format(shared.up));
  set(d, Constant::kSharedDownFormat, kernel_format(shared.down));
  set(d, Constant::kGated, spec_.gated ? 1 : 0);
  set(d, Constant::kLatent, spec_.latent() ? kNumberExpertsInLatent : 0);
  set(d, Constant::kPrecision, spec_.desc.precision);
}

void PlanBuilder::estimate_matmul(Dispatch* d, bool gate_up, size_t passes) const {
  const double routed = distinct_experts(spec_.desc, tokens_) + (spec_.segments == 1 ? spec_.shared_slots : 0);
  const double matrices = gate_up && spec_.gated ? 2 : 1;
  double weights = 0, flops = 0;
  for (uint32_t i = 0; i < spec_.segments; ++i) {
    const Segment& s = spec_.segment[i];
    const double elements = static_cast<double>(s.intermediate) * s.hidden;
    const double bytes =
        gate_up ? element_bytes(s.up) + (spec_.gated ? element_bytes(s.gate) : 0) : element_bytes(s.down);
    weights += elements * bytes * (i == 0 ? routed : 1);
    const double slots = i == 0 ? (spec_.segments == 1 ? spec_.slots : spec_.desc.top_k) : spec_.shared_slots;
    flops += 2 * elements * matrices * slots * tokens_;
  }
  const double hidden = spec_.segment[0].hidden;  // of most routes
  const double wide = gate_up ? hidden / spec_.slots : spec_.widest();
  const double out = gate_up ? spec_.widest() : hidden;
  d->bytes = (weights + 4.0 * routes_ * (wide + out)) / static_cast<double>(passes);
  d->flops = flops / static_cast<double>(passes);
}

void PlanBuilder::gate_up() {
  const uint32_t rows = spec_.widest();
  const size_t passes = layout_.passes_of(WeightSet::kGateUp).size();
  if (waits_for_ != nullptr) step(waits_for_);
  for (size_t pass = 0; pass < passes; ++pass) {
    if (pass == 0) step("gate_up");
    Dispatch d =
        dispatch(small_ ? KernelId::kGateUpSmall : KernelId::kGateUpTile,
                 (small_ ? "few tokens: no sort, weights read once a pass" : "tiles of one expert's tokens, gathered") +
                     binding_pass_text(pass, passes));
    set_formats(&d);
    GateUpPush push = gate_up_push();
    push.binding_pass = static_cast<uint32_t>(pass);
    set_push(&d, push);
    const Binding x = matmul_input(&d), latent = latent_rows(spec_.latent());
    const Binding table = {Binding::Kind::kTable, 0, 0};
    const Binding h = region(Region::kH, uint64_t{routes_} * rows * 4), weights = region(Region::kWeights, 0);
    if (small_) {
      const uint32_t together = routed_tokens_per_group(spec_, tokens_);
      set(&d, Constant::kTokensPerGroup, together);
      set(&d, Constant::kIntegerDot, dots_gate_up_ ? dot_kind() : 0);
      if (dots_gate_up_) d.why += "; codes times codes";
      const Binding codes = dots_gate_up_ ? region(Region::kXCodes, 0) : aux();
      d.bindings = {table, x, region(Region::kIds, 0), aux(), weights, h, latent, codes};
      d.grid = {(rows + small_rows(together) - 1) / small_rows(together), routes_, 1};
    } else {
      d.bindings = {table, x, region(Region::kOrder, 0), region(Region::kTiles, 0), aux(), weights, h, latent};
      d.indirect = true;
    }
    d.weight_set = WeightSet::kGateUp;
    d.binding_pass = static_cast<uint32_t>(pass);
    estimate_matmul(&d, true, passes);
    add(std::move(d));
  }
}

bool PlanBuilder::fuses_combine() {
  if (shape_.stage != Stage::kForward || !small_) return false;
  if (routes_ > kNumberMaxFusedRoutes) {
    refuse("combination inside down: " + std::to_string(routes_) + " routes exceed its shared memory for " +
           std::to_string(kNumberMaxFusedRoutes));
    return false;
  }
  if (const size_t passes = layout_.passes_of(WeightSet::kDown).size(); passes > 1) {
    refuse("combination inside down: the weights need " + std::to_string(passes) + " binding passes");
    return false;
  }
  return true;
}

void PlanBuilder::set_y(Dispatch* d, size_t y_offset, size_t y_stride, size_t residual_offset, size_t residual_stride,
                        size_t beta) const {
  patch(d, y_offset, ViewId::kY, Patch::Kind::kOffsetWords);
  patch(d, y_stride, ViewId::kY, Patch::Kind::kStrideWords);
  if (shape_.residual_dtype == kNumberNone) return;
  patch(d, residual_offset, ViewId::kResidual, Patch::Kind::kOffsetWords);
  patch(d, residual_stride, ViewId::kResidual, Patch::Kind::kStrideWords);
  patch(d, beta, ViewId::kResidual, Patch::Kind::kBeta);
}

// x as identity experts give it back; set its offset and stride in words.
Binding PlanBuilder::identity_input(Dispatch* d, size_t x_offset, size_t x_stride) const {
  if (spec_.desc.identity_experts == 0) return aux();
  if (!shape_.x_direct) return {Binding::Kind::kRegion, static_cast<uint8_t>(Region::kPrepared), 0};
  patch(d, x_offset, ViewId::kX, Patch::Kind::kOffsetWords);
  patch(d, x_stride, ViewId::kX, Patch::Kind::kStrideWords);
  return view(ViewId::kX);
}

void PlanBuilder::down() {
  quantise_h();
  const bool fused = fuses_combine();
  const bool to_y = fused && !spec_.latent();
  const bool residual = to_y && shape_.residual_dtype != kNumberNone;
  const size_t passes = layout_.passes_of(WeightSet::kDown).size();
  for (size_t pass = 0; pass < passes; ++pass) {
    if (pass == 0) step(fused ? "down+combine" : "down");
    Dispatch d = dispatch(small_ ? KernelId::kDownSmall : KernelId::kDownTile,
                          (fused    ? "few tokens: slots are added where they are made"
                           : small_ ? "few tokens: weights read once a pass"
                                    : "tiles; the routing weight is applied here") +
                              binding_pass_text(pass, passes));
    set_formats(&d);
    DownPush push = down_push();
    push.binding_pass = static_cast<uint32_t>(pass);
    if (fused && spec_.latent()) push.out_stride = latent_padded();
    set_push(&d, push);
    const Binding table = {Binding::Kind::kTable, 0, 0};
    Binding out = view(ViewId::kY);
    if (to_y) {
      set_y(&d, offsetof(DownPush, out_offset), offsetof(DownPush, out_stride), offsetof(DownPush, residual_offset),
            offsetof(DownPush, residual_stride), offsetof(DownPush, beta));
    } else if (fused) {
      out = latent_sum();
    } else {
      out = region(Region::kExpertOut, uint64_t{routes_} * spec_.hidden_padded * 4);
    }
    set(&d, Constant::kCombine, fused ? 1 : 0);
    const Binding h = region(Region::kH, 0), weights = region(Region::kWeights, 0);
    if (small_) {
      uint32_t together = routed_tokens_per_group(spec_, tokens_);
      while (together < 8 && together * kNumberMaxSlots < routes_) together *= 2;  // down_small.comp's shared memory
      set(&d, Constant::kTokensPerGroup, together);
      const Binding x = fused ? identity_input(&d, offsetof(DownPush, x_offset), offsetof(DownPush, x_stride)) : aux();
      d.bindings = {table,
                    h,
                    region(Region::kIds, 0),
                    weights,
                    aux(),
                    out,
                    residual ? view(ViewId::kResidual) : aux(),
                    x,
                    beside(fused && spec_.latent()),
                    dots_down_ ? region(Region::kHCodes, 0) : aux()};
      set(&d, Constant::kIntegerDot, dots_down_ ? dot_kind() : 0);
      if (dots_down_) d.why += "; codes times codes";
      // The latent sum's padding is written, too.
      const uint32_t rows = std::max(spec_.desc.hidden, fused && spec_.latent() ? push.out_stride : 0);
      d.grid = {(rows + small_rows(together) - 1) / small_rows(together), 1, 1};
    } else {
      d.bindings = {table, h, region(Region::kOrder, 0), weights, aux(), out, region(Region::kTiles, 0), aux(), aux()};
      d.indirect = true;
      d.indirect_offset_bytes = 12;
    }
    d.weight_set = WeightSet::kDown;
    d.binding_pass = static_cast<uint32_t>(pass);
    estimate_matmul(&d, false, passes);
    add(std::move(d));
  }
  if (shape_.stage == Stage::kForward && !fused) combine();
}

void PlanBuilder::combine() {
  step("combine");
  const bool staged = shape_.stage == Stage::kCombine;
  Dispatch d = dispatch(KernelId::kCombine, "each token's slots, in slot order");
  CombinePush push{};
  push.slots = spec_.slots;
  push.hidden = spec_.desc.hidden;
  push.in_stride = spec_.hidden_padded;
  push.out_scale = spec_.desc.out_scale;
  push.dtypes = output_dtypes(shape_);
  push.routed_experts = spec_.desc.experts;
  push.routed_width = spec_.segment[0].hidden;
  const bool identity = spec_.desc.identity_experts != 0 && !staged;  // the experts stage has done its part
  push.identity_first = identity ? spec_.experts_total : kNumberNone;
  push.x_stride = spec_.hidden_padded;
  push.token_slots = spec_.slots;
  push.latent_stride = spec_.latent() ? latent_padded() : 0;
  set_push(&d, push);
  Binding in = region(Region::kExpertOut, 0);
  if (staged) {
    in = view(ViewId::kExpertOut);
    patch(&d, offsetof(CombinePush, in_offset), ViewId::kExpertOut, Patch::Kind::kOffsetWords);
    patch(&d, offsetof(CombinePush, in_stride), ViewId::kExpertOut, Patch::Kind::kStrideWords);
  }
  const bool latent = spec_.latent(), residual = !latent && shape_.residual_dtype != kNumberNone;
  if (!latent) {
    set_y(&d, offsetof(CombinePush, y_offset), offsetof(CombinePush, y_stride), offsetof(CombinePush, residual_offset),
          offsetof(CombinePush, residual_stride), offsetof(CombinePush, beta));
  }
  set(&d, Constant::kLatent, latent ? kNumberExpertsInLatent : 0);
  const Binding x =
      identity ? identity_input(&d, offsetof(CombinePush, x_offset), offsetof(CombinePush, x_stride)) : aux();
  d.bindings = {in,
                region(Region::kIds, 0),
                residual ? view(ViewId::kResidual) : aux(),
                latent ? latent_sum() : view(ViewId::kY),
                x,
                identity ? region(Region::kWeights, 0) : aux(),
                beside(latent)};
  const uint32_t columns = std::max(spec_.desc.hidden, push.latent_stride);
  d.grid = {(columns + 2 * kNumberWorkgroup - 1) / (2 * kNumberWorkgroup), tokens_, 1};
  d.bytes = 4.0 * spec_.desc.hidden * (routes_ + tokens_);
  add(std::move(d));
}

// combine.comp with one slot a token: rows of skipped routes become zeros.
void PlanBuilder::export_expert_out() {
  Dispatch d = dispatch(KernelId::kCombine, "expert_out for the host");
  CombinePush push{};
  push.slots = 1;
  push.hidden = spec_.desc.hidden;
  push.in_stride = spec_.hidden_padded;
  push.out_scale = 1;
  push.dtypes = MOE_DTYPE_F32 | kNumberNoResidual << 4;
  push.routed_experts = spec_.desc.experts;
  push.routed_width = spec_.segment[0].hidden;
  const bool identity = spec_.desc.identity_experts != 0;
  push.identity_first = identity ? spec_.experts_total : kNumberNone;
  push.x_stride = spec_.hidden_padded;
  push.token_slots = spec_.slots;
  set_push(&d, push);
  patch(&d, offsetof(CombinePush, y_offset), ViewId::kExpertOut, Patch::Kind::kOffsetWords);
  patch(&d, offsetof(CombinePush, y_stride), ViewId::kExpertOut, Patch::Kind::kStrideWords);
  const Binding x = identity_input(&d, offsetof(CombinePush, x_offset), offsetof(CombinePush, x_stride));
  d.bindings = {region(Region::kExpertOut, 0),
                region(Region::kIds, 0),
                aux(),
                view(ViewId::kExpertOut),
                x,
                identity ? region(Region::kWeights, 0) : aux(),
                beside(false)};
  d.grid = {(spec_.desc.hidden + 2 * kNumberWorkgroup - 1) / (2 * kNumberWorkgroup), routes_, 1};
  add_next(std::move(d));
}

}  // namespace moevk
