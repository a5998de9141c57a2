// SPDX-License-Identifier: MIT
//
// Axes, grid, limits, a line a format, a point a row (see roofline_plot.h). Colours are classes, so that the page
// alone decides them, for light and for dark. A point's title is read by a pointer that rests on it and by a screen
// reader.
#include "tools/moevk/roofline_plot.h"

#include <algorithm>
#include <cmath>

#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr double kWidth = 720, kHeight = 380;
constexpr double kLeft = 64, kRight = 16, kTop = 16, kBottom = 46;

// A range of one axis, and where a value of it lies between two places.
struct Axis {
  double low, high, from, to;
  bool logarithmic = true;
  double at(double value) const {
    const double part = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return from + std::clamp(part, 0.0, 1.0) * (to - from);
  }
};

double decade_below(double value) { return std::pow(10, std::floor(std::log10(value) + 1e-9)); }
double decade_above(double value) { return std::pow(10, std::ceil(std::log10(value) - 1e-9)); }

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return formatted("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, kind);
}
std::string text(double x, double y, const char* anchor, const std::string& words, const char* kind = "label") {
  return formatted("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, kind) +
         markup_text(words) + "</text>\n";
}

std::string opening(const std::string& what) {
  return formatted("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", kWidth, kHeight) + markup_text(what) +
         "\" xmlns=\"http://www.w3.org/2000/svg\">\n";
}
std::string axis_titles(const char* x, const char* y) {
  const double middle = (kTop + kHeight - kBottom) / 2;
  return text((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", x, "axis") +
         formatted(
             "<text x=\"14\" y=\"%.1f\" transform=\"rotate(-90 14 %.1f)\" text-anchor=\"middle\" class=\"axis\">%s"
             "</text>\n",
             middle, middle, y);
}

std::string number_text(double value) {
  if (value >= 1000) return formatted("%gk", value / 1000);
  return formatted("%g", value);
}

std::string point(double x, double y, size_t series, const std::string& title) {
  return formatted("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" class=\"s%zu\"><title>", x, y, series) +
         markup_text(title) + "</title></circle>\n";
}

std::string title_of(const BenchRow& row) {
  std::string words = row.format + ", T = " + std::to_string(row.tokens) +
                      formatted(": %.3g ms, %.3g GB/s, %.3g GFLOP/s", row.median_ms, row.gbps(), row.gflops());
  if (row.floor) words += formatted(", %.3g %% of the floor (%s)", row.percent_of_floor(), row.floor->bound());
  return words;
}

// Rows of one format as a line, and each row as a point on it.
template <class Place>
std::string curves(const std::vector<BenchRow>& rows, const Place& place) {
  const std::vector<std::string> formats = formats_of(rows);
  std::string lines, points;
  for (size_t i = 0; i < formats.size(); ++i) {
    std::string corners;
    for (const BenchRow& row : rows) {
      if (row.format != formats[i]) continue;
      const auto [x, y] = place(row);
      corners += formatted("%s%.1f,%.1f", corners.empty() ? "" : " ", x, y);
      points += point(x, y, i % kSeries, title_of(row));
    }
    lines += formatted("<polyline class=\"path s%zu\" points=\"%s\"/>\n", i % kSeries, corners.c_str());
  }
  return lines + points;  // points lie on the lines
}

}  // namespace

std::string markup_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::vector<std::string> formats_of(const std::vector<BenchRow>& rows) {
  std::vector<std::string> formats;
  for (const BenchRow& row : rows) {
    if (std::find(formats.begin(), formats.end(), row.format) == formats.end()) formats.push_back(row.format);
  }
  return formats;
}

std::string roofline_svg(const std::vector<BenchRow>& rows, const DevicePeak& peak) {
  const double ridge = peak.gflops / peak.bandwidth_gbps;  // FLOP per byte where both limits meet
  double left = ridge, right = ridge, low = peak.gflops, high = peak.gflops;
  for (const BenchRow& row : rows) {
    const double intensity = row.work.flops / row.work.bytes;
    left = std::min(left, intensity), right = std::max(right, intensity);
    low = std::min(low, row.gflops()), high = std::max(high, row.gflops());
  }
  const Axis x = {decade_below(left / 1.2), decade_above(right * 1.2), kLeft, kWidth - kRight};
  const Axis y = {decade_below(low / 1.2), decade_above(high * 1.2), kHeight - kBottom, kTop};
  std::string out = opening("roofline of " + rows.front().layer);
  for (double tick = x.low; tick <= x.high * 1.01; tick *= 10) {
    out +=
        line(x.at(tick), y.from, x.at(tick), y.to, "grid") + text(x.at(tick), y.from + 16, "middle", number_text(tick));
  }
  for (double tick = y.low; tick <= y.high * 1.01; tick *= 10) {
    out +=
        line(x.from, y.at(tick), x.to, y.at(tick), "grid") + text(x.from - 6, y.at(tick) + 4, "end", number_text(tick));
  }
  // The slope begins at the left edge, or at the lower one where it would be below.
  const double start = std::max(x.low, y.low / peak.bandwidth_gbps);
  out += line(x.at(start), y.at(start * peak.bandwidth_gbps), x.at(ridge), y.at(peak.gflops), "roof");
  out += line(x.at(ridge), y.at(peak.gflops), x.to, y.at(peak.gflops), "roof");
  out += text(x.to - 4, y.at(peak.gflops) - 6, "end", formatted("%.4g GFLOP/s", peak.gflops));
  const double middle = std::sqrt(start * ridge);  // of the slope; the label stands under it
  out += text(x.at(middle) + 10, y.at(middle * peak.bandwidth_gbps) + 14, "start",
              formatted("%.4g GB/s", peak.bandwidth_gbps));
  const auto place = [&](const BenchRow& row) {
    return std::pair(x.at(row.work.flops / row.work.bytes), y.at(row.gflops()));
  };
  return out + curves(rows, place) + axis_titles("FLOP per byte that the layer needs", "GFLOP/s") + "</svg>\n";
}

std::string share_svg(const std::vector<BenchRow>& rows) {
  double least = static_cast<double>(rows.front().tokens), most = least, high = 100, low = 100;
  for (const BenchRow& row : rows) {
    least = std::min(least, static_cast<double>(row.tokens)), most = std::max(most, static_cast<double>(row.tokens));
    high = std::max(high, row.percent_of_floor()), low = std::min(low, row.percent_of_floor());
  }
  const Axis x = {least / 1.3, most * 1.3, kLeft, kWidth - kRight};
  // Small shares would lie on each other in a linear scale.
  const bool logarithmic = low < 10;
  const Axis y = {logarithmic ? decade_below(low) : 0, logarithmic ? decade_above(high) : std::ceil(high / 20) * 20,
                  kHeight - kBottom, kTop, logarithmic};
  std::string out = opening("share of the floor, " + rows.front().layer);
  const double step = y.high > 200 ? 100 : 20;
  for (double tick = y.low; tick <= y.high * 1.001; tick = logarithmic ? tick * 10 : tick + step) {
    out += line(x.from, y.at(tick), x.to, y.at(tick), std::fabs(tick - 100) < 1e-6 ? "roof" : "grid") +
           text(x.from - 6, y.at(tick) + 4, "end", formatted("%g %%", tick));
  }
  double last = -100;
  std::vector<uint64_t> ticks;
  for (const BenchRow& row : rows) ticks.push_back(row.tokens);
  std::sort(ticks.begin(), ticks.end());
  for (const uint64_t tokens : ticks) {
    const double at = x.at(static_cast<double>(tokens));
    if (at - last < 14) continue;  // labels would run into each other
    last = at;
    out += text(at, y.from + 16, "middle", std::to_string(tokens));
  }
  const auto place = [&](const BenchRow& row) {
    return std::pair(x.at(static_cast<double>(row.tokens)), y.at(row.percent_of_floor()));
  };
  return out + curves(rows, place) + axis_titles("tokens in a call", "floor / median") + "</svg>\n";
}

}  // namespace moevk::cli
