// SPDX-License-Identifier: MIT
//
// In:  rows of one layer shape, what the device does at most.
// Out: SVG: the roofline with a point a row, and the share of the floor over the number of tokens.
// Why: a table says how fast; a plot says how far from the end, and where it breaks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/moevk/bench_rows.h"

namespace moevk::cli {

// Text with <, >, & and quotes as entities.
std::string markup_text(std::string_view text);

// The formats of the rows, in order of appearance: number i has the class "s<i % kSeries>" of the page's style.
constexpr size_t kSeries = 8;
std::vector<std::string> formats_of(const std::vector<BenchRow>& rows);

// FLOP/s over FLOP per byte, both logarithmic. Rows of one shape, not empty.
std::string roofline_svg(const std::vector<BenchRow>& rows, const DevicePeak& peak);
// Percent of the floor over T (logarithmic). Rows of one shape, each with a floor, not empty.
std::string share_svg(const std::vector<BenchRow>& rows);

}  // namespace moevk::cli
