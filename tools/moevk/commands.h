// SPDX-License-Identifier: MIT
//
// In:  a command's options, as command_line.cpp reads them.
// Out: what the command prints, and the program's exit code. Each throws UsageError for what a person has to correct.
// Why: a command is one file, which knows nothing of how options are written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/moevk/host.h"
#include "tools/moevk/layer_options.h"

namespace moevk::cli {

struct DevicesOptions {
  std::string caps;  // print the caps text of this device; empty: the table
};
int list_devices(const GlobalOptions& globals, const DevicesOptions& options);

struct InfoOptions {
  std::string file;
  std::string preset;  // in place of a file
  uint64_t tokens = 512;
};
int show_info(const GlobalOptions& globals, const InfoOptions& options);

struct AdviseOptions {
  std::string file;
  std::string device;          // empty: all that can be used
  double bandwidth = 0;        // GB/s
  double host_bandwidth = 0;   // GB/s
  uint64_t reserve_mib = 512;  // a few thousand tokens of context and llama.cpp's compute buffers
};
int advise(const GlobalOptions& globals, const AdviseOptions& options);

struct RunOptions {
  std::string file;
  std::string layer = "all";
  std::string input;
  uint64_t tokens = 0;  // 0: as many as the oracle has, or 64
  uint64_t seed = 1;
  std::string device;
  uint32_t repeat = 1;
  std::string routes;  // a file to record to
  std::string oracle;  // empty: oracle/ beside the file, if it is there; "none": do not look
};
int run_model(const GlobalOptions& globals, const RunOptions& options);

struct PlanOptions {
  LayerOptions layer;
  std::vector<uint64_t> tokens = {1, 512};
  std::string format = "f16";
  std::string caps;
  std::string device;
};
int show_plans(const GlobalOptions& globals, const PlanOptions& options);

struct CheckOptions {
  uint32_t count = 500;
  uint64_t seed = 1;
  int64_t index = -1;  // below 0: all
  std::string case_name;
  std::string without;
  std::string device;
  std::string report;
  bool list = false;
  bool long_run = false;
  bool validation = false;
  bool verbose = false;
};
int check(const GlobalOptions& globals, const CheckOptions& options);

struct BenchOptions {
  LayerOptions layer;
  std::vector<uint64_t> tokens = {1, 8, 64};
  std::vector<std::string> formats = {"f16"};
  std::string device;
  uint32_t repeat = 0;  // 0: for about a second, 5 to 200 times
  std::vector<uint32_t> per_submit = {1};
  std::string routing = "uniform";
  std::string routes;  // a file of recorded ones, instead of `routing`
  uint64_t seed = 1;
  std::string json;  // "-": stdout
  std::string html;
  bool steps = false;
  std::string peak;  // a file of device_peak's, or "none"; empty: it is run
};
int bench(const GlobalOptions& globals, BenchOptions options);

struct QuantizeOptions {
  std::string in, out, type;
};
int quantize(const QuantizeOptions& options);

struct RoutesOptions {
  std::string file;
  std::string layer;  // empty: all
  std::string svg, csv, json;
};
int show_routes(const RoutesOptions& options);

struct VectorOptions {
  std::vector<std::string> paths;
  std::string device;
  std::string results;
  bool require_all = false;
  bool verbose = false;
};
int run_vectors(const GlobalOptions& globals, const VectorOptions& options);

}  // namespace moevk::cli
