// SPDX-License-Identifier: MIT
//
// In:  what `moevk run` measured for one layer.
// Out: lines on stdout.
// Why: the looks of the report stand apart from the measuring.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/moevk/compare.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/roofline.h"

namespace moevk::cli {

// A comparison with "reference" or "oracle".
struct Verdict {
  std::string against;
  RouteComparison routes;
  OutputError output;
};

void print_verdict(const Verdict& verdict);
// Each step's time, GB/s and GFLOP/s by the plan's estimate, and their sum; the whole call's,
// copies included, by `work`, what the layer cannot avoid.
void print_steps(const ForwardResult& result, const Roofline& work);
// One bar an expert, as long as its share of the largest load; several columns for many experts.
void print_loads(const std::vector<int32_t>& counts);

}  // namespace moevk::cli
