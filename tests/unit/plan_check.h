// SPDX-License-Identifier: MIT
//
// What must hold of every plan, whatever the layer, the device and the call. In: a plan and what it was made from.
// Out: each rule that it breaks, one sentence each. Bindings and shared memory are judged by the kernels' SPIR-V.
#pragma once

#include <string>
#include <vector>

#include "runtime/plan.h"

namespace moevk::unit {

std::vector<std::string> check_plan(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                                    const Plan& plan);
bool same_plan(const Plan& a, const Plan& b);

// forward with f32 activations, in place where the layer allows it.
CallShape forward_shape(const LayerSpec& spec, uint64_t tokens);

// A layer on a device. layout.ok() is false where the device cannot hold it.
struct Planned {
  LayerSpec spec;
  DeviceCaps caps;
  Result<WeightLayout> layout;

  Planned(const LayerSpec& s, const DeviceCaps& c) : spec(s), caps(c), layout(make_weight_layout(s, c)) {}
  // Throws where there is no layout or no plan.
  Plan plan(const CallShape& shape);
};

}  // namespace moevk::unit
