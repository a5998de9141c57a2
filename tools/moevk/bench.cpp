// SPDX-License-Identifier: MIT
//
// moevk bench. In: layer shapes, numbers of tokens, weight formats. Out: what the device does at most, the time of
// whole layers, and how far that is from the floor by the roofline formulas: a table, JSON, a page. Why: one layer's
// time, measured the same way on every device: weights and tokens on the device, nothing copied in the timed part,
// which is encode, submit and wait.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <sstream>
#include <utility>

#include "tools/model/utf8_path.h"
#include "tools/moevk/bench_case.h"
#include "tools/moevk/bench_page.h"
#include "tools/moevk/bench_rows.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/device_peak.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/random_data.h"
#include "tools/moevk/recorded_routes.h"
#include "tools/moevk/roofline.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr uint32_t kProfiledCalls = 5;  // after those that are timed
constexpr size_t kMostReplayed = 16;    // different calls of a row
constexpr uint64_t kMostReplayedBytes = uint64_t{64} << 20;

// Added to the logits, whose spread is 1: nothing, the logarithm of Zipf's law, or k experts for
// all.
std::vector<float> routing_bias(const moe_layer_desc& desc, const std::string& routing) {
  std::vector<float> bias;
  if (routing == "uniform") return bias;
  for (uint32_t expert = 0; expert < desc.experts; ++expert) {
    const float zipf = -std::log(static_cast<float>(expert + 1));
    bias.push_back(routing == "zipf" ? zipf : expert < desc.top_k ? 1000.0f : 0.0f);
  }
  return bias;
}

// The layer that was recorded, where none is named.
void take_shape(BenchOptions& options, const RecordedRoutes& recorded) {
  const model::LayerLoad& layer = recorded.loads.layers().begin()->second;
  const std::string routed = "," + std::to_string(layer.experts) + "," + std::to_string(layer.top_k);
  if (layer.identity_experts > 0) throw UsageError(options.routes, "has identity experts, which bench has not");
  if (options.layer.shape.empty()) {
    if (layer.hidden == 0 || layer.intermediate == 0) throw UsageError("--shape", "is missing, and not in the file");
    options.layer.shape = std::to_string(layer.hidden) + "," + std::to_string(layer.intermediate) + routed;
  } else if (!options.layer.shape.ends_with(routed) || options.layer.shape.find('/') != std::string::npos) {
    throw UsageError("--shape", options.layer.shape + " is not one of H,F" + routed + ", as in " + options.routes);
  }
}

// Calls with recorded routes; what the device then chooses is held against the file.
std::unique_ptr<BenchCase> replay(const Host& host, moe_device* device, moe_layer* layer, const moe_layer_desc& desc,
                                  const RecordedRoutes& recorded, uint64_t tokens, uint64_t seed) {
  const uint64_t bytes = tokens * desc.hidden * sizeof(float);
  const size_t most = std::clamp<size_t>(kMostReplayedBytes / bytes, 1, kMostReplayed);
  const auto calls = calls_to_replay(recorded, tokens, most);
  auto bench_case =
      std::make_unique<BenchCase>(host, device, layer, desc, replayed_tokens(calls, desc, seed), calls.size());
  for (const std::vector<int32_t>& call : calls) {
    if (bench_case->chosen_experts() != call) throw std::runtime_error("the device did not take the recorded routes");
  }
  return bench_case;
}

// So many calls in a submit that it does not last half a second: some systems end longer ones.
uint32_t fitting_calls(BenchCase& bench, uint32_t calls) {
  constexpr double kMostSubmitMs = 500;
  if (calls == 1) return calls;
  const double cold = bench.time(1), warm = bench.time(1);
  while (calls > 1 && calls * std::min(cold, warm) > kMostSubmitMs) calls /= 2;
  return calls;
}

BenchRow measure(BenchCase& bench, const BenchOptions& options, const moe_layer_desc& desc, const std::string& format,
                 uint64_t tokens, uint32_t calls) {
  constexpr double kSeconds = 1;
  constexpr size_t kLeast = 5;
  constexpr size_t kMost = 200;
  BenchRow row;
  row.format = format;
  row.tokens = tokens;
  row.routing = options.routing;
  row.layer = layer_text(desc);
  row.shared = options.layer.shared;
  std::optional<double> distinct;
  if (options.routing != "uniform") distinct = bench.count_experts();
  bench.time(calls);  // warm-up
  bench.time(calls);

  Progress progress(format + " T=" + std::to_string(tokens));
  std::vector<double> samples;
  const auto enough = [&] {
    if (options.repeat > 0) return samples.size() >= options.repeat;
    return samples.size() >= kMost || (samples.size() >= kLeast && progress.seconds() >= kSeconds);
  };
  while (!enough()) {
    samples.push_back(bench.time(calls));
    progress.update(samples.size(), options.repeat > 0 ? options.repeat : kMost);
  }
  row.work = roofline(desc, tokens, bits_of_format(format), distinct);
  row.median_ms = quantile(samples, 0.5);
  row.p95_ms = quantile(samples, 0.95);
  row.repeats = samples.size();
  row.calls = calls;
  return row;
}

// "H,F,E,k/H,F,E,k": one layer option for each.
std::vector<LayerOptions> layers_of(const BenchOptions& options) {
  std::vector<LayerOptions> layers;
  std::stringstream shapes(options.layer.shape);
  for (std::string shape; std::getline(shapes, shape, '/');) {
    layers.push_back(options.layer);
    layers.back().shape = shape;
    const moe_layer_desc desc = describe_layer(layers.back(), options.formats.front());
    if (desc.route_source != MOE_ROUTE_FROM_ROUTER && desc.route_source != MOE_ROUTE_DENSE) {
      throw UsageError("--route", "bench measures whole layers: router or dense");
    }
  }
  if (layers.empty()) throw UsageError("--shape", "is missing: H,F,E,k");
  return layers;
}

// Nothing, and why on stderr, where it is not wanted or cannot be measured.
std::optional<MeasuredPeak> peak_of(const GlobalOptions& globals, const BenchOptions& options, uint32_t index,
                                    const moe_device_info& info) {
  if (options.peak == "none" || (options.peak.empty() && info.kind == MOE_DEVICE_KIND_REFERENCE)) return std::nullopt;
  if (!options.peak.empty()) return read_device_peak(options.peak);
  try {
    return run_device_peak(library_path(globals), index);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "moevk: no floor is known: %s\n", error.what());
    return std::nullopt;
  }
}

void write(const char* option, FILE* file, const std::string& text) {
  if (file == nullptr) return;
  if (std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fflush(file) != 0) {
    throw UsageError(option, "could not be written");
  }
}

// A file to write to, made before the long work: the path may be wrong.
using File = std::unique_ptr<FILE, int (*)(FILE*)>;
File create(const char* option, const std::string& path) {
  const auto close = [](FILE* file) { return file != nullptr ? std::fclose(file) : 0; };
  if (path.empty() || path == "-") return {nullptr, close};
  File file(model::create_file(path), close);
  if (file == nullptr) throw UsageError(option, path + " cannot be written");
  return file;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now)));
}

}  // namespace

int bench(const GlobalOptions& globals, BenchOptions options) {
  std::optional<RecordedRoutes> recorded;
  if (!options.routes.empty()) {
    recorded.emplace(options.routes);
    if (recorded->report.damaged > 0) {
      std::fprintf(stderr, "moevk: %s: %s\n", options.routes.c_str(), damage_text(recorded->report).c_str());
    }
    take_shape(options, *recorded);
    for (const uint64_t tokens : options.tokens) calls_to_replay(*recorded, tokens, 1);  // refuses now, not after hours
    options.routing = "recorded";
  }
  const std::vector<LayerOptions> layers = layers_of(options);
  const File json_file = create("--json", options.json), html_file = create("--html", options.html);
  const Host host(globals);
  const uint32_t index = host.find(options.device);
  const moe::Device device = host.open(index);
  const moe_device_info& info = host.devices()[index];
  const bool table_wanted = options.json != "-";
  const std::optional<MeasuredPeak> peak = peak_of(globals, options, index, info);
  if (table_wanted) {
    std::printf("device  %u  %s  %s\n", index, info.name, remark(info.driver).c_str());
    if (peak) {
      std::printf(
          "peak    reads %.4g GB/s, copies %.4g GB/s, %.4g GFLOP/s in f32, a dispatch %.3g us, a submit %.3g us\n",
          peak->read_gbps, peak->copy_gbps, peak->peak.gflops, peak->peak.dispatch_us, peak->submit_us);
    }
    for (const LayerOptions& layer : layers) {
      std::printf("layer   %s, %s routing\n", layer_text(describe_layer(layer, options.formats.front())).c_str(),
                  options.routing.c_str());
    }
    std::fflush(stdout);
  }
  // Each row as soon as it is known: whoever ends a long run keeps what was measured.
  FILE* const json = options.json == "-" ? stdout : json_file.get();
  std::vector<BenchRow> rows;
  for (const LayerOptions& shape : layers) {
    for (const std::string& format : options.formats) {
      moe_layer_desc desc = describe_layer(shape, format);
      const std::vector<float> bias = recorded ? std::vector<float>() : routing_bias(desc, options.routing);
      std::vector<float> router;
      if (recorded) {
        if (desc.route_source != MOE_ROUTE_FROM_ROUTER) throw UsageError("--routes", "needs --route router");
        if (desc.hidden < desc.experts) throw UsageError("--routes", "needs H of at least E");
        router = replaying_router(desc);
      }
      if (!bias.empty() && desc.route_source == MOE_ROUTE_FROM_ROUTER) desc.flags |= MOE_LAYER_ROUTER_BIAS;
      const moe::Layer layer =
          upload_random_layer(host, device, desc, options.seed, bias, format + ": random weights", router);
      for (const uint64_t tokens : options.tokens) {
        const std::unique_ptr<BenchCase> made =
            recorded ? replay(host, device, layer, desc, *recorded, tokens, options.seed)
                     : std::make_unique<BenchCase>(host, device, layer, desc,
                                                   random_tokens(tokens, desc.hidden, options.seed));
        BenchCase& bench_case = *made;
        uint32_t last = 0;
        for (const uint32_t wanted : options.per_submit) {
          const uint32_t calls = fitting_calls(bench_case, wanted);
          if (calls == std::exchange(last, calls)) continue;
          rows.push_back(measure(bench_case, options, desc, format, tokens, calls));
          rows.back().shape = shape.shape;
          if (options.steps) rows.back().steps = bench_case.profile(kProfiledCalls);
          if (peak) rows.back().floor = floor_of(rows.back().work, peak->peak, least_steps(desc));
          write("--json", json, (rows.size() == 1 ? "[\n " : ",\n ") + bench_json(rows.back(), info));
        }
      }
    }
  }
  write("--json", json, "\n]\n");
  write("--html", html_file.get(), bench_page(rows, info, peak, host.api().build, today()));
  if (table_wanted) print_bench_table(rows);
  return kExitOk;
}

}  // namespace moevk::cli
