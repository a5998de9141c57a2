// SPDX-License-Identifier: MIT
//
// In:  a run of weights, and the numbers that a code of a format stands for.
// Out: the scale, or scale and minimum, whose nearest codes leave the least squared error; the codes.
// Why: formats whose scales do not follow from the block. Each search starts from a grid of candidates, since the error
//      has many local minima, and takes the best of them by least squares: with codes q fixed, the scale sum(x q) /
//      sum(q q) is the best there is.
// Note: a run has kRun weights, a multiple of 4; all are finite. Sums are kept in four parts, which compilers
//       vectorise.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace moevk::model {

// To the nearest integer, ties to even; |x| below 2^22. In float, so that it vectorises.
inline float rounded(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: its unit is 1
  return (x + kShift) - kShift;
}

// Codes that stand for the integers from `low` to `high`.
struct UniformLevels {
  int32_t low, high;

  float level(float x) const {
    return rounded(std::min(std::max(x, static_cast<float>(low)), static_cast<float>(high)));
  }
  uint8_t code(float level) const { return static_cast<uint8_t>(static_cast<int32_t>(level) - low); }
};

// Codes that stand for 16 ascending integers within -128..127.
class TableLevels {
 public:
  int32_t low, high;

  // Half-integers and integers alone lie between two levels, so the nearest is the same all over a bin of 1/2.
  constexpr explicit TableLevels(const std::array<int8_t, 16>& levels) : low(levels.front()), high(levels.back()) {
    for (uint32_t bin = 0; bin < kBins; ++bin) {
      const float centre = (static_cast<float>(bin) + 0.5f) / 2 - 128;
      for (uint8_t code = 0; code < 16; ++code) {
        const float distance = centre < levels[code] ? levels[code] - centre : centre - levels[code];
        const float best = centre < levels_[bin] ? levels_[bin] - centre : centre - levels_[bin];
        if (code > 0 && distance >= best) continue;
        codes_[bin] = code;
        levels_[bin] = levels[code];
      }
    }
  }

  float level(float x) const { return levels_[bin(x)]; }
  uint8_t code(float level) const { return codes_[bin(level)]; }

 private:
  static constexpr uint32_t kBins = 512;
  static uint32_t bin(float x) {
    return static_cast<uint32_t>(2 * std::min(std::max(x, -128.0f), 127.5f) + static_cast<float>(kBins) / 2);
  }

  std::array<uint8_t, kBins> codes_{};
  std::array<float, kBins> levels_{};
};

inline constexpr TableLevels kIq4Levels({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113});

// Candidates for a run whose largest weight is m: m / level times from `from` to `to`.
struct ScaleGrid {
  float from, to;
  uint32_t steps;
};

inline float sum_of(const std::array<float, 4>& parts) { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }

// A denormal scale has no finite inverse.
inline float inverse_of(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

template <uint32_t kRun, class Levels>
float squared_error(const float* x, float scale, const Levels& levels) {
  const float inverse = inverse_of(scale);
  std::array<float, 4> sum{};
  for (uint32_t i = 0; i < kRun; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      const float rest = x[i + lane] - scale * levels.level(x[i + lane] * inverse);
      sum[lane] += rest * rest;
    }
  }
  return sum_of(sum);
}

template <uint32_t kRun, class Levels>
void put_levels(const float* x, float scale, const Levels& levels, uint8_t* codes) {
  const float inverse = inverse_of(scale);
  for (uint32_t i = 0; i < kRun; ++i) codes[i] = levels.code(levels.level(x[i] * inverse));
}

// sum(x q) and sum(q q) of the nearest levels q.
template <uint32_t kRun, class Levels>
void level_sums(const float* x, float scale, const Levels& levels, float* xq, float* qq) {
  const float inverse = inverse_of(scale);
  std::array<float, 4> products{}, squares{};
  for (uint32_t i = 0; i < kRun; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      const float q = levels.level(x[i + lane] * inverse);
      products[lane] += x[i + lane] * q;
      squares[lane] += q * q;
    }
  }
  *xq = sum_of(products);
  *qq = sum_of(squares);
}

// The best scale of x = scale * level; 0 where all weights are.
template <uint32_t kRun, class Levels>
float search_scale(const float* x, const Levels& levels, const ScaleGrid& grid) {
  float largest = 0;
  for (uint32_t i = 0; i < kRun; ++i) {
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  }
  if (largest == 0) return 0;
  float best = 0, saved = 0;  // the error is sum(x x) less this
  const auto consider = [&](float scale) {
    float xq = 0, qq = 0;
    level_sums<kRun>(x, scale, levels, &xq, &qq);
    if (qq == 0 || xq * (xq / qq) <= saved) return false;
    saved = xq * (xq / qq);
    best = xq / qq;
    return true;
  };
  for (const int32_t extreme : {levels.low, levels.high}) {
    const float whole = largest / static_cast<float>(extreme);
    consider(whole);
    for (uint32_t i = 0; i < grid.steps; ++i) {
      consider(whole *
               (grid.from + (grid.to - grid.from) * static_cast<float>(i) / static_cast<float>(grid.steps - 1)));
    }
    if (levels.low == -levels.high) break;
  }
  for (uint32_t round = 0; round < 4 && consider(best); ++round) {
  }
  return best;
}

// x = scale * q - minimum with q from 0 to `most`; both are 0 or more.
struct Range {
  float scale = 0, minimum = 0;
};

template <uint32_t kRun>
float range_error(const float* x, const Range& range, float most) {
  const float inverse = inverse_of(range.scale);
  std::array<float, 4> sum{};
  for (uint32_t i = 0; i < kRun; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      const float moved = x[i + lane] + range.minimum;
      const float rest = moved - range.scale * rounded(std::min(std::max(moved * inverse, 0.0f), most));
      sum[lane] += rest * rest;
    }
  }
  return sum_of(sum);
}

template <uint32_t kRun>
void put_range(const float* x, const Range& range, float most, uint8_t* codes) {
  const float inverse = inverse_of(range.scale);
  for (uint32_t i = 0; i < kRun; ++i) {
    const float code = rounded(std::min(std::max((x[i] + range.minimum) * inverse, 0.0f), most));
    codes[i] = static_cast<uint8_t>(code);
  }
}

// Least squares with the codes that are nearest in `range`.
template <uint32_t kRun>
Range refitted(const float* x, const Range& range, float most) {
  const float inverse = inverse_of(range.scale);
  std::array<float, 4> q1{}, q2{}, x1{}, xq{};
  for (uint32_t i = 0; i < kRun; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      const float w = x[i + lane], q = rounded(std::min(std::max((w + range.minimum) * inverse, 0.0f), most));
      q1[lane] += q;
      q2[lane] += q * q;
      x1[lane] += w;
      xq[lane] += w * q;
    }
  }
  const float n = kRun, sum_q = sum_of(q1), sum_qq = sum_of(q2), sum_x = sum_of(x1), sum_xq = sum_of(xq);
  const float determinant = n * sum_qq - sum_q * sum_q;
  Range fit;
  if (determinant > 0) {
    fit.scale = (n * sum_xq - sum_x * sum_q) / determinant;
    fit.minimum = (sum_q * sum_xq - sum_qq * sum_x) / determinant;
  }
  if (determinant <= 0 || fit.minimum < 0 || fit.scale < 0) {  // without a minimum
    fit.minimum = 0;
    fit.scale = sum_qq > 0 ? std::max(sum_xq / sum_qq, 0.0f) : 0;
  }
  return fit;
}

template <uint32_t kRun>
Range search_range(const float* x, float most, const ScaleGrid& grid) {
  const auto [low, high] = std::minmax_element(x, x + kRun);
  const float bottom = std::min(*low, 0.0f), width = std::max(*high, 0.0f) - bottom;
  if (width == 0) return {};
  Range best{std::max(*high - bottom, 0.0f) / most, -bottom};
  float error = range_error<kRun>(x, best, most);
  const auto consider = [&](const Range& range) {
    const float its = range_error<kRun>(x, range, most);
    if (its >= error) return false;
    best = range;
    error = its;
    return true;
  };
  for (uint32_t i = 0; i < grid.steps && error > 0; ++i) {
    const float share = grid.from + (grid.to - grid.from) * static_cast<float>(i) / static_cast<float>(grid.steps - 1);
    // Both ends give way, down to where the minimum would leave its range.
    const Range start{(*high - bottom) * share / most, std::max(-bottom - (*high - bottom) * (1 - share) / 2, 0.0f)};
    consider(refitted<kRun>(x, start, most));
    if (bottom < 0) consider(refitted<kRun>(x, {start.scale, -bottom}, most));
  }
  for (uint32_t round = 0; round < 4 && error > 0 && consider(refitted<kRun>(x, best, most)); ++round) {
  }
  return best;
}

}  // namespace moevk::model
