// SPDX-License-Identifier: MIT
//
// moevk routes. In: a file of routes that a live run recorded (MOEVK_ROUTES, docs/routes.md). Out: each layer's load by
// expert as bars, figures of balance, a heat map as SVG, the routes as CSV, the figures as JSON. Why: how a real model
// spreads its tokens decides what its layers cost, and is seen nowhere else.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/model/route_load.h"
#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/recorded_routes.h"
#include "tools/moevk/route_map.h"
#include "tools/moevk/run_print.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

using model::Balance;
using model::LayerLoad;

// "-": stdout.
void write_file(const char* option, const std::string& path, const std::string& text) {
  std::FILE* file = path == "-" ? stdout : model::create_file(path);
  if (file == nullptr) throw UsageError(option, path + " cannot be written");
  const bool wrote = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  const bool closed = file == stdout || std::fclose(file) == 0;
  if (!wrote || !closed) throw UsageError(option, path + " could not be written");
}

// Of `layers` alone.
std::string csv_of(const std::vector<model::RouteRecord>& records, const std::map<uint32_t, LayerLoad>& layers) {
  std::string out = "stream,layer,token,slot,expert,weight\n";
  for (const model::RouteRecord& record : records) {
    const moe::RoutesHeader& header = record.header;
    if (layers.count(header.layer) == 0) continue;
    for (size_t i = 0; i < record.ids.size(); ++i) {
      out += formatted("%016llx,%u,%llu,%zu,%d,%.9g\n", static_cast<unsigned long long>(header.stream), header.layer,
                       static_cast<unsigned long long>(header.first_token + i / header.top_k), i % header.top_k,
                       record.ids[i], static_cast<double>(record.weights[i]));
    }
  }
  return out;
}

std::string json_of(const std::map<uint32_t, LayerLoad>& layers) {
  std::string out = "[\n";
  for (const auto& [number, layer] : layers) {
    const Balance b = model::balance_of(layer.routes, layer.experts);
    std::string loads;
    for (const uint64_t load : layer.routes) loads += (loads.empty() ? "" : ", ") + std::to_string(load);
    out += formatted(
               "  {\"layer\": %u, \"experts\": %u, \"identity_experts\": %u, \"top_k\": %u, \"tokens\": %llu, "
               "\"skipped\": %llu, \"mean_load\": %.9g, \"max_over_mean\": %.9g, \"coefficient_of_variation\": %.9g, "
               "\"normalized_entropy\": %.9g, \"effective_experts\": %.9g, \"top_tenth_share\": %.9g, "
               "\"unused_experts\": %u, \"busiest_expert\": %u, \"mean_top_weight\": %.9g, \"load\": [",
               number, layer.experts, layer.identity_experts, layer.top_k,
               static_cast<unsigned long long>(layer.tokens), static_cast<unsigned long long>(layer.skipped), b.mean,
               b.max_over_mean, b.variation, b.entropy, b.effective_experts, b.top_tenth_share, b.unused, b.busiest,
               layer.top_weight / static_cast<double>(layer.tokens)) +
           loads + "]}" + (number == layers.rbegin()->first ? "\n" : ",\n");
  }
  return out + "]\n";
}

void print_balance(const std::map<uint32_t, LayerLoad>& layers) {
  Table table({">layer", ">tokens", ">max/mean", ">CV", ">entropy", ">effective experts", ">top tenth", ">busiest",
               ">of tokens", ">unused"});
  for (const auto& [number, layer] : layers) {
    const Balance b = model::balance_of(layer.routes, layer.experts);
    table.add({std::to_string(number), std::to_string(layer.tokens), formatted("%.3f", b.max_over_mean),
               formatted("%.3f", b.variation), formatted("%.4f", b.entropy),
               formatted("%.1f of %u", b.effective_experts, layer.experts),
               formatted("%.1f %%", 100 * b.top_tenth_share), formatted("e%u", b.busiest),
               formatted("%.1f %%", 100 * static_cast<double>(b.most) / static_cast<double>(layer.tokens)),
               std::to_string(b.unused)});
  }
  table.print(2);
}

// A bar of eight heights for each expert, one line a layer, or more where the terminal is narrow.
void print_bars(const std::map<uint32_t, LayerLoad>& layers) {
  static const char* const kHeights[] = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  size_t most_experts = 0;
  for (const auto& [number, layer] : layers) most_experts = std::max(most_experts, layer.routes.size());
  const size_t width = terminal_width() - 10;
  const size_t wide = most_experts * 4 <= width ? 3 : most_experts * 2 <= width ? 1 : 0;  // columns and a space
  std::printf("\n%s by expert, e0 first; full height: the layer's busiest; ·: no route\n", heading("load").c_str());
  for (const auto& [number, layer] : layers) {
    const uint64_t most = *std::max_element(layer.routes.begin(), layer.routes.end());
    std::string line;
    size_t used = 0;
    for (const uint64_t load : layer.routes) {
      const double part = most > 0 ? static_cast<double>(load) / static_cast<double>(most) : 0;
      const auto height = load == 0 ? 0 : std::max(size_t{1}, static_cast<size_t>(std::lround(part * 8)));
      if (used + std::max(wide + 1, size_t{1}) > width) line += "\n          ", used = 0;
      for (size_t i = 0; i < std::max(wide, size_t{1}); ++i) line += kHeights[height];
      if (wide > 0) line += " ";
      used += wide > 0 ? wide + 1 : 1;
    }
    std::printf("  %6u  %s\n", number, line.c_str());
  }
}

void print_layer(uint32_t number, const LayerLoad& layer) {
  std::printf("\n%s\n", heading(formatted("layer %u", number)).c_str());
  std::vector<int32_t> counts;
  for (const uint64_t load : layer.routes) {
    counts.push_back(static_cast<int32_t>(std::min<uint64_t>(load, INT32_MAX)));
  }
  print_loads(counts);
}

}  // namespace

int show_routes(const RoutesOptions& options) {
  const RecordedRoutes file(options.file);
  std::map<uint32_t, LayerLoad> layers = file.loads.layers();
  if (!options.layer.empty()) {
    for (auto it = layers.begin(); it != layers.end();) {
      it = std::to_string(it->first) == options.layer ? std::next(it) : layers.erase(it);
    }
    if (layers.empty()) throw UsageError("--layer", options.layer + " is no layer of " + options.file);
  }
  if (file.report.damaged > 0) {
    std::fprintf(stderr, "moevk: %s: %s\n", options.file.c_str(), damage_text(file.report).c_str());
  }
  if (!options.svg.empty()) write_file("--svg", options.svg, route_map_svg(layers));
  if (!options.csv.empty()) write_file("--csv", options.csv, csv_of(file.records, layers));
  if (!options.json.empty()) write_file("--json", options.json, json_of(layers));
  if (options.svg == "-" || options.csv == "-" || options.json == "-") return kExitOk;

  const LayerLoad& first = layers.begin()->second;
  std::printf("routes  %s  %llu records, %zu streams, %zu layers\n", options.file.c_str(),
              static_cast<unsigned long long>(file.report.records), file.loads.streams(), layers.size());
  std::printf("layer   E=%u k=%u; an even load is %.1f %% of the routes, %.1f %% of the tokens\n", first.experts,
              first.top_k, 100.0 / first.experts, 100.0 * first.top_k / first.experts);
  uint64_t skipped = 0;
  for (const auto& [number, layer] : layers) skipped += layer.skipped;
  if (skipped > 0) std::printf("skipped %llu routes to no expert\n", static_cast<unsigned long long>(skipped));
  print_balance(layers);
  if (!options.layer.empty()) {
    for (const auto& [number, layer] : layers) print_layer(number, layer);
  } else {
    print_bars(layers);
  }
  return kExitOk;
}

}  // namespace moevk::cli
