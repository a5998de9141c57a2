// SPDX-License-Identifier: MIT
//
// 11 significant bits, or whole 127ths of the largest of 32, by looking for the nearest step.
#include "tests/conformance/rounded_row.h"

#include <algorithm>
#include <cmath>

#include "plugin_api/moe_plugin.h"

namespace moe_conformance {
namespace {

constexpr double kMost = 0x1.FFCp127;  // of 11 bits in float32

// value -> the nearest multiple of step; slack -> that of the result. loss: of finding the multiple.
void to_nearest(double& value, double& slack, double step, double loss) {
  const double nearest = std::nearbyint(value / step) * step;
  const double to_middle = step / 2 - std::fabs(value - nearest);
  slack = slack + loss >= to_middle ? slack + step : 0;
  value = nearest;
}

}  // namespace

Row rounded(uint32_t precision, Row row) {
  if (precision == MOE_PRECISION_EXACT) {
    std::fill(row.slack.begin(), row.slack.end(), 0);
    return row;
  }
  for (size_t first = 0; first < row.value.size(); first += 32) {
    const size_t last = std::min(first + 32, row.value.size());
    double largest = 0, largest_slack = 0;
    for (size_t i = first; i < last; ++i) {
      if (std::isnan(row.value[i]) || std::fabs(row.value[i]) < largest) continue;
      largest = std::fabs(row.value[i]);
      largest_slack = row.slack[i];
    }
    if (precision == MOE_PRECISION_INT8 && (std::isinf(largest) || largest < 0x1p-100)) continue;
    for (size_t i = first; i < last; ++i) {
      double &value = row.value[i], &slack = row.slack[i];
      if (!std::isfinite(value) || value == 0) continue;
      if (precision == MOE_PRECISION_MATRIX) {
        to_nearest(value, slack, std::ldexp(1.0, std::ilogb(value) - 10), 0);
        value = std::clamp(value, -kMost, kMost);
      } else {
        const double unit_share = largest_slack / largest + kFloatLoss;  // how far the unit itself may be away
        to_nearest(value, slack, largest / 127, std::fabs(value) * unit_share);
        slack += std::fabs(value) * unit_share;
      }
    }
  }
  return row;
}

}  // namespace moe_conformance
