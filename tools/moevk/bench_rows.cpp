// SPDX-License-Identifier: MIT
//
// The columns of the table and the keys of the JSON (see bench_rows.h); what is not known is "-", or not there.
#include "tools/moevk/bench_rows.h"

#include <algorithm>
#include <cstdio>

#include "tools/model/json_text.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {

void print_bench_table(const std::vector<BenchRow>& rows) {
  const bool shapes =
      std::any_of(rows.begin(), rows.end(), [&](const BenchRow& r) { return r.shape != rows[0].shape; });
  std::vector<std::string> headings = {"format",  ">T",    ">experts", ">calls",    ">MB",       ">GFLOP", ">median ms",
                                       ">p95 ms", ">GB/s", ">GFLOP/s", ">floor ms", ">of floor", "bound",  ">repeats"};
  if (shapes) headings.insert(headings.begin(), "shape");
  Table table(headings);
  for (const BenchRow& row : rows) {
    std::vector<std::string> cells = {row.format,
                                      std::to_string(row.tokens),
                                      formatted("%.1f", row.work.distinct_experts),
                                      std::to_string(row.calls),
                                      formatted("%.2f", row.work.bytes * 1e-6),
                                      formatted("%.4f", row.work.flops * 1e-9),
                                      formatted("%.3f", row.median_ms),
                                      formatted("%.3f", row.p95_ms),
                                      formatted("%.2f", row.gbps()),
                                      formatted("%.2f", row.gflops()),
                                      row.floor ? formatted("%.4f", row.floor->ms()) : "-",
                                      row.floor ? formatted("%.1f %%", row.percent_of_floor()) : "-",
                                      row.floor ? row.floor->bound() : "-",
                                      std::to_string(row.repeats)};
    if (shapes) cells.insert(cells.begin(), row.shape);
    table.add(std::move(cells));
  }
  table.print();
  for (const BenchRow& row : rows) {
    if (row.steps.empty()) continue;
    std::string line = "steps   " + row.shape + " " + row.format + " T=" + std::to_string(row.tokens) + ":";
    for (const StepTime& step : row.steps) line += formatted(" %s %.3f ms", step.name.c_str(), step.milliseconds);
    std::printf("%s\n", line.c_str());
  }
}

std::string bench_json(const BenchRow& row, const moe_device_info& device) {
  using model::json_string;
  std::string text =
      "{\"shape\": " + json_string(row.shape) +
      formatted(", \"shared\": %u, \"tokens\": %llu, \"format\": \"%s\", \"routing\": \"%s\"", row.shared,
                static_cast<unsigned long long>(row.tokens), row.format.c_str(), row.routing.c_str()) +
      formatted(", \"median_ms\": %.6g, \"p95_ms\": %.6g, \"gbps\": %.6g, \"gflops\": %.6g", row.median_ms, row.p95_ms,
                row.gbps(), row.gflops()) +
      formatted(", \"floor_bytes\": %.8g, \"floor_flops\": %.8g", row.work.bytes, row.work.flops);
  if (row.floor) {
    text += formatted(", \"floor_ms\": %.6g, \"memory_ms\": %.6g, \"compute_ms\": %.6g, \"dispatch_ms\": %.6g",
                      row.floor->ms(), row.floor->memory_ms, row.floor->compute_ms, row.floor->dispatch_ms) +
            formatted(", \"percent_of_floor\": %.5g, \"bound\": \"%s\"", row.percent_of_floor(), row.floor->bound());
  }
  if (!row.steps.empty()) {
    text += ", \"steps\": [";
    for (const StepTime& step : row.steps) {
      text += (&step == &row.steps.front() ? "{\"name\": " : ", {\"name\": ") + json_string(step.name) +
              formatted(", \"ms\": %.6g, \"dispatches\": %u}", step.milliseconds, step.dispatches);
    }
    text += "]";
  }
  return text +
         formatted(", \"distinct_experts\": %.6g, \"repeats\": %zu, \"calls_per_submit\": %u",
                   row.work.distinct_experts, row.repeats, row.calls) +
         ", \"device\": " + json_string(device.name) + ", \"driver\": " + json_string(device.driver) + "}";
}

}  // namespace moevk::cli
