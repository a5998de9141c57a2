// SPDX-License-Identifier: MIT
//
// In:  256 weights.
// Out: a block of IQ3_S: vectors of four magnitudes out of a codebook of 512, signs, a scale of four bits for 32.
// Why: beside super_block_encoder.cpp, whose codes are each weight's own. A vector's nearest points are looked up by the
//      cell of the cube that it lies in, and compared.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "runtime/codebooks.h"
#include "tools/model/half.h"
#include "tools/model/scale_search.h"
#include "tools/model/super_block_encoder.h"

namespace moevk::model {
namespace {

constexpr uint32_t kRuns = 8, kRun = 32, kVectors = kRun / 4;
constexpr uint32_t kCells = 4096, kNear = 12, kPoints = 512;
constexpr float kLargest = 15;  // of a point's elements, which are odd
constexpr int32_t kTopScale = 15;

class Points {
 public:
  using Point = std::array<float, 4>;

  Points() {
    std::array<uint16_t, kPoints> order;
    std::array<float, kPoints> distance;
    for (uint32_t code = 0; code < kPoints; ++code) points_[code] = point_of(codebook_levels(Codebook::kIq3S, code));
    for (uint32_t cell = 0; cell < kCells; ++cell) {
      for (uint32_t code = 0; code < kPoints; ++code) distance[code] = squared(points_[code], point_of(cell));
      std::iota(order.begin(), order.end(), uint16_t{0});
      std::nth_element(order.begin(), order.begin() + kNear - 1, order.end(),
                       [&](uint16_t a, uint16_t b) { return distance[a] < distance[b]; });
      std::copy_n(order.begin(), kNear, near_[cell].begin());
    }
  }

  const Point& operator[](uint16_t code) const { return points_[code]; }

  uint16_t nearest(const Point& x) const {
    uint32_t cell = 0;
    for (uint32_t i = 0; i < 4; ++i) cell |= static_cast<uint32_t>(std::min(x[i] * 0.5f, 7.0f)) << (3 * i);
    uint16_t best = 0;
    float least = -1;
    for (const uint16_t code : near_[cell]) {
      const float its = squared(points_[code], x);
      if (least >= 0 && its >= least) continue;
      least = its;
      best = code;
    }
    return best;
  }

 private:
  static Point point_of(uint32_t levels) {
    Point point;
    for (uint32_t i = 0; i < 4; ++i) {
      point[i] = static_cast<float>(codebook_value(Codebook::kIq3S, levels >> (3 * i) & 7));
    }
    return point;
  }
  static float squared(const Point& a, const Point& b) {
    std::array<float, 4> d;
    for (uint32_t i = 0; i < 4; ++i) d[i] = (a[i] - b[i]) * (a[i] - b[i]);
    return sum_of(d);
  }

  std::array<Point, kPoints> points_;
  std::array<std::array<uint16_t, kNear>, kCells> near_;
};

const Points& points() {
  static const Points all;
  return all;
}

// The nearest points to 32 magnitudes at one scale.
struct RunFit {
  std::array<uint16_t, kVectors> codes;
  float error = 0, xq = 0, qq = 0;
};

RunFit fit_run(const float* magnitudes, float scale) {
  const Points& book = points();
  const float inverse = inverse_of(scale);
  RunFit fit;
  std::array<float, 4> error{}, xq{}, qq{};
  for (uint32_t v = 0; v < kVectors; ++v) {
    const float* x = magnitudes + 4 * v;
    fit.codes[v] = book.nearest({x[0] * inverse, x[1] * inverse, x[2] * inverse, x[3] * inverse});
    const Points::Point& q = book[fit.codes[v]];
    for (uint32_t i = 0; i < 4; ++i) {
      error[i] += (x[i] - scale * q[i]) * (x[i] - scale * q[i]);
      xq[i] += x[i] * q[i];
      qq[i] += q[i] * q[i];
    }
  }
  fit.error = sum_of(error), fit.xq = sum_of(xq), fit.qq = sum_of(qq);
  return fit;
}

float search_run(const float* magnitudes) {
  const float largest = *std::max_element(magnitudes, magnitudes + kRun);
  if (largest == 0) return 0;
  float best = 0, saved = 0;
  const auto consider = [&](float scale) {
    const RunFit fit = fit_run(magnitudes, scale);
    if (fit.xq * (fit.xq / fit.qq) <= saved) return false;
    saved = fit.xq * (fit.xq / fit.qq);
    best = fit.xq / fit.qq;
    return true;
  };
  const float whole = largest / kLargest;
  consider(whole);
  for (int32_t step = -8; step <= 5; ++step) consider(whole * (1 + 0.03f * static_cast<float>(step)));
  for (uint32_t round = 0; round < 3 && consider(best); ++round) {
  }
  return best;
}

struct Block {
  uint16_t unit = 0;
  std::array<int32_t, kRuns> scales{};  // a run's scale is unit * (1 + 2 * this)
  std::array<RunFit, kRuns> runs{};
};

float scale_of(float unit, int32_t scale) { return unit * static_cast<float>(1 + 2 * scale); }

Block fit_block(const float* magnitudes) {
  std::array<float, kRuns> wanted;
  for (uint32_t j = 0; j < kRuns; ++j) wanted[j] = search_run(magnitudes + j * kRun);
  const float largest = *std::max_element(wanted.begin(), wanted.end());
  Block best;
  float least = -1;
  const auto consider = [&](float unit) {
    Block block;
    block.unit = float_to_half(std::min(unit, 65504.0f));
    const float d = half_to_float(block.unit), inverse = inverse_of(d);
    float error = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      const auto nearest = static_cast<int32_t>(
          rounded(std::min(std::max((wanted[j] * inverse - 1) * 0.5f, 0.0f), static_cast<float>(kTopScale))));
      float smallest = -1;
      for (int32_t s = std::max(nearest - 1, 0); s <= std::min(nearest + 1, kTopScale); ++s) {
        const RunFit fit = fit_run(magnitudes + j * kRun, scale_of(d, s));
        if (smallest >= 0 && fit.error >= smallest) continue;
        smallest = fit.error;
        block.scales[j] = s;
        block.runs[j] = fit;
      }
      error += smallest;
      if (least >= 0 && error >= least) return false;
    }
    least = error;
    best = block;
    return true;
  };
  const auto top = static_cast<float>(1 + 2 * kTopScale);
  consider(largest / top);
  for (const float stretch : {1.03f, 0.97f}) consider(largest / top * stretch);
  for (uint32_t round = 0; round < 3 && least > 0; ++round) {
    double products = 0, squares = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      const double s = 1 + 2 * best.scales[j];
      wanted[j] = scale_of(half_to_float(best.unit), best.scales[j]);
      products += s * static_cast<double>(best.runs[j].xq);
      squares += s * s * static_cast<double>(best.runs[j].qq);
    }
    if (!consider(static_cast<float>(products / squares))) break;
  }
  return best;
}

}  // namespace

void encode_iq3_s(const float* x, std::byte* to) {
  std::array<float, kRuns * kRun> magnitudes;
  for (uint32_t i = 0; i < magnitudes.size(); ++i) magnitudes[i] = std::fabs(x[i]);
  const Block block = fit_block(magnitudes.data());
  std::fill(to, to + 110, std::byte{0});
  std::memcpy(to, &block.unit, 2);
  for (uint32_t j = 0; j < kRuns; ++j) {
    for (uint32_t v = 0; v < kVectors; ++v) {
      const uint32_t n = j * kVectors + v, code = block.runs[j].codes[v];
      to[2 + n] = static_cast<std::byte>(code);
      to[66 + n / 8] |= static_cast<std::byte>((code >> 8) << (n % 8));
    }
    to[106 + j / 2] |= static_cast<std::byte>(block.scales[j] << (4 * (j % 2)));
  }
  for (uint32_t i = 0; i < magnitudes.size(); ++i) {
    if (x[i] < 0) to[74 + i / 8] |= static_cast<std::byte>(1u << (i % 8));
  }
}

}  // namespace moevk::model
