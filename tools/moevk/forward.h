// SPDX-License-Identifier: MIT
//
// In:  a layer on a device, tokens in host memory.
// Out: what the layer gave (y, experts, weights, logits, loads) and what each step took.
// Why: `run` asks two devices the same question, through the same few lines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/moevk/host.h"

namespace moevk::cli {

struct StepTime {
  std::string name;
  uint32_t dispatches = 0;
  double milliseconds = 0;  // median over the repeats
  double bytes = 0;         // of the plan's estimate
  double flops = 0;
};

struct ForwardResult {
  uint64_t tokens = 0;
  std::vector<float> y;         // [tokens, hidden]
  std::vector<int32_t> ids;     // [tokens, k]
  std::vector<float> weights;   // [tokens, k]
  std::vector<float> logits;    // [tokens, experts + identity experts]; empty where the layer has no router
  std::vector<int32_t> counts;  // [experts + identity experts]
  std::vector<StepTime> steps;  // empty if not profiled, or if the device has no clock
  double wall_ms = 0;           // median over the repeats: encode, submit and wait, copies included
};

// Runs the layer `repeats` times on the same tokens. A router with an input of its own gets x too, and a table of
// tokens is read row by row. `profile`: with the times of the steps, if the device can.
ForwardResult run_forward(const Host& host, moe_device* device, moe_layer* layer, const moe_layer_desc& desc,
                          const std::vector<float>& x, uint32_t repeats, bool profile);

// The steps of the newest flush that wait has seen, of all its calls.
std::vector<moe_step_timing> read_timings(const Host& host, moe_context* context);
// Time stamps from now on; false where the device's queue has no clock.
bool start_profiling(const Host& host, moe_context* context);

// The value below which `share` (0..1) of the samples lie; 0.5 gives the median. Not empty.
double quantile(std::vector<double> samples, double share);

}  // namespace moevk::cli
