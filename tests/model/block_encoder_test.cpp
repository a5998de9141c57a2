// SPDX-License-Identifier: MIT
//
// Encoders of block types, as the formats' definition in float64 (tests/conformance/block_codec.h) reads their blocks:
// zeros, equal weights, numbers that a block can hold, the extremes of f16, and an error that small changes of the
// scale do not make less. That the error is no worse than ggml's is searched_encoder_oracle_test.cpp's business.
#include "tools/model/block_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/conformance/block_codec.h"
#include "tools/model/half.h"

namespace moevk::model {
namespace {

using moe_conformance::BlockKind;

const BlockKind& kind_of(uint32_t type) {
  for (const BlockKind& kind : moe_conformance::block_kinds()) {
    if (kind.ggml_type == type) return kind;
  }
  throw std::runtime_error("no such kind");
}

std::vector<std::byte> encoded(uint32_t type, const std::vector<float>& row) {
  std::vector<std::byte> blocks(row.size() / kind_of(type).elements * kind_of(type).bytes);
  encode_row(type, row.data(), row.size(), blocks.data());
  return blocks;
}

std::vector<float> coded(uint32_t type, const std::vector<float>& row) {
  return moe_conformance::decode_blocks(kind_of(type), encoded(type, row));
}

double error_of(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

// The 512 points of IQ3_S's codebook, out of blocks whose scales are 1.
std::vector<std::array<float, 4>> iq3_points() {
  std::vector<std::array<float, 4>> points;
  for (uint32_t first = 0; first < 512; first += 64) {
    std::vector<std::byte> block(110);
    block[1] = std::byte{0x3C};  // 1 as f16
    for (uint32_t n = 0; n < 64; ++n) {
      block[2 + n] = static_cast<std::byte>(first + n);
      block[66 + n / 8] |= static_cast<std::byte>((first + n) >> 8 << (n % 8));
    }
    const std::vector<float> values = moe_conformance::decode_blocks(kind_of(kGgmlIq3S), block);
    for (size_t i = 0; i < values.size(); i += 4) {
      points.push_back({values[i], values[i + 1], values[i + 2], values[i + 3]});
    }
  }
  return points;
}

class BlockEncoder : public testing::TestWithParam<uint32_t> {
 protected:
  uint32_t type() const { return GetParam(); }
  size_t numbers() const { return kind_of(type()).elements; }
  // Whether a run can have any pattern of its largest and smallest magnitudes: one bit has no zero, and of IQ3_S's
  // vectors of four few have equal elements.
  bool has_any_pattern() const { return type() != kGgmlQ1_0 && type() != kGgmlIq3S; }
};

TEST_P(BlockEncoder, ZerosStayZeros) {
  for (const float w : coded(type(), std::vector<float>(2 * numbers(), 0.0f))) ASSERT_EQ(w, 0.0f);
}

// The scale is an f16, multiplied by integers in a K-quant: below 2^-14 its steps are 2^-24.
TEST_P(BlockEncoder, EqualWeightsStayEqual) {
  for (const float w : {0.75f, -0.75f, 3e-3f, -41.0f}) {
    const float coarse = type() == kGgmlIq3S ? std::fabs(w) * 0.25f : 2e-5f;
    const float allowed = std::max(std::fabs(w) * 2e-3f, coarse);
    for (const float have : coded(type(), std::vector<float>(numbers(), w))) ASSERT_NEAR(have, w, allowed);
  }
}

TEST_P(BlockEncoder, ExtremesOfHalfStayFinite) {
  std::vector<float> row(numbers());
  for (size_t i = 0; i < row.size(); ++i) row[i] = i % 2 == 0 ? 65504.0f : -65504.0f;
  for (size_t i = 0; i < row.size(); ++i) ASSERT_NEAR(coded(type(), row)[i], row[i], 65504.0f * 0.51f) << i;
  row.assign(numbers(), 0.0f);
  row[3] = 65504.0f;  // alone
  const std::vector<float> alone = coded(type(), row);
  for (size_t i = 0; i < row.size(); ++i) ASSERT_LE(std::fabs(alone[i]), 65504.0f * 1.01f) << i;
  if (!has_any_pattern()) return;
  EXPECT_NEAR(alone[3], 65504.0f, 65504.0f * 0.01f);
}

// Below what the units of f16 can say, the answer is zeros or small numbers, and always finite.
TEST_P(BlockEncoder, TheSmallestWeightsStaySmall) {
  for (const float w : {1e-7f, 1e-9f, 1e-20f, 1e-38f, 1e-42f}) {
    std::vector<float> row(numbers());
    for (size_t i = 0; i < row.size(); ++i) row[i] = i % 3 == 0 ? w : -w / 2;
    for (const float have : coded(type(), row)) ASSERT_LE(std::fabs(have), std::max(2 * w, 2e-7f)) << w;
  }
}

// What a block can hold, and where every run uses both ends of its codes and one the largest scale, comes back exactly.
TEST_P(BlockEncoder, NumbersThatABlockHoldsComeBackExactly) {
  std::mt19937 random(type());
  for (int round = 0; round < 20; ++round) {
    const float unit = std::ldexp(1.0f + static_cast<float>(random() % 1024) / 1024.0f, -10);
    std::vector<float> row(numbers());
    const auto fill = [&](size_t run, const auto& weight) {  // weight(run, code chooser)
      for (size_t i = 0; i < row.size(); ++i) row[i] = weight(i / run, i % run);
    };
    const auto draw = [&](size_t i, int low, int high) {
      return i == 0 ? low : i == 1 ? high : low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
    };
    const auto ranged = [&](size_t run, int most, int top) {
      std::vector<int> scales(row.size() / run), minima(scales.size());
      for (size_t j = 0; j < scales.size(); ++j) {
        scales[j] = j == 0 ? top : 1 + static_cast<int>(random() % static_cast<uint32_t>(top));
        minima[j] = j == 1 ? top : static_cast<int>(random() % static_cast<uint32_t>(top + 1));
      }
      fill(run, [&](size_t j, size_t i) {
        return unit * static_cast<float>(scales[j] * draw(i, 0, most)) - 2 * unit * static_cast<float>(minima[j]);
      });
    };
    const auto centred = [&](size_t run, int low, int high, int least) {
      std::vector<int> scales(row.size() / run);
      for (size_t j = 0; j < scales.size(); ++j)
        scales[j] = j == 0 ? least : least + static_cast<int>(random() % static_cast<uint32_t>(-2 * least));
      fill(run, [&](size_t j, size_t i) { return unit * static_cast<float>(scales[j] * draw(i, low, high)); });
    };
    static constexpr int kLevels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    switch (type()) {
      case kGgmlQ1_0: fill(row.size(), [&](size_t, size_t i) { return draw(i, 0, 1) == 0 ? -unit : unit; }); break;
      case kGgmlQ2_0:
        fill(row.size(), [&](size_t, size_t i) { return unit * static_cast<float>(draw(i, -1, 2)); });
        break;
      case kGgmlTq1_0:
      case kGgmlTq2_0:
        fill(row.size(), [&](size_t, size_t i) { return unit * static_cast<float>(draw(i, -1, 1)); });
        break;
      case kGgmlIq4Nl:
        fill(row.size(), [&](size_t, size_t i) { return unit * static_cast<float>(kLevels[draw(i, 0, 15)]); });
        break;
      case kGgmlIq4Xs:
        fill(32, [&](size_t j, size_t i) {
          return unit * static_cast<float>((j == 0 ? -32 : static_cast<int>(4 * j)) * kLevels[draw(i, 0, 15)]);
        });
        break;
      case kGgmlIq3S: {
        const auto points = iq3_points();
        fill(32, [&](size_t j, size_t i) {
          static size_t point = 0;
          if (i % 4 == 0) {
            do point = random() % points.size();
            while (i == 0 && *std::max_element(points[point].begin(), points[point].end()) < 15);
          }
          const float sign = random() % 2 == 0 ? -1.0f : 1.0f;
          return unit * sign * static_cast<float>(j == 0 ? 31 : 2 * j + 1) * points[point][i % 4];
        });
        break;
      }
      case kGgmlQ2_K: ranged(16, 3, 15); break;
      case kGgmlQ4_K: ranged(32, 15, 63); break;
      case kGgmlQ5_K: ranged(32, 31, 63); break;
      case kGgmlQ3_K: centred(16, -4, 3, -32); break;
      default: centred(16, -32, 31, -128); break;
    }
    const std::vector<float> have = coded(type(), row);
    for (size_t i = 0; i < row.size(); ++i) ASSERT_EQ(have[i], row[i]) << "round " << round << ", weight " << i;
  }
}

// Encoding what was decoded changes nothing any more, or finds still less error: never more.
TEST_P(BlockEncoder, OnceMoreIsNoFurtherAway) {
  std::mt19937 random(type());
  std::normal_distribution<float> normal;
  std::vector<float> row(8 * numbers());
  for (float& w : row) w = normal(random);
  const std::vector<float> once = coded(type(), row), twice = coded(type(), once);
  EXPECT_LE(error_of(twice, once), 0.5 * error_of(once, row));
}

// No scale of the block up to 3 % away, with the same codes, does better: the search ends in a minimum.
TEST_P(BlockEncoder, NoNearbyScaleDoesBetter) {
  std::mt19937 random(type() + 1);
  std::normal_distribution<float> normal(0, 0.02f);
  size_t at = 0;  // of the scale in a block
  switch (type()) {
    case kGgmlQ2_K: at = 80; break;
    case kGgmlQ3_K: at = 108; break;
    case kGgmlQ6_K: at = 208; break;
    case kGgmlTq1_0: at = 52; break;
    case kGgmlTq2_0: at = 64; break;
    default: break;
  }
  for (int round = 0; round < 20; ++round) {
    std::vector<float> row(numbers());
    for (float& w : row) w = normal(random);
    std::vector<std::byte> block = encoded(type(), row);
    const double error = error_of(moe_conformance::decode_blocks(kind_of(type()), block), row);
    uint16_t half = 0;
    std::memcpy(&half, block.data() + at, 2);
    for (int step = -30; step <= 30; ++step) {
      const uint16_t other = float_to_half(half_to_float(half) * (1 + 0.001f * static_cast<float>(step)));
      std::memcpy(block.data() + at, &other, 2);
      ASSERT_GE(error_of(moe_conformance::decode_blocks(kind_of(type()), block), row), error * 0.998) << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BlockEncoder,
                         testing::Values(kGgmlQ1_0, kGgmlQ2_0, kGgmlQ2_K, kGgmlQ3_K, kGgmlQ4_K, kGgmlQ5_K, kGgmlQ6_K,
                                         kGgmlIq3S, kGgmlIq4Nl, kGgmlIq4Xs, kGgmlTq1_0, kGgmlTq2_0),
                         [](const auto& one) { return std::string(kind_of(one.param).name); });

}  // namespace
}  // namespace moevk::model
