// SPDX-License-Identifier: MIT
//
// Plan -> text.
#include "runtime/plan_text.h"

#include <cstdio>

namespace moevk {
namespace {

std::string with_unit(double value, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  size_t prefix = 0;
  while (value >= 1000 && prefix < 4) {
    value /= 1000;
    ++prefix;
  }
  char text[48];
  std::snprintf(text, sizeof text, value < 10 && prefix > 0 ? "%.1f %s%s" : "%.0f %s%s", value, kPrefixes[prefix],
                unit);
  return text;
}

std::string constants_text(const Dispatch& d) {
  std::string text;
  for (size_t i = 0; i < kConstantCount; ++i) {
    if (d.constants[i] == kConstantDefaults[i] || d.constants[i] == kNumberNone) continue;
    text += (text.empty() ? "" : " ") + std::string(kConstantNames[i]) + "=" + std::to_string(d.constants[i]);
  }
  return text.empty() ? "" : " {" + text + "}";
}

// Of each set of matrices: "1 + 2".
std::string passes_text(const WeightLayout& layout) {
  std::string text;
  for (const auto& passes : layout.passes) {
    if (!passes.empty()) text += (text.empty() ? "" : " + ") + std::to_string(passes.size());
  }
  return text;
}

std::string formats_text(const LayerSpec& spec) {
  std::string text;
  for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
    const Segment& s = spec.segment[i];
    text += (i == 0               ? ""
             : i == spec.segments ? ", latent "
                                  : ", shared ") +
            (s.gated ? format_name(s.gate) + "/" : std::string()) + format_name(s.up) + "/" + format_name(s.down);
  }
  return text;
}

}  // namespace

std::string plan_text(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps, const Plan& plan) {
  const moe_layer_desc& d = spec.desc;
  std::string text = "plan: " + std::string(stage_name(plan.shape.stage)) + " of " + std::to_string(plan.shape.tokens) +
                     " tokens on " + caps.name + "\n";
  text += "layer: H " + std::to_string(d.hidden) + ", F " + std::to_string(d.intermediate) + ", E " +
          std::to_string(d.experts) + ", k " + std::to_string(d.top_k);
  if (d.shared_intermediate != 0) {
    text += ", shared " + std::to_string(d.shared_intermediate) +
            (spec.segments == 2 ? " (a width or format of its own)"
                                : " (joins as " + std::to_string(spec.shared_slots) + " further experts)");
  }
  if (spec.latent()) text += ", latent " + std::to_string(d.latent);
  text += ", weights " + formats_text(spec) + "\n";
  text += "weights: " + with_unit(static_cast<double>(layout.total_bytes(spec)), "B") + " in " +
          std::to_string(layout.windows.size()) + " windows, read through " +
          (caps.buffer_device_address != 0 ? "device addresses" : passes_text(layout) + " binding passes") + "\n";
  text += "workspace: " + with_unit(static_cast<double>(plan.workspace_bytes), "B") + "\n";
  text += "dispatches: " + std::to_string(plan.dispatches()) + ", barriers: " + std::to_string(plan.barriers()) + "\n";
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if (i != 0) text += "  -- barrier\n";
    text += "step " + std::to_string(i + 1) + " " + step.name;
    if (step.tokens != plan.shape.tokens)
      text += " (tokens " + std::to_string(step.first_token) + ".." +
              std::to_string(step.first_token + step.tokens - 1) + ")";
    text += "\n";
    for (const Dispatch& one : step.dispatches) {
      text += "  " + std::string(kKernels[static_cast<size_t>(one.kernel)].name) + constants_text(one) + " ";
      text += one.indirect ? "grid from the tile list"
                           : std::to_string(one.grid[0]) + " x " + std::to_string(one.grid[1]) + " x " +
                                 std::to_string(one.grid[2]);
      if (one.bytes > 0) text += ", " + with_unit(one.bytes, "B");
      if (one.flops > 0) text += ", " + with_unit(one.flops, "FLOP");
      text += "\n      " + one.why + "\n";
    }
  }
  for (const std::string& refused : plan.refused) text += "refused: " + refused + "\n";
  return text;
}

Result<std::string> describe_forward(const LayerSpec& spec, const DeviceCaps& caps, uint64_t tokens) {
  if (caps.kind == MOE_DEVICE_KIND_REFERENCE) {
    return std::string("plan: ") + caps.name + " runs plain loops, token by token; there is nothing to plan\n";
  }
  if (const std::string missing = below_floor(caps); !missing.empty()) {
    return unsupported("caps_text", caps.name + " is below the floor: " + missing);
  }
  MOE_ASSIGN_OR_RETURN(const WeightLayout layout, make_weight_layout(spec, caps));
  CallShape shape;
  shape.tokens = tokens;
  shape.x_direct = spec.hidden_padded == spec.desc.hidden && !spec.has(MOE_LAYER_INPUT_NORM);
  MOE_ASSIGN_OR_RETURN(const Plan plan, plan_call(spec, layout, caps, shape));
  return plan_text(spec, layout, caps, plan);
}

}  // namespace moevk
