// SPDX-License-Identifier: MIT
//
// In:  two implementations' values of the same thing.
// Out: how far they are apart, as one number that does not depend on their size.
// Why: it is the measure of ggml's own tests (NMSE), so that bounds can be theirs.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace moevk::bench {

// Sum of squared differences over the sum of squares of `truth`: ggml's measure. Infinite if anything is not finite.
inline double normalized_error(const std::vector<float>& values, const std::vector<float>& truth) {
  double error = 0, size = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - truth[i];
    error += difference * difference;
    size += static_cast<double>(truth[i]) * truth[i];
  }
  const double result = error / size;
  return std::isfinite(result) ? result : std::numeric_limits<double>::infinity();
}

}  // namespace moevk::bench
