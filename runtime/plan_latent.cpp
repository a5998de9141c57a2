// SPDX-License-Identifier: MIT
//
// Into the latent space and back: x -> latent rows before the experts, their sum -> y after them. Both are matmuls of
// one matrix with every token, by the experts' own kernels. The first shares a step with the routing where it can.
#include <algorithm>

#include "runtime/plan_builder.h"

namespace moevk {

// A variant of a matmul kernel; the rows of its matrix are the columns of its output.
Dispatch PlanBuilder::projection(WeightSet weights, size_t pass, const char* why) {
  const Segment& latent = spec_.latent_segment();
  const bool down = weights == WeightSet::kLatentDown;
  const size_t passes = layout_.passes_of(weights).size();
  // The fused sum of the small-token kernel does not know which columns another pass makes.
  const bool small = small_ && (down || passes == 1);
  if (small_ && !small) {
    refuse("small-token projection: latent.up needs " + std::to_string(passes) + " binding passes");
  }
  const KernelId kernel = down ? (small ? KernelId::kGateUpSmall : KernelId::kGateUpTile)
                               : (small ? KernelId::kDownSmall : KernelId::kDownTile);
  Dispatch d = dispatch(kernel, why + binding_pass_text(pass, passes));
  const uint32_t rows = down ? latent.intermediate_padded : latent.hidden;
  if (small) {
    const uint32_t together = small_tokens_per_group(tokens_);
    set(&d, Constant::kTokensPerGroup, together);
    d.grid = {(rows + small_rows(together) - 1) / small_rows(together), 1, 1};
  } else {
    d.grid = {(tokens_ + kNumberTileRows - 1) / kNumberTileRows, (rows + kNumberTileColumns - 1) / kNumberTileColumns,
              1};
  }
  set(&d, Constant::kLatent, kNumberLatentProjection);
  set(&d, Constant::kPrecision, spec_.desc.precision);
  set(&d, down ? Constant::kUpFormat : Constant::kDownFormat, kernel_format(down ? latent.up : latent.down));
  d.weight_set = weights;
  d.binding_pass = static_cast<uint32_t>(pass);
  const double elements = static_cast<double>(latent.intermediate) * latent.hidden;
  const double matrix = elements * static_cast<double>(element_bytes(down ? latent.up : latent.down));
  const double activations = 4.0 * tokens_ * (latent.hidden * (down ? 1.0 : 2.0) + latent.intermediate);
  d.bytes = (matrix + activations) / static_cast<double>(passes);
  d.flops = 2 * elements * tokens_ / static_cast<double>(passes);
  return d;
}

void PlanBuilder::latent_down() {
  if (!spec_.latent()) return;
  const Segment& latent = spec_.latent_segment();
  const MatrixLayout& matrix = layout_.at(spec_.segments, MatrixKind::kGate);  // its places are those of up
  for (size_t pass = 0; pass < layout_.passes_of(WeightSet::kLatentDown).size(); ++pass) {
    Dispatch d = projection(WeightSet::kLatentDown, pass, "x into the latent space of the routed experts");
    set(&d, Constant::kGated, 0);
    GateUpPush push{};
    push.slots = 1;
    push.routes = tokens_;
    push.experts_total = 1;
    push.x_stride4 = spec_.hidden_padded / 4;
    push.h_stride = latent.intermediate_padded;
    push.binding_pass = static_cast<uint32_t>(pass);
    push.segment_split = 1;
    push.activation = kNumberLinear;
    push.segment[0] = {latent.hidden_padded / 8,
                       latent.intermediate,
                       matrix.first_entry,
                       static_cast<uint32_t>(matrix.places.size()),
                       matrix.pieces,
                       matrix.rows_per_piece,
                       kNumberNone,
                       kNumberNone};
    set_push(&d, push);
    const Binding table = {Binding::Kind::kTable, 0, 0}, x = matmul_input(&d), rows = latent_rows(true);
    d.bindings = {table, x, aux(), aux(), aux(), rows, aux(), aux()};
    if (d.kernel == KernelId::kGateUpTile) d.bindings = {table, x, aux(), aux(), aux(), aux(), rows, aux()};
    if (shape_.x_direct) {
      add(std::move(d));
    } else {
      add_next(std::move(d));  // prepared x is ready then
      waits_for_ = "latent_down";
    }
  }
}

void PlanBuilder::latent_up() {
  if (!spec_.latent()) return;
  const Segment& latent = spec_.latent_segment();
  const MatrixLayout& matrix = layout_.at(spec_.segments, MatrixKind::kDown);
  const bool residual = shape_.residual_dtype != kNumberNone;
  step("latent_up");
  for (size_t pass = 0; pass < layout_.passes_of(WeightSet::kLatentUp).size(); ++pass) {
    Dispatch d = projection(WeightSet::kLatentUp, pass, "the experts' sum out of the latent space");
    set(&d, Constant::kCombine, 1);
    DownPush push{};
    push.slots = 1;
    push.routes = tokens_;
    push.experts_total = 1;
    push.hidden = latent.hidden;
    push.h_stride4 = latent.intermediate_padded / 4;
    push.binding_pass = static_cast<uint32_t>(pass);
    push.segment_split = 1;
    push.out_scale = spec_.desc.out_scale;
    push.dtypes = output_dtypes(shape_);
    push.x_stride = latent.hidden;
    push.latent = latent.intermediate;
    push.norm_offset = layout_.latent_norm;
    push.norm_eps = spec_.desc.norm_eps;
    push.segment[0] = {latent.hidden, latent.intermediate_padded / 8, matrix.first_entry,
                       matrix.pieces, matrix.rows_per_piece,          kNumberNone};
    set_push(&d, push);
    set_y(&d, offsetof(DownPush, out_offset), offsetof(DownPush, out_stride), offsetof(DownPush, residual_offset),
          offsetof(DownPush, residual_stride), offsetof(DownPush, beta));
    const Binding table = {Binding::Kind::kTable, 0, 0}, sum = latent_sum(), y = view(ViewId::kY);
    const Binding added = residual ? view(ViewId::kResidual) : aux();
    d.bindings = {table, sum, aux(), aux(), aux(), y, added, beside(true), unused(), aux()};
    if (d.kernel == KernelId::kDownTile) {
      d.bindings = {table, sum, aux(), aux(), aux(), y, aux(), added, beside(true)};
    }
    add(std::move(d));
  }
}

Binding PlanBuilder::latent_rows(bool used) {
  return used ? region(Region::kLatent, uint64_t{tokens_} * latent_padded() * 4) : aux();
}

Binding PlanBuilder::latent_sum() { return region(Region::kLatentSum, uint64_t{tokens_} * latent_padded() * 4); }

Binding PlanBuilder::beside(bool used) {
  return used ? region(Region::kBeside, uint64_t{tokens_} * spec_.desc.hidden * 4) : unused();
}

}  // namespace moevk
