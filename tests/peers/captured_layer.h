// SPDX-License-Identifier: MIT
//
// In:  a folder that llamacpp_dump wrote, a block's number.
// Out: what llama.cpp put into that block's MoE layer and got out of it; how ours compares.
// Why: the rule for routes is design's own: ids must agree wherever their scores are further apart than the rounding of
//      two different sums may move them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/peers/judged_device.h"

namespace moevk::peers {

struct CapturedLayer {
  LayerInputs inputs;
  std::vector<float> router_x;  // [T, H], as the router multiplies it
  std::vector<float> logits;    // [T, E]
  std::vector<int32_t> ids;     // [T, k]
  std::vector<float> weights;   // [T, k]
  std::vector<float> y;         // [T, H]
};

// False where the folder has no such block. Throws std::runtime_error.
bool read_captured_layer(const std::string& folder, uint32_t block, const moe_layer_desc& desc, CapturedLayer& layer);

struct Comparison {
  std::string problem;  // empty: all is within its bound
  uint64_t tokens = 0;
  uint64_t close_tokens = 0;  // with other experts, whose scores are as good as equal
  Difference logits, weights, y;
};

// `logit_bounds`: for each token the most that two sums of its logits may differ. Weights are held to kPeerBound,
// outputs to `output_bound`.
void compare(const CapturedLayer& theirs, const LayerOutputs& ours, const moe_layer_desc& desc,
             std::span<const double> logit_bounds, double output_bound, Comparison& comparison);

// For each token the largest 2 g sum |x w| over the experts, where g = n u / (1 - n u) bounds an f32 sum of n products
// (u = 2^-24) in any order; n is a little more than `hidden`.
std::vector<double> logit_bounds_of(std::span<const float> x, std::span<const float> router, uint64_t hidden);

}  // namespace moevk::peers
