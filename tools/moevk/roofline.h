// SPDX-License-Identifier: MIT
//
// In:  a layer's shape, the number of tokens, bits per weight; what the device can do at most.
// Out: floating-point operations and bytes that one forward cannot avoid, and the time that it cannot go below.
// Why: GB/s, GFLOP/s and percent of the floor come from these formulas, the same for every library that is compared, and
//      not from what a plan claims about itself.
#pragma once

#include <cstdint>
#include <optional>

#include "plugin_api/moe_plugin.h"

namespace moevk::cli {

struct Roofline {
  double distinct_experts = 0;
  double bytes = 0;
  double flops = 0;  // 2 per multiply-add
};

// Under uniform routing, unless `distinct_experts` were counted.
Roofline roofline(const moe_layer_desc& desc, uint64_t tokens, double weight_bits,
                  std::optional<double> distinct_experts = std::nullopt);

// What a device does at most, as the program device_peak measures it.
struct DevicePeak {
  double bandwidth_gbps = 0;  // of a kernel that reads, or of a copy, whichever is more
  double gflops = 0;          // f32 multiply-adds in registers
  double dispatch_us = 0;     // of a dispatch that waits for the one before it
};

struct Floor {
  double memory_ms = 0;       // bytes / bandwidth
  double compute_ms = 0;      // flops / peak
  double dispatch_ms = 0;     // of the steps that wait for each other
  double ms() const;          // the larger of the first two, and the third
  const char* bound() const;  // "memory", "compute" or "dispatch": what is most of it
};

// Steps of which each needs all of the one before: routes, gate and up, down. A dense layer has no routes.
uint32_t least_steps(const moe_layer_desc& desc);
Floor floor_of(const Roofline& work, const DevicePeak& peak, uint32_t steps);

}  // namespace moevk::cli
