// SPDX-License-Identifier: MIT
//
// In:  rows of `moevk bench`, the device, what it does at most.
// Out: one HTML page with its style and its plots in it.
// Why: a page that can be sent, kept and opened anywhere: no script, no second file, nothing from the network. It is
//      XML too, so that a test can read it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/moevk/bench_rows.h"
#include "tools/moevk/device_peak.h"

namespace moevk::cli {

// `date` is shown as it is; without a peak the page has tables alone.
std::string bench_page(const std::vector<BenchRow>& rows, const moe_device_info& device,
                       const std::optional<MeasuredPeak>& peak, const std::string& build, const std::string& date);

}  // namespace moevk::cli
