// SPDX-License-Identifier: MIT
//
// In:  what `moevk bench` measured of a layer.
// Out: the table on the screen, and rows of JSON.
// Why: a row is one struct for the table, the JSON and the page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/roofline.h"

namespace moevk::cli {

struct BenchRow {
  std::string shape;  // "H,F,E,k"
  std::string layer;  // in words
  std::string format, routing;
  uint32_t shared = 0;
  uint64_t tokens = 0;
  Roofline work;  // what the layer needs
  double median_ms = 0, p95_ms = 0;
  size_t repeats = 0;
  uint32_t calls = 1;           // in one submit
  std::optional<Floor> floor;   // where the device's peak is known
  std::vector<StepTime> steps;  // of a profiled call, where that was asked for

  double gbps() const { return work.bytes / median_ms * 1e-6; }
  double gflops() const { return work.flops / median_ms * 1e-6; }
  double percent_of_floor() const { return floor ? 100 * floor->ms() / median_ms : 0; }  // 100: cannot be faster
};

// And a line a row with the time of its steps, where they were measured.
void print_bench_table(const std::vector<BenchRow>& rows);
std::string bench_json(const BenchRow& row, const moe_device_info& device);

}  // namespace moevk::cli
