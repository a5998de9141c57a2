// SPDX-License-Identifier: MIT
//
// The end of a sum over kLanes invocations: their parts in order. Needs lane_sums[].

float add_lanes(uint first) {
  precise float sum = 0.0;
  for (uint i = 0u; i < kLanes; ++i) sum = sum + lane_sums[first + i];
  return sum;
}
