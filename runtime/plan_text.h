// SPDX-License-Identifier: MIT
//
// A plan as text for people and for golden files: each step, what it runs and why, what was refused.
#pragma once

#include <string>

#include "runtime/plan.h"

namespace moevk {

std::string plan_text(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps, const Plan& plan);

// The plan of forward with f32 activations in place, on a device known by its caps only.
Result<std::string> describe_forward(const LayerSpec& spec, const DeviceCaps& caps, uint64_t tokens);

}  // namespace moevk
