// SPDX-License-Identifier: MIT
//
// Medians beside each other, and their ratio (see peer_rows.h).
#include "bench/peer_rows.h"

#include <algorithm>

#include "tools/model/json_text.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/terminal.h"

namespace moevk::bench {

using cli::formatted;

double Timing::median_ms() const { return cli::quantile(samples_ms, 0.5); }
double Timing::p95_ms() const { return cli::quantile(samples_ms, 0.95); }
double Timing::median_cpu_ms() const { return cli::quantile(cpu_ms, 0.5); }
double PeerRow::cpu_ratio(const Timing& peer) const { return peer.median_cpu_ms() / timings.front().median_cpu_ms(); }
double PeerRow::ratio(const Timing& peer) const { return peer.median_ms() / timings.front().median_ms(); }

std::string table_heading(const std::vector<std::string>& peers) {
  std::string line =
      formatted("%-7s %-8s %5s %7s | %9s %9s %9s", "format", "routing", "T", "experts", "ours ms", "p95", "CPU ms");
  for (const std::string& peer : peers) {
    line += formatted(" | %11s %9s %9s %7s %7s %8s", (peer + " ms").c_str(), "p95", "CPU ms", "ratio", "CPU", "NMSE");
  }
  return line + " | n";
}

std::string table_line(const PeerRow& row, const std::vector<std::string>& peers) {
  std::string line = formatted("%-7s %-8s %5llu", row.format.c_str(), row.routing.c_str(),
                               static_cast<unsigned long long>(row.tokens));
  if (!row.skipped.empty()) return line + " skipped: " + row.skipped;
  const Timing& ours = row.timings.front();
  line += formatted(" %7llu | %9.3f %9.3f %9.3f", static_cast<unsigned long long>(row.experts), ours.median_ms(),
                    ours.p95_ms(), ours.median_cpu_ms());
  std::string notes;
  for (const std::string& name : peers) {
    const auto width = static_cast<int>(std::max<size_t>(11, name.size() + 3));
    const auto peer =
        std::find_if(row.timings.begin(), row.timings.end(), [&](const Timing& t) { return t.name == name; });
    if (peer == row.timings.end()) {
      line += formatted(" | %*s %9s %9s %7s %7s %8s", width, "-", "-", "-", "-", "-", "-");
      continue;
    }
    line += formatted(" | %*.3f %9.3f %9.3f %6.2fx %6.2fx %8.1e", width, peer->median_ms(), peer->p95_ms(),
                      peer->median_cpu_ms(), row.ratio(*peer), row.cpu_ratio(*peer), peer->error);
    if (!peer->declined.empty()) notes += "  " + name + " declines " + peer->declined;
    if (!peer->on_cpu.empty()) notes += "; on its CPU: " + peer->on_cpu;
  }
  return line + formatted(" | %zu", ours.samples_ms.size()) + notes;
}

std::string json_object(const PeerRow& row, const std::string& device, const std::string& driver,
                        const std::string& ggml_version) {
  using model::json_string;
  std::string text = "{\"shape\": " + json_string(row.shape) + ", \"format\": " + json_string(row.format) +
                     ", \"routing\": " + json_string(row.routing) +
                     formatted(", \"tokens\": %llu", static_cast<unsigned long long>(row.tokens));
  if (!row.skipped.empty()) return text + ", \"skipped\": " + json_string(row.skipped) + "}";
  text += formatted(", \"distinct_experts\": %llu, \"bytes\": %.6g, \"flops\": %.6g, \"timings\": [",
                    static_cast<unsigned long long>(row.experts), row.bytes, row.flops);
  for (const Timing& timing : row.timings) {
    if (&timing != &row.timings.front()) text += ", ";
    text += "{\"name\": " + json_string(timing.name) +
            formatted(
                ", \"median_ms\": %.6g, \"p95_ms\": %.6g, \"repeats\": %zu, \"ratio\": %.4g, \"nmse\": %.3g, "
                "\"cpu_ms\": %.6g, \"cpu_ratio\": %.4g",
                timing.median_ms(), timing.p95_ms(), timing.samples_ms.size(), row.ratio(timing), timing.error,
                timing.median_cpu_ms(), row.cpu_ratio(timing)) +
            ", \"declined\": " + json_string(timing.declined) + ", \"on_cpu\": " + json_string(timing.on_cpu) + "}";
  }
  return text + "], \"device\": " + json_string(device) + ", \"driver\": " + json_string(driver) +
         ", \"ggml\": " + json_string(ggml_version) + "}";
}

}  // namespace moevk::bench
