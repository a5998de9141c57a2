// SPDX-License-Identifier: MIT
//
// In:  verdicts, step times, loads.
// Out: lines on stdout, as wide as the terminal at most.
// Why: see run_print.h.
#include "tools/moevk/run_print.h"

#include <algorithm>
#include <cstdio>

#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

std::string rate_text(double amount, double milliseconds) {
  return milliseconds > 0 && amount > 0 ? formatted("%.2f", amount / milliseconds * 1e-6) : "-";
}

}  // namespace

void print_verdict(const Verdict& verdict) {
  const OutputError& output = verdict.output;
  std::printf("  %-9s  max abs error %.2e  RMS error %.2e  relative RMS error %.2e  %s\n", verdict.against.c_str(),
              output.max_abs, output.rms, output.relative_rms,
              output.ok()      ? good("ok").c_str()
              : !output.finite ? bad("FAIL: not finite").c_str()
                               : bad("FAIL: above 1e-5").c_str());
  const RouteComparison& routes = verdict.routes;
  std::string text =
      formatted("  %-9s  experts the same for %llu of %llu tokens", verdict.against.c_str(),
                static_cast<unsigned long long>(routes.same), static_cast<unsigned long long>(routes.tokens));
  if (routes.near_ties > 0) {
    text += formatted(", %llu near-ties", static_cast<unsigned long long>(routes.near_ties));
  }
  if (routes.wrong > 0) text += formatted(", %llu wrong", static_cast<unsigned long long>(routes.wrong));
  if (routes.max_logit_error > 0) text += formatted(", max logit error %.2e", routes.max_logit_error);
  std::printf("%s  %s\n", text.c_str(), routes.ok() ? good("ok").c_str() : bad("FAIL").c_str());
}

void print_steps(const ForwardResult& result, const Roofline& work) {
  Table table({"step", ">dispatches", ">ms", ">GB/s", ">GFLOP/s"});
  StepTime sum;
  for (const StepTime& step : result.steps) {
    sum.dispatches += step.dispatches;
    sum.milliseconds += step.milliseconds;
    sum.bytes += step.bytes;
    sum.flops += step.flops;
    table.add({step.name, std::to_string(step.dispatches), formatted("%.3f", step.milliseconds),
               rate_text(step.bytes, step.milliseconds), rate_text(step.flops, step.milliseconds)});
  }
  if (!result.steps.empty()) {
    table.add({"all steps", std::to_string(sum.dispatches), formatted("%.3f", sum.milliseconds),
               rate_text(sum.bytes, sum.milliseconds), rate_text(sum.flops, sum.milliseconds)});
  }
  table.add({"whole call", "", formatted("%.3f", result.wall_ms), rate_text(work.bytes, result.wall_ms),
             rate_text(work.flops, result.wall_ms)});
  table.print(2);
  if (result.steps.empty()) std::printf("  no times of steps: the device's queue has no clock\n");
}

void print_loads(const std::vector<int32_t>& counts) {
  int64_t total = 0;
  int32_t largest = 1;
  for (const int32_t count : counts) {
    total += count;
    largest = std::max(largest, count);
  }
  const size_t experts = counts.size();
  const size_t id_width = std::to_string(experts - 1).size();
  const size_t count_width = std::to_string(largest).size();
  const size_t text_width = 1 + id_width + 1 + 1 + count_width + 9;  // "e12 BAR 345  12.3 %"
  const size_t width = terminal_width() - 2;
  size_t columns = experts <= 16 ? 1 : experts <= 64 ? 2 : 4;
  while (columns > 1 && width / columns < text_width + 8) --columns;
  const size_t cells = std::min<size_t>(width / columns - text_width - (columns > 1 ? 2 : 0), 60);
  std::printf("  %s %lld routes, even: %.1f %% each\n", heading("expert load").c_str(), static_cast<long long>(total),
              100.0 / static_cast<double>(experts));
  const size_t rows = (experts + columns - 1) / columns;
  for (size_t row = 0; row < rows; ++row) {
    std::string line;
    for (size_t expert = row; expert < experts; expert += rows) {
      const double share = total > 0 ? 100.0 * counts[expert] / static_cast<double>(total) : 0;
      const std::string id = formatted("e%zu", expert);
      line += "  " + id + std::string(id_width + 1 - id.size(), ' ') + " " +
              bar(static_cast<double>(counts[expert]) / largest, cells) +
              formatted(" %*d %6.1f %%", static_cast<int>(count_width), counts[expert], share);
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace moevk::cli
