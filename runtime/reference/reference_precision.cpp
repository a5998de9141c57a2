// SPDX-License-Identifier: MIT
//
// Rounding to 11 significant bits by frexp, to 127ths of a block's largest by division.
#include "runtime/reference/reference_precision.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "plugin_api/moe_plugin.h"

namespace moevk {
namespace {

constexpr size_t kBlock = 32;
constexpr double kLeast = 0x1p-100;  // blocks of smaller numbers stay as they are

double round_to_11_bits(double x) {
  if (!std::isfinite(x) || x == 0) return x;
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);  // 0.5 <= |mantissa| < 1
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(mantissa, 11)), exponent - 11);
  constexpr double kMost = 0x1.FFCp127;  // of 11 bits in the range of f32
  return std::clamp(rounded, -kMost, kMost);
}

void round_to_127ths(double* x, size_t count) {
  double largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isnan(x[i])) largest = std::max(largest, std::fabs(x[i]));
  }
  if (std::isinf(largest) || largest < kLeast) return;
  const double unit = largest / 127;
  for (size_t i = 0; i < count; ++i) x[i] = std::nearbyint(x[i] / unit) * unit;
}

}  // namespace

std::vector<double> rounded_activations(uint32_t precision, std::vector<double> x) {
  if (precision == MOE_PRECISION_EXACT) return x;
  for (double& value : x) value = static_cast<float>(value);
  if (precision == MOE_PRECISION_MATRIX) {
    for (double& value : x) value = round_to_11_bits(value);
  } else {
    for (size_t i = 0; i < x.size(); i += kBlock) round_to_127ths(&x[i], std::min(kBlock, x.size() - i));
  }
  return x;
}

}  // namespace moevk
