// SPDX-License-Identifier: MIT
//
// In:  seeds.
// Out: tests of random tokens and of the conversions to f16 and bf16, and of numbers made into
// text. Why: benchmarks and runs must mean the same on every machine.
#include "tools/moevk/random_data.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tools/model/half.h"

namespace moevk::cli {
namespace {

TEST(RandomTokens, EachRowHasRmsOneAndIsTheSameAlways) {
  const std::vector<float> x = random_tokens(3, 500, 7);
  ASSERT_EQ(x.size(), 1500u);
  for (size_t row = 0; row < 3; ++row) {
    double square = 0, sum = 0;
    for (size_t column = 0; column < 500; ++column) {
      square += double{x[row * 500 + column]} * double{x[row * 500 + column]};
      sum += x[row * 500 + column];
    }
    EXPECT_NEAR(square / 500, 1, 1e-5);
    EXPECT_NEAR(sum / 500, 0, 0.2);
  }
  EXPECT_EQ(x, random_tokens(3, 500, 7));
  EXPECT_NE(x, random_tokens(3, 500, 8));
}

TEST(Conversion, RoundsToNearestEven) {
  using model::float_to_bfloat;
  using model::float_to_half;
  EXPECT_EQ(float_to_half(1.0f), 0x3C00);
  EXPECT_EQ(float_to_half(-2.0f), 0xC000);
  EXPECT_EQ(float_to_half(1.0f + 0x1p-11f), 0x3C00);      // halfway, down to even
  EXPECT_EQ(float_to_half(1.0f + 3 * 0x1p-11f), 0x3C02);  // halfway, up to even
  EXPECT_EQ(float_to_half(65504.0f), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);  // rounds to infinity
  EXPECT_EQ(float_to_half(0x1p-24f), 0x0001);  // smallest subnormal
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);
  EXPECT_EQ(float_to_half(0x1p-14f), 0x0400);  // smallest normal
  EXPECT_EQ(float_to_half(std::nextafter(0x1p-14f, 0.0f)), 0x0400);
  EXPECT_EQ(float_to_half(INFINITY), 0x7C00);
  EXPECT_EQ(float_to_half(NAN) & 0x7C00, 0x7C00);
  EXPECT_EQ(float_to_bfloat(1.0f), 0x3F80);
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-8f), 0x3F80);
  EXPECT_EQ(float_to_bfloat(1.0f + 3 * 0x1p-8f), 0x3F82);
  EXPECT_EQ(float_to_bfloat(INFINITY), 0x7F80);
  EXPECT_NE(float_to_bfloat(NAN) & 0x7F, 0);
}

TEST(Text, NumbersForPeople) {
  EXPECT_EQ(grouped_text(0), "0");
  EXPECT_EQ(grouped_text(999), "999");
  EXPECT_EQ(grouped_text(7222016), "7,222,016");
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(quantity_text(30.5e9), "30.5 B");
  EXPECT_EQ(display_width("\x1b[1mé█\x1b[0m"), 2u);
  for (const double fraction : {0.0, 0.001, 0.33, 0.5, 0.9999, 1.0, 2.0}) {
    EXPECT_EQ(display_width(bar(fraction, 7)), 7u) << fraction;
  }
  EXPECT_EQ(bar(0.5, 2), "█ ");
  EXPECT_EQ(bar(1e-9, 2), "▏ ");
}

}  // namespace
}  // namespace moevk::cli
