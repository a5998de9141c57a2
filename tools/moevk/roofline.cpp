// SPDX-License-Identifier: MIT
//
// In:  shape, T, bits per weight.
// Out: Roofline.
// Why: FLOPs = 6 T k H F + 2 T H E + 6 T H Fs; distinct experts D = E (1 - (1 - k/E)^T);
//      bytes = weights of D experts, the f32 router and the shared experts, each once, plus
//      activations of 4 bytes: x, h written and read, route outputs written and read, y. Without a
//      gate matrix 3 becomes 2.
#include "tools/moevk/roofline.h"

#include <algorithm>
#include <cmath>

namespace moevk::cli {

Roofline roofline(const moe_layer_desc& desc, uint64_t tokens, double weight_bits,
                  std::optional<double> distinct_experts) {
  const double T = static_cast<double>(tokens);
  const double H = desc.hidden;
  const double F = desc.intermediate;
  const double E = desc.experts;
  const double k = desc.top_k;
  const double Fs = desc.shared_intermediate;
  const double matrices = (desc.flags & MOE_LAYER_UNGATED) != 0 ? 2 : 3;
  const bool router = desc.route_source == MOE_ROUTE_FROM_ROUTER;
  constexpr double kActivationBytes = 4;

  Roofline floor;
  floor.distinct_experts = distinct_experts.value_or(E * (1 - std::pow(1 - k / E, T)));
  floor.flops = 2 * matrices * T * k * H * F + (router ? 2 * T * H * E : 0) + 2 * matrices * T * H * Fs;
  floor.bytes = floor.distinct_experts * matrices * H * F * weight_bits / 8 + (router ? 4 * E * H : 0) +
                matrices * H * Fs * weight_bits / 8 + kActivationBytes * (T * H + 2 * T * k * F + 2 * T * k * H) +
                4 * T * H;
  return floor;
}

double Floor::ms() const { return std::max(memory_ms, compute_ms) + dispatch_ms; }

const char* Floor::bound() const {
  if (dispatch_ms > std::max(memory_ms, compute_ms)) return "dispatch";
  return memory_ms >= compute_ms ? "memory" : "compute";
}

uint32_t least_steps(const moe_layer_desc& desc) { return desc.route_source == MOE_ROUTE_DENSE ? 2 : 3; }

Floor floor_of(const Roofline& work, const DevicePeak& peak, uint32_t steps) {
  return {work.bytes / peak.bandwidth_gbps * 1e-6, work.flops / peak.gflops * 1e-6, steps * peak.dispatch_us * 1e-3};
}

}  // namespace moevk::cli
