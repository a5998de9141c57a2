// SPDX-License-Identifier: MIT
//
// In:  a layer's shape, the number of tokens, bits per weight.
// Out: floating-point operations and bytes that one forward cannot avoid.
// Why: GB/s and GFLOP/s in `bench` come from these formulas, the same for every library that is
// compared,
//      and not from what a plan claims about itself.
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

}  // namespace moevk::cli
