// SPDX-License-Identifier: MIT
//
// What follows from a layer's numbers alone: its parameters, and how many routes an expert serves.
#include <algorithm>
#include <cmath>

#include "runtime/layer_spec.h"

namespace moevk {

uint32_t LayerSpec::expert_capacity(uint64_t tokens) const {
  const double share =
      static_cast<double>(tokens) * desc.top_k * static_cast<double>(desc.capacity_factor) / desc.experts;
  // A factor of 1.1f is a little more than 1.1; that does not make a place more.
  const double places = std::ceil(share * (1 - 1e-6));
  return std::max(static_cast<uint32_t>(std::min(places, 4294967295.0)), desc.capacity_minimum);
}

uint64_t total_parameters(const LayerSpec& spec) {
  const moe_layer_desc& d = spec.desc;
  const uint64_t matrices = spec.gated ? 3 : 2;
  const uint64_t routed = spec.segment[0].hidden;
  uint64_t total = matrices * (routed * d.experts * d.intermediate + uint64_t{d.hidden} * d.shared_intermediate);
  total += uint64_t{2} * d.latent * d.hidden + (spec.has(MOE_LAYER_LATENT_NORM) ? d.latent : 0);
  total += uint64_t{spec.router_rows()} * d.hidden;
  for (const uint32_t bias : {MOE_LAYER_ROUTER_BIAS, MOE_LAYER_SELECTION_BIAS}) {
    if (spec.has(bias)) total += spec.candidates();
  }
  if (spec.has(MOE_LAYER_PER_EXPERT_SCALE)) total += d.experts;
  if (spec.has(MOE_LAYER_ROUTER_INPUT_SCALE)) total += d.hidden;
  if (spec.has(MOE_LAYER_INPUT_NORM)) total += d.hidden;
  if (spec.has(MOE_LAYER_EXPERT_BIAS)) total += uint64_t{d.experts} * ((matrices - 1) * d.intermediate + routed);
  return total;
}

uint64_t active_parameters(const LayerSpec& spec) {
  const moe_layer_desc& d = spec.desc;
  const uint64_t matrices = spec.gated ? 3 : 2;
  const uint32_t idle_experts = d.experts - std::min(d.top_k, d.experts);
  const uint64_t routed = spec.segment[0].hidden;
  uint64_t idle = matrices * routed * d.intermediate * idle_experts;
  if (spec.has(MOE_LAYER_EXPERT_BIAS)) {
    idle += uint64_t{idle_experts} * ((matrices - 1) * d.intermediate + routed);
  }
  return total_parameters(spec) - idle;
}

}  // namespace moevk
