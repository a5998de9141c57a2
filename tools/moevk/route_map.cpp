// SPDX-License-Identifier: MIT
//
// In:  see route_map.h.
// Out: see route_map.h.
// Why: colours are classes of one style sheet, for light and for dark; between blue and orange, which people who see
//      few colours tell apart, an even load is nearly the background.
#include "tools/moevk/route_map.h"

#include <algorithm>
#include <cmath>

#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr double kLeft = 64, kTop = 56, kRight = 20, kBottom = 76;
constexpr int kSteps = 6;  // on either side of even: half powers of two, up to 8 times

constexpr const char* kStyle = R"(
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
text { fill: #1d2127; } .soft { fill: #5c6570; } .h { font-size: 16px; font-weight: 600; }
.u { fill: #ffffff; stroke: #5c6570; stroke-width: 0.6; }
.l6 { fill: #00426b; } .l5 { fill: #0a5a8f; } .l4 { fill: #2476ae; } .l3 { fill: #5496c5; } .l2 { fill: #8ab7d8; }
.l1 { fill: #bfd8e9; } .e { fill: #eceef0; } .m1 { fill: #f7d9bf; } .m2 { fill: #f0b585; } .m3 { fill: #e58e48; }
.m4 { fill: #d5671a; } .m5 { fill: #ab4a06; } .m6 { fill: #7c3200; }
@media (prefers-color-scheme: dark) { svg { background: #14171b; } text { fill: #e7eaee; } .soft { fill: #9aa4af; }
  .u { fill: #14171b; } .e { fill: #3a4048; } .l1 { fill: #3d566b; } .l2 { fill: #3b6d94; } .l3 { fill: #3a86bd; }
  .l4 { fill: #3fa2e0; } .l5 { fill: #76c2f2; } .l6 { fill: #b4e0fb; } .m1 { fill: #66503c; } .m2 { fill: #8f6238; }
  .m3 { fill: #bb7433; } .m4 { fill: #e6862e; } .m5 { fill: #f7ab66; } .m6 { fill: #fdd3ab; } }
)";

// "u": no route; "e": even; else l or m and the step.
std::string colour(uint64_t load, double mean) {
  if (load == 0) return "u";
  const auto step = std::lround(2 * std::log2(static_cast<double>(load) / mean));
  if (step == 0) return "e";
  return (step < 0 ? "l" : "m") + std::to_string(std::min<long>(std::labs(step), kSteps));
}

std::string rect(double x, double y, double width, double height, const std::string& kind, const std::string& title) {
  return formatted("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" class=\"%s\"><title>", x, y, width,
                   height, kind.c_str()) +
         title + "</title></rect>\n";
}
std::string text(double x, double y, const char* anchor, const std::string& words, const char* kind = "soft") {
  return formatted("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, kind) + words +
         "</text>\n";
}

// 1, 2, 5, 10, ...: so that labels stand at least `room` apart.
size_t label_step(double cell, double room) {
  size_t step = 1;
  for (size_t i = 0; cell * static_cast<double>(step) < room; ++i) step = i % 3 == 1 ? step / 2 * 5 : step * 2;
  return step;
}

std::string legend(double y) {
  constexpr double kCell = 26;
  std::string out;
  double x = kLeft;
  out += rect(x, y, kCell, 12, "u", "no route") + text(x + kCell / 2, y + 26, "middle", "none");
  x += kCell + 14;
  for (int step = -kSteps; step <= kSteps; ++step, x += kCell) {
    const double ratio = std::exp2(step / 2.0);
    const std::string kind = step == 0 ? "e" : (step < 0 ? "l" : "m") + std::to_string(std::abs(step));
    const std::string label = step == 0  ? "even"
                              : step < 0 ? formatted("1/%.0f", 1 / ratio)
                                         : formatted("%.0fx", ratio);
    out += rect(x, y, kCell, 12, kind, formatted("%.2f of an even load", ratio));
    if (step % 2 == 0) out += text(x + kCell / 2, y + 26, "middle", label);
  }
  return out;
}

}  // namespace

std::string route_map_svg(const std::map<uint32_t, model::LayerLoad>& layers) {
  size_t columns = 0;
  uint64_t tokens = 0;
  for (const auto& [number, layer] : layers) {
    columns = std::max(columns, layer.routes.size());
    tokens = std::max(tokens, layer.tokens);
  }
  const double cell = std::clamp(960.0 / static_cast<double>(columns), 2.0, 36.0);
  const double height = std::clamp(640.0 / static_cast<double>(layers.size()), 4.0, 24.0);
  const double inner = cell * static_cast<double>(columns), gap = cell > 6 ? 1 : 0;
  const double width = kLeft + std::max(inner, 14 * 26.0 + 14) + kRight;
  const double bottom = kTop + height * static_cast<double>(layers.size());
  std::string out = formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\" "
      "aria-label=\"load of each expert in each layer\">\n<style>%s</style>\n",
      width, bottom + kBottom, width, bottom + kBottom, kStyle);
  out += text(kLeft, 22, "start", "Load of each expert, against an even load", "h");
  out += text(
      kLeft, 42, "start",
      formatted("%zu layers, %llu tokens in the busiest, k = %u of E = %u", layers.size(),
                static_cast<unsigned long long>(tokens), layers.begin()->second.top_k, layers.begin()->second.experts));
  const size_t rows_between = label_step(height, 14);
  size_t row = 0;
  for (const auto& [number, layer] : layers) {
    const double y = kTop + height * static_cast<double>(row);
    if (row++ % rows_between == 0) out += text(kLeft - 8, y + height / 2 + 4, "end", std::to_string(number));
    const model::Balance balance = model::balance_of(layer.routes, layer.experts);
    for (size_t expert = 0; expert < layer.routes.size(); ++expert) {
      const uint64_t load = layer.routes[expert];
      const double ratio = balance.mean > 0 ? static_cast<double>(load) / balance.mean : 0;
      out +=
          rect(kLeft + cell * static_cast<double>(expert), y, cell - gap, height - gap, colour(load, balance.mean),
               formatted("layer %u, e%zu%s: %llu routes, %.2f of an even load", number, expert,
                         expert >= layer.experts ? " (identity)" : "", static_cast<unsigned long long>(load), ratio));
    }
  }
  const size_t between = label_step(cell, 26);
  for (size_t expert = 0; expert < columns; expert += between) {
    out += text(kLeft + cell * (static_cast<double>(expert) + 0.5), bottom + 16, "middle", formatted("e%zu", expert));
  }
  out += text(18, (kTop + bottom) / 2, "middle", "layer");
  return out + legend(bottom + 34) + "</svg>\n";
}

}  // namespace moevk::cli
