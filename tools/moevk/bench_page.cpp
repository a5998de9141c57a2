// SPDX-License-Identifier: MIT
//
// In:  see bench_page.h.
// Out: see bench_page.h.
// Why: what a reader wants first stands first: the device, how far each layer is from its floor, then every number.
#include "tools/moevk/bench_page.h"

#include <algorithm>

#include "tools/moevk/roofline_plot.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

// Series colours after Okabe and Ito, which people who see few colours tell apart; lighter ones on dark.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --back: #ffffff; --text: #1d2127; --soft: #5c6570; --rule: #e2e6ea; --panel: #f7f8fa;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0418f; --c4: #a67c00; --c5: #3b9bd3; --c6: #6b4c9a; --c7: #444b54; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e7eaee; --soft: #9aa4af; --rule: #2a3038;
  --panel: #1b1f25; --c0: #56b4e9; --c1: #f08a4b; --c2: #2fc79a; --c3: #e28ac6; --c4: #e6b93c; --c5: #8fd0f5;
  --c6: #b39ddb; --c7: #b8c0c9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 44px 0 4px; } h3 { font-size: 14px; margin: 0 0 8px; }
p { margin: 4px 0 12px; max-width: 76ch; } .soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.tile { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 16px; min-width: 130px; }
.tile b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; } .tile span { color: var(--soft); font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; margin: 12px 0; }
.plot { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 12px; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); stroke-width: 1; } .roof { stroke: var(--text); stroke-width: 2; }
.label { fill: var(--soft); font-size: 11px; } .axis { fill: var(--text); font-size: 12px; }
.path { fill: none; stroke-width: 1.5; opacity: 0.55; }
polyline.s0 { stroke: var(--c0); } polyline.s1 { stroke: var(--c1); } polyline.s2 { stroke: var(--c2); }
polyline.s3 { stroke: var(--c3); } polyline.s4 { stroke: var(--c4); } polyline.s5 { stroke: var(--c5); }
polyline.s6 { stroke: var(--c6); } polyline.s7 { stroke: var(--c7); }
circle.s0 { fill: var(--c0); } circle.s1 { fill: var(--c1); } circle.s2 { fill: var(--c2); } circle.s3 { fill: var(--c3); }
circle.s4 { fill: var(--c4); } circle.s5 { fill: var(--c5); } circle.s6 { fill: var(--c6); } circle.s7 { fill: var(--c7); }
circle { stroke: var(--panel); stroke-width: 1.5; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0 0; padding: 0; list-style: none; font-size: 13px; }
.legend svg { display: inline-block; width: 12px; height: 12px; margin-right: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.share { background: linear-gradient(to right, color-mix(in srgb, var(--c0) 26%, transparent) var(--part),
  transparent var(--part)); }
)";

std::string element(const char* name, const std::string& inner) {
  return "<" + std::string(name) + ">" + inner + "</" + name + ">";
}
std::string tile(const std::string& value, const char* what) {
  return "<div class=\"tile\"><b>" + markup_text(value) + "</b><span>" + what + "</span></div>\n";
}

std::string legend(const std::vector<BenchRow>& rows) {
  std::string out = "<ul class=\"legend\">";
  const std::vector<std::string> formats = formats_of(rows);
  for (size_t i = 0; i < formats.size(); ++i) {
    out += formatted(
               "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><circle cx=\"6\" cy=\"6\" r=\"5\" class=\"s%zu\"/>"
               "</svg>",
               i % kSeries) +
           markup_text(formats[i]) + "</li>";
  }
  return out + "</ul>\n";
}

std::string plot(const char* title, const std::string& svg, const std::vector<BenchRow>& rows) {
  return "<div class=\"plot\"><h3>" + std::string(title) + "</h3>\n" + svg + legend(rows) + "</div>\n";
}

std::string table(const std::vector<BenchRow>& rows) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const char* heading : {"format", "routing", "T", "experts", "calls", "MB", "GFLOP", "median ms", "p95 ms",
                              "GB/s", "GFLOP/s", "floor ms", "of floor", "bound by"}) {
    out += element("th", heading);
  }
  out += "</tr></thead><tbody>\n";
  for (const BenchRow& row : rows) {
    out += "<tr>" + element("td", markup_text(row.format)) + element("td", markup_text(row.routing)) +
           element("td", std::to_string(row.tokens)) + element("td", formatted("%.1f", row.work.distinct_experts)) +
           element("td", std::to_string(row.calls)) + element("td", formatted("%.2f", row.work.bytes * 1e-6)) +
           element("td", formatted("%.4f", row.work.flops * 1e-9)) + element("td", formatted("%.3f", row.median_ms)) +
           element("td", formatted("%.3f", row.p95_ms)) + element("td", formatted("%.2f", row.gbps())) +
           element("td", formatted("%.2f", row.gflops()));
    if (row.floor) {
      const double part = std::min(row.percent_of_floor(), 100.0);
      out += element("td", formatted("%.4f", row.floor->ms())) +
             formatted("<td class=\"share\" style=\"--part: %.1f%%\">%.1f %%</td>", part, row.percent_of_floor()) +
             element("td", row.floor->bound());
    } else {
      out += "<td>-</td><td>-</td><td>-</td>";
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

// The rows of each layer shape, in order of appearance.
std::vector<std::vector<BenchRow>> by_layer(const std::vector<BenchRow>& rows) {
  std::vector<std::vector<BenchRow>> groups;
  for (const BenchRow& row : rows) {
    const auto group =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g[0].layer == row.layer; });
    if (group == groups.end()) {
      groups.push_back({row});
    } else {
      group->push_back(row);
    }
  }
  return groups;
}

}  // namespace

std::string bench_page(const std::vector<BenchRow>& rows, const moe_device_info& device,
                       const std::optional<MeasuredPeak>& peak, const std::string& build, const std::string& date) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>moevk bench: " +
      markup_text(device.name) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<h1>" +
      markup_text(device.name) + "</h1>\n<p class=\"soft\">" + markup_text(device.driver) + ". " + markup_text(build) +
      ". " + markup_text(date) + "</p>\n";
  if (peak) {
    out += "<div class=\"tiles\">\n" + tile(formatted("%.4g GB/s", peak->read_gbps), "read by a kernel") +
           tile(formatted("%.4g GB/s", peak->copy_gbps), "copied, both ways counted") +
           tile(formatted("%.4g GFLOP/s", peak->peak.gflops), "f32 multiply-adds in registers") +
           tile(formatted("%.3g us", peak->peak.dispatch_us), "a dispatch that waits for another") +
           tile(formatted("%.3g us", peak->submit_us), "a submit and its wait") + "</div>\n";
    out +=
        "<p>The floor of a layer is the larger of bytes / bandwidth and FLOPs / peak, and its three steps' dispatches: "
        "what"
        " this device, as measured just above, cannot go below. Bytes and FLOPs are what the layer needs (each weight "
        "of"
        " each expert that is used read once), not what a kernel does. A layer that fits the caches can pass its "
        "floor.</p>\n";
  } else {
    out += "<p>What the device does at most was not measured, so no floor is known here.</p>\n";
  }
  if (device.kind == MOE_DEVICE_KIND_CPU_VULKAN || device.kind == MOE_DEVICE_KIND_REFERENCE) {
    out += "<p><b>This is software on a CPU: its times say nothing about a GPU.</b></p>\n";
  }
  for (const std::vector<BenchRow>& group : by_layer(rows)) {
    out += "<h2>" + markup_text(group.front().layer) + "</h2>\n";
    // Lines connect the rows of one format: those of one number of calls and one routing.
    std::vector<BenchRow> shown;
    std::copy_if(group.begin(), group.end(), std::back_inserter(shown), [&](const BenchRow& row) {
      return row.floor && row.calls == group[0].calls && row.routing == group[0].routing;
    });
    if (peak && !shown.empty()) {
      out += "<div class=\"plots\">\n" + plot("Roofline", roofline_svg(shown, peak->peak), shown) +
             plot("Share of the floor", share_svg(shown), shown) + "</div>\n";
    }
    out += table(group);
  }
  return out + "</body>\n</html>\n";
}

}  // namespace moevk::cli
