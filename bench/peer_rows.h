// SPDX-License-Identifier: MIT
//
// In:  what was measured of a layer, ours and the peers'.
// Out: rows of a table for a person, and JSON for programs.
// Why: each row is written when it is known, so that whoever ends a long run keeps what was measured.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace moevk::bench {

struct Timing {
  std::string name;  // "ours", "ggml-vulkan", "ggml-cpu"
  std::vector<double> samples_ms;
  std::vector<double> cpu_ms;  // of all threads of the process, one for each sample
  double error = 0;            // of the output against ours, see normalized_error; of ours 0
  std::string declined;        // the products that the device declines; empty: none
  std::string on_cpu;          // what ran on the CPU in its place; empty: nothing

  double median_ms() const;
  double p95_ms() const;
  double median_cpu_ms() const;
};

struct PeerRow {
  std::string shape;  // "H,F,E,k"
  std::string format, routing;
  uint64_t tokens = 0, experts = 0;
  double bytes = 0, flops = 0;  // that the layer needs (roofline.h)
  std::vector<Timing> timings;  // ours first
  std::string skipped;          // why there are no timings; empty: there are

  // How much slower a peer is than ours, medians: above 1 ours is faster.
  double ratio(const Timing& peer) const;
  // The same of the processor's time. On a software driver it is the layer's own cost, whatever else the machine does; on
  // a GPU it is the host's side.
  double cpu_ratio(const Timing& peer) const;
};

// The heading, and a row as a line under it.
std::string table_heading(const std::vector<std::string>& peers);
std::string table_line(const PeerRow& row, const std::vector<std::string>& peers);
std::string json_object(const PeerRow& row, const std::string& device, const std::string& driver,
                        const std::string& ggml_version);

}  // namespace moevk::bench
