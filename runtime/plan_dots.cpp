// SPDX-License-Identifier: MIT
//
// int8 precision by integer dot products: whether a matmul multiplies codes, and the step that makes the codes of its
// activations. The other way, which every matmul has, rounds activations as it reads them and multiplies floats.
#include <algorithm>

#include "runtime/plan_builder.h"

namespace moevk {

// Empty, or why not.
std::string PlanBuilder::no_dots(WeightSet weights) const {
  if (caps_.integer_dot == 0) return "the device has no shaderIntegerDotProduct";
  if (!small_) return "tiles multiply floats";
  if (is_struck(caps_, kKernels[static_cast<size_t>(KernelId::kQuantise)].name)) {
    return "the driver cannot compile quantise";
  }
  if (spec_.latent()) return "the rows of a latent space are not quantised";
  const bool gate_up = weights == WeightSet::kGateUp;
  for (uint32_t i = 0; i < spec_.segments; ++i) {
    const Segment& s = spec_.segment[i];
    for (const WeightFormat format : {gate_up ? s.up : s.down, gate_up && spec_.gated ? s.gate : WeightFormat::kQ8_0}) {
      // Vendors' compilers: 11 instructions a product then (Adreno), and registers that spill; floats take 10.
      const bool apart = caps_.integer_dot == 1 && caps_.kind != MOE_DEVICE_KIND_CPU_VULKAN;
      if (apart && has_half_scales(format)) {
        return format_name(format) + " does not pay where the driver takes the instruction apart";
      }
      // Blocks of gate and up then spill 12 registers for one token, 113 for two (Adreno 660).
      if (gate_up && caps_.integer_dot == 3 && has_half_scales(format)) {
        return format_name(format) + " needs too many registers where only signed with unsigned bytes are multiplied";
      }
      if (!has_integer_codes(format)) return format_name(format) + " has no integers for each block of 32 columns";
    }
    if (gate_up && spec_.gated && has_interleaved_codes(s.gate) != has_interleaved_codes(s.up)) {
      return "gate and up have codes of 8 bits and of fewer";
    }
    // A row of h has the width of the widest: what follows a narrower one must begin a block of its own.
    if (!gate_up && s.intermediate_padded != spec_.widest() && s.intermediate_padded % kCodeBlock != 0) {
      return std::to_string(s.intermediate_padded) + " columns of h end within a block of 32";
    }
  }
  return "";
}

bool PlanBuilder::takes_dots(WeightSet weights) {
  if (spec_.desc.precision != MOE_PRECISION_INT8) return false;
  const std::string reason = no_dots(weights);
  const char* name = weights == WeightSet::kGateUp ? "gate and up" : "down";
  if (!reason.empty()) refuse(std::string("integer dot products in ") + name + ": " + reason);
  return reason.empty();
}

// Of rows as quantise.comp writes them: code_row_words of code_rows.glsl.
uint64_t code_row_bytes(uint32_t columns) {
  const uint64_t blocks = (columns + kCodeBlock - 1) / kCodeBlock;
  return 64 * blocks + (blocks + 1) / 2 * 16;
}

Dispatch PlanBuilder::quantise(Region to, uint32_t rows, uint32_t columns, const char* why) {
  Dispatch d = dispatch(KernelId::kQuantise, why);
  set_push(&d, QuantisePush{columns / 4, 0, columns / 4});
  d.bindings = {aux(), region(to, rows * code_row_bytes(columns))};
  d.grid = {((columns + kCodeBlock - 1) / kCodeBlock * 8 + kNumberWorkgroup - 1) / kNumberWorkgroup, rows, 1};
  d.bytes = rows * (4.0 * columns + static_cast<double>(code_row_bytes(columns)));
  return d;
}

// Beside the routing: with the first step where x is as the host has it, else with the one after `prepare`.
void PlanBuilder::quantise_x() {
  dots_gate_up_ = takes_dots(WeightSet::kGateUp);
  if (!dots_gate_up_) return;
  Dispatch d = quantise(Region::kXCodes, tokens_, spec_.hidden_padded, "x in 8 bits, once for all that multiply it");
  if (shape_.x_direct) {
    patch(&d, offsetof(QuantisePush, from_offset4), ViewId::kX, Patch::Kind::kOffsetVec4);
    patch(&d, offsetof(QuantisePush, from_stride4), ViewId::kX, Patch::Kind::kStrideVec4);
    d.bindings[0] = view(ViewId::kX);
    add(std::move(d));
  } else {
    d.bindings[0] = region(Region::kPrepared, 0);
    add_next(std::move(d));
    waits_for_ = "quantise";
  }
}

// Several workgroups make a block of h, so none of them knows its largest.
void PlanBuilder::quantise_h() {
  dots_down_ = takes_dots(WeightSet::kDown);
  if (!dots_down_) return;
  step("quantise");
  Dispatch d = quantise(Region::kHCodes, routes_, spec_.widest(), "h in 8 bits, once for all that multiply it");
  d.bindings[0] = region(Region::kH, 0);
  add(std::move(d));
}

}  // namespace moevk
