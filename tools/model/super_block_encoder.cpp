// SPDX-License-Identifier: MIT
//
// In:  weights of a block.
// Out: scales by search, codes by rounding, in the places that ggml-common.h of ggml 0.27 gives them.
// Why: the runs of a block share the unit of their scales, so scales that are best one by one are not yet the block's:
//      each unit that is tried gets the integers, and the codes, that leave the least squared error with it.
#include "tools/model/super_block_encoder.h"

#include <cstring>

#include "tools/model/half.h"
#include "tools/model/scale_search.h"

namespace moevk::model {
namespace {

constexpr uint32_t kSuper = 256;

void put16(std::byte* to, uint16_t value) { std::memcpy(to, &value, 2); }

// As the file will have it; a number too large for f16 becomes the largest.
uint16_t half_of(float value) { return float_to_half(std::min(std::max(value, -65504.0f), 65504.0f)); }

// The f16 beside it, away from 0 or towards it; finite, and 0 stays 0.
uint16_t next_half(uint16_t half, int32_t by) {
  const int32_t magnitude = half & 0x7FFF;
  if (magnitude == 0) return half;
  return static_cast<uint16_t>((half & 0x8000) | std::min(magnitude + by, 0x7BFF));
}

// How many units beside the first are worth trying: near the end of f16's subnormals they round in large steps.
int32_t coarse_steps(float unit) { return std::fabs(unit) < 0x1p-17f ? 8 : 0; }

// Codes of `bits` bits in runs: the first `stride` weights in the lowest bits of `stride` bytes, the next above them.
void put_interleaved(std::byte* to, const uint8_t* codes, uint32_t count, uint32_t bits, uint32_t stride) {
  const uint32_t per = 8 / bits;
  std::fill(to, to + count / per, std::byte{0});
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t code = codes[i] & ((1u << bits) - 1);
    to[i / (stride * per) * stride + i % stride] |= static_cast<std::byte>(code << (i / stride % per * bits));
  }
}

// The bits from `first` on.
std::array<uint8_t, kSuper> high_bits(const std::array<uint8_t, kSuper>& codes, uint32_t first) {
  std::array<uint8_t, kSuper> high;
  for (uint32_t i = 0; i < kSuper; ++i) high[i] = static_cast<uint8_t>(codes[i] >> first);
  return high;
}

// ---- one scale for each run, signed integers times a unit --------------------------------------------------------

template <uint32_t kRuns>
struct Signed {
  uint16_t unit = 0;  // f16
  std::array<int32_t, kRuns> scales{};
  std::array<uint8_t, kSuper> codes{};
};

struct ScaleRange {
  int32_t low, high;
  int32_t spread;  // integers to either side of the nearest that are tried
};

template <uint32_t kRuns, class Levels>
Signed<kRuns> fit_signed(const float* x, const Levels& levels, const ScaleGrid& grid, const ScaleRange& range) {
  constexpr uint32_t kRun = kSuper / kRuns;
  std::array<float, kRuns> wanted;
  float largest = 0;
  for (uint32_t j = 0; j < kRuns; ++j) {
    wanted[j] = search_scale<kRun>(x + j * kRun, levels, grid);
    if (std::fabs(wanted[j]) > std::fabs(largest)) largest = wanted[j];
  }
  Signed<kRuns> best;
  float least = -1;
  // With the best integers for this unit; false where it is no better.
  const auto consider = [&](float unit) {
    Signed<kRuns> block;
    block.unit = half_of(unit);
    const float d = half_to_float(block.unit), inverse = inverse_of(d);
    float error = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      const float nearest = rounded(
          std::min(std::max(wanted[j] * inverse, static_cast<float>(range.low)), static_cast<float>(range.high)));
      const auto centre = static_cast<int32_t>(nearest);
      float smallest = -1;
      for (int32_t s = std::max(centre - range.spread, range.low); s <= std::min(centre + range.spread, range.high);
           ++s) {
        const float its = squared_error<kRun>(x + j * kRun, d * static_cast<float>(s), levels);
        if (smallest >= 0 && its >= smallest) continue;
        smallest = its;
        block.scales[j] = s;
      }
      error += smallest;
      if (least >= 0 && error >= least) return false;
    }
    least = error;
    best = block;
    return true;
  };
  const float low = largest / static_cast<float>(range.low), high = largest / static_cast<float>(range.high);
  for (const float stretch : {1.0f, 1.04f, 0.97f}) {
    consider(low * stretch);
    consider(high * stretch);
  }
  for (int32_t less = 1; less <= coarse_steps(low); ++less) consider(largest / static_cast<float>(range.low + less));
  // The best unit for these integers and codes, as long as it helps.
  for (uint32_t round = 0; round < 4 && least > 0; ++round) {
    const float d = half_to_float(best.unit);
    double products = 0, squares = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      wanted[j] = d * static_cast<float>(best.scales[j]);
      float xq = 0, qq = 0;
      level_sums<kRun>(x + j * kRun, wanted[j], levels, &xq, &qq);
      products += static_cast<double>(xq) * best.scales[j];
      squares += static_cast<double>(qq) * best.scales[j] * best.scales[j];
    }
    if (squares == 0 || !consider(static_cast<float>(products / squares))) break;
  }
  const auto step = [&](int32_t by) { return half_to_float(next_half(best.unit, by)); };
  for (uint32_t round = 0; round < 4 && least > 0; ++round) {
    if (!consider(step(1)) && !consider(step(-1))) break;
  }
  const float d = half_to_float(best.unit);
  for (uint32_t j = 0; j < kRuns; ++j) {
    put_levels<kRun>(x + j * kRun, d * static_cast<float>(best.scales[j]), levels, &best.codes[j * kRun]);
  }
  return best;
}

// ---- a scale and a minimum for each run, integers times two units -------------------------------------------------

template <uint32_t kRuns>
struct Ranged {
  uint16_t unit = 0, minimum_unit = 0;  // f16
  std::array<int32_t, kRuns> scales{}, minima{};
  std::array<uint8_t, kSuper> codes{};
};

template <uint32_t kRuns>
Ranged<kRuns> fit_ranged(const float* x, float most, const ScaleGrid& grid, int32_t top, int32_t spread) {
  constexpr uint32_t kRun = kSuper / kRuns;
  std::array<Range, kRuns> wanted;
  Range largest;
  for (uint32_t j = 0; j < kRuns; ++j) {
    wanted[j] = search_range<kRun>(x + j * kRun, most, grid);
    largest.scale = std::max(largest.scale, wanted[j].scale);
    largest.minimum = std::max(largest.minimum, wanted[j].minimum);
  }
  Ranged<kRuns> best;
  float least = -1;
  const auto nearest = [&](float value, float unit) {
    return static_cast<int32_t>(rounded(std::min(value * inverse_of(unit), static_cast<float>(top))));
  };
  const auto consider = [&](float unit, float minimum_unit) {
    Ranged<kRuns> block;
    block.unit = half_of(std::max(unit, 0.0f));
    block.minimum_unit = half_of(std::max(minimum_unit, 0.0f));
    const float d = half_to_float(block.unit), m = half_to_float(block.minimum_unit);
    float error = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      const int32_t scale = nearest(wanted[j].scale, d), minimum = nearest(wanted[j].minimum, m);
      float smallest = -1;
      for (int32_t s = std::max(scale - spread, 0); s <= std::min(scale + spread, top); ++s) {
        for (int32_t t = std::max(minimum - spread, 0); t <= std::min(minimum + spread, top); ++t) {
          const Range range{d * static_cast<float>(s), m * static_cast<float>(t)};
          const float its = range_error<kRun>(x + j * kRun, range, most);
          if (smallest >= 0 && its >= smallest) continue;
          smallest = its;
          block.scales[j] = s, block.minima[j] = t;
        }
      }
      error += smallest;
      if (least >= 0 && error >= least) return false;
    }
    least = error;
    best = block;
    return true;
  };
  const auto whole = static_cast<float>(top);
  consider(largest.scale / whole, largest.minimum / whole);
  for (int32_t less = 1; less <= std::min(coarse_steps(largest.scale / whole), top / 2); ++less) {
    const auto fewer = static_cast<float>(top - less);
    consider(largest.scale / fewer, largest.minimum / whole);
    consider(largest.scale / fewer, largest.minimum / fewer);
  }
  for (uint32_t round = 0; round < 4 && least > 0; ++round) {
    // x = unit * (scale q) - minimum_unit * minimum
    const float d = half_to_float(best.unit), m = half_to_float(best.minimum_unit);
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (uint32_t j = 0; j < kRuns; ++j) {
      const Range range{d * static_cast<float>(best.scales[j]), m * static_cast<float>(best.minima[j])};
      wanted[j] = range;
      std::array<uint8_t, kRun> codes;
      put_range<kRun>(x + j * kRun, range, most, codes.data());
      double q1 = 0, q2 = 0, x1 = 0, xq = 0;
      for (uint32_t i = 0; i < kRun; ++i) {
        const double w = x[j * kRun + i], q = codes[i];
        q1 += q, q2 += q * q, x1 += w, xq += w * q;
      }
      const double s = best.scales[j], t = best.minima[j];
      aa += s * s * q2, ab += s * t * q1, bb += t * t * kRun, xa += s * xq, xb += t * x1;
    }
    const double determinant = aa * bb - ab * ab;
    const bool both = determinant > 1e-9 * aa * bb;
    if (aa == 0) break;
    const double unit = both ? (xa * bb - xb * ab) / determinant : xa / aa;
    const double minimum_unit = both ? (xa * ab - xb * aa) / determinant : 0;
    if (!consider(static_cast<float>(unit), static_cast<float>(minimum_unit))) break;
  }
  // Each unit was rounded by itself.
  for (uint32_t round = 0; round < 4 && least > 0; ++round) {
    bool better = false;
    for (const int32_t by : {1, -1}) {
      const float m = half_to_float(best.minimum_unit);
      better = consider(half_to_float(next_half(best.unit, by)), m) || better;
      const float d = half_to_float(best.unit);
      better = consider(d, half_to_float(next_half(best.minimum_unit, by))) || better;
    }
    if (!better) break;
  }
  const float d = half_to_float(best.unit), m = half_to_float(best.minimum_unit);
  for (uint32_t j = 0; j < kRuns; ++j) {
    const Range range{d * static_cast<float>(best.scales[j]), m * static_cast<float>(best.minima[j])};
    put_range<kRun>(x + j * kRun, range, most, &best.codes[j * kRun]);
  }
  return best;
}

// Twelve bytes for eight scales and eight minima of six bits: the low bits of the last four of each share bytes 8 to
// 11, their two high bits are on top of the first four.
void put_six_bits(std::byte* to, const std::array<int32_t, 8>& scales, const std::array<int32_t, 8>& minima) {
  for (uint32_t j = 0; j < 4; ++j) {
    to[j] = static_cast<std::byte>(scales[j] | (scales[j + 4] >> 4) << 6);
    to[j + 4] = static_cast<std::byte>(minima[j] | (minima[j + 4] >> 4) << 6);
    to[j + 8] = static_cast<std::byte>((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
}

// ---- one scale a block -------------------------------------------------------------------------------------------

template <uint32_t kCount, class Levels>
uint16_t fit_one(const float* x, const Levels& levels, const ScaleGrid& grid, uint8_t* codes) {
  const uint16_t scale = half_of(search_scale<kCount>(x, levels, grid));
  put_levels<kCount>(x, half_to_float(scale), levels, codes);
  return scale;
}

constexpr UniformLevels kTernary{-1, 1};
constexpr ScaleGrid kTernaryGrid{0.2f, 1, 33};

}  // namespace

void encode_q2_k(const float* x, std::byte* to) {
  const auto block = fit_ranged<16>(x, 3, {0.55f, 1.1f, 12}, 15, 2);
  for (uint32_t j = 0; j < 16; ++j) to[j] = static_cast<std::byte>(block.scales[j] | block.minima[j] << 4);
  put_interleaved(to + 16, block.codes.data(), kSuper, 2, 32);
  put16(to + 80, block.unit);
  put16(to + 82, block.minimum_unit);
}

void encode_q3_k(const float* x, std::byte* to) {
  const auto block = fit_signed<16>(x, UniformLevels{-4, 3}, {0.6f, 1.3f, 15}, {-32, 31, 2});
  put_interleaved(to, high_bits(block.codes, 2).data(), kSuper, 1, 32);
  put_interleaved(to + 32, block.codes.data(), kSuper, 2, 32);
  std::array<uint8_t, 16> low, high;
  for (uint32_t j = 0; j < 16; ++j) {
    const auto six = static_cast<uint32_t>(block.scales[j] + 32);
    low[j] = static_cast<uint8_t>(six & 15), high[j] = static_cast<uint8_t>(six >> 4);
  }
  put_interleaved(to + 96, low.data(), 16, 4, 8);
  put_interleaved(to + 104, high.data(), 16, 2, 4);
  put16(to + 108, block.unit);
}

void encode_q4_k(const float* x, std::byte* to) {
  const auto block = fit_ranged<8>(x, 15, {0.8f, 1.04f, 12}, 63, 1);
  put16(to, block.unit);
  put16(to + 2, block.minimum_unit);
  put_six_bits(to + 4, block.scales, block.minima);
  put_interleaved(to + 16, block.codes.data(), kSuper, 4, 32);
}

void encode_q5_k(const float* x, std::byte* to) {
  const auto block = fit_ranged<8>(x, 31, {0.88f, 1.03f, 12}, 63, 1);
  put16(to, block.unit);
  put16(to + 2, block.minimum_unit);
  put_six_bits(to + 4, block.scales, block.minima);
  put_interleaved(to + 16, high_bits(block.codes, 4).data(), kSuper, 1, 32);
  put_interleaved(to + 48, block.codes.data(), kSuper, 4, 32);
}

void encode_q6_k(const float* x, std::byte* to) {
  const auto block = fit_signed<16>(x, UniformLevels{-32, 31}, {0.94f, 1.05f, 14}, {-128, 127, 2});
  put_interleaved(to, block.codes.data(), kSuper, 4, 64);
  put_interleaved(to + 128, high_bits(block.codes, 4).data(), kSuper, 2, 32);
  for (uint32_t j = 0; j < 16; ++j) to[192 + j] = static_cast<std::byte>(block.scales[j]);
  put16(to + 208, block.unit);
}

void encode_iq4_xs(const float* x, std::byte* to) {
  const auto block = fit_signed<8>(x, kIq4Levels, {0.7f, 1.12f, 15}, {-32, 31, 2});
  put16(to, block.unit);
  std::array<uint8_t, 8> low, high;
  for (uint32_t j = 0; j < 8; ++j) {
    const auto six = static_cast<uint32_t>(block.scales[j] + 32);
    low[j] = static_cast<uint8_t>(six & 15), high[j] = static_cast<uint8_t>(six >> 4);
  }
  put_interleaved(to + 2, high.data(), 8, 2, 1);
  put_interleaved(to + 4, low.data(), 8, 4, 1);
  put_interleaved(to + 8, block.codes.data(), kSuper, 4, 16);
}

void encode_iq4_nl(const float* x, std::byte* to) {
  std::array<uint8_t, 32> codes;
  put16(to, fit_one<32>(x, kIq4Levels, {0.7f, 1.12f, 22}, codes.data()));
  put_interleaved(to + 2, codes.data(), 32, 4, 16);
}

// Signs alone: the mean magnitude is the best scale.
void encode_q1_0(const float* x, std::byte* to) {
  double sum = 0;
  std::array<uint8_t, 128> codes;
  for (uint32_t i = 0; i < 128; ++i) {
    sum += std::fabs(static_cast<double>(x[i]));
    codes[i] = x[i] >= 0 ? 1 : 0;
  }
  put16(to, half_of(static_cast<float>(sum / 128)));
  put_interleaved(to + 2, codes.data(), 128, 1, 1);
}

void encode_q2_0(const float* x, std::byte* to) {
  std::array<uint8_t, 64> codes;
  put16(to, fit_one<64>(x, UniformLevels{-1, 2}, {0.3f, 1.1f, 25}, codes.data()));
  put_interleaved(to + 2, codes.data(), 64, 2, 1);
}

// Five digits in base 3 as a fraction of 256, rounded up so that they can be read off by multiplication; the last four
// bytes have four.
void encode_tq1_0(const float* x, std::byte* to) {
  std::array<uint8_t, kSuper> codes;
  put16(to + 52, fit_one<kSuper>(x, kTernary, kTernaryGrid, codes.data()));
  const auto put = [&](uint32_t first, uint32_t bytes, uint32_t digits, std::byte* out) {
    for (uint32_t i = 0; i < bytes; ++i) {
      uint32_t number = 0;
      for (uint32_t n = 0; n < 5; ++n) number = 3 * number + (n < digits ? codes[first + n * bytes + i] : 0);
      out[i] = static_cast<std::byte>((number * 256 + 242) / 243);
    }
  };
  put(0, 32, 5, to);
  put(160, 16, 5, to + 32);
  put(240, 4, 4, to + 48);
}

void encode_tq2_0(const float* x, std::byte* to) {
  std::array<uint8_t, kSuper> codes;
  put16(to + 64, fit_one<kSuper>(x, kTernary, kTernaryGrid, codes.data()));
  put_interleaved(to, codes.data(), kSuper, 2, 32);
}

}  // namespace moevk::model
