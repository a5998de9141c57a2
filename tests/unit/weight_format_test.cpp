// SPDX-License-Identifier: MIT
//
// Conversions of 16-bit floats, against formulas in float64: every half and bfloat decodes exactly and comes back,
// and floats round to the nearest, ties to even. Formats as data: which are taken, which refused and how.
#include "runtime/weight_format.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>

#include "runtime/block_format.h"

namespace moevk::unit {
namespace {

struct Small {
  int mantissa_bits;
  int bias;
  uint16_t (*encode)(float);
  float (*decode)(uint16_t);
};
constexpr Small kHalf = {10, 15, float_to_half, half_to_float};
constexpr Small kBfloat = {7, 127, float_to_bfloat, bfloat_to_float};

uint32_t exponent_of(const Small& f, uint32_t bits) { return (bits & 0x7FFFu) >> f.mantissa_bits; }
uint32_t mantissa_of(const Small& f, uint32_t bits) { return bits & ((1u << f.mantissa_bits) - 1); }
uint32_t largest_exponent(const Small& f) { return exponent_of(f, 0x7FFF); }

double value_of(const Small& f, uint32_t bits) {
  const uint32_t exponent = exponent_of(f, bits), mantissa = mantissa_of(f, bits);
  const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  if (exponent == largest_exponent(f)) return mantissa != 0 ? NAN : sign * INFINITY;
  const double one = 1 << f.mantissa_bits;
  if (exponent == 0) return sign * std::ldexp(mantissa / one, 1 - f.bias);
  return sign * std::ldexp(1 + mantissa / one, static_cast<int>(exponent) - f.bias);
}

// The nearest value by looking at both neighbours; a tie goes to the even mantissa.
uint16_t nearest(const Small& f, float x) {
  const uint32_t sign = std::signbit(x) ? 0x8000u : 0;
  const double magnitude = std::fabs(static_cast<double>(x));
  const uint32_t infinity = largest_exponent(f) << f.mantissa_bits;
  uint32_t low = 0, high = infinity;  // value(low) <= magnitude < value(high), infinity as the next power of two
  const auto value = [&](uint32_t bits) {
    return bits == infinity ? std::ldexp(1.0, static_cast<int>(largest_exponent(f)) - f.bias) : value_of(f, bits);
  };
  if (magnitude >= value(infinity)) return static_cast<uint16_t>(sign | infinity);
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value(low), above = value(high) - magnitude;
  const bool up = above < below || (above == below && low % 2 == 1);
  return static_cast<uint16_t>(sign | (up ? high : low));
}

class SmallFloats : public ::testing::TestWithParam<const Small*> {
 protected:
  const Small& f() const { return *GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(All, SmallFloats, ::testing::Values(&kHalf, &kBfloat),
                         [](const auto& info) { return info.param == &kHalf ? "half" : "bfloat"; });

TEST_P(SmallFloats, AllDecodeExactlyAndComeBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float x = f().decode(static_cast<uint16_t>(bits));
    const double expected = value_of(f(), bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(x)) << bits;
      const uint16_t again = f().encode(x);
      ASSERT_TRUE(std::isnan(value_of(f(), again))) << bits;
      ASSERT_EQ(again & 0x8000u, bits & 0x8000u) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(x), expected) << bits;
    ASSERT_EQ(std::signbit(x), (bits & 0x8000u) != 0) << bits;
    ASSERT_EQ(f().encode(x), bits);
  }
}

TEST_P(SmallFloats, RoundsToNearest) {
  std::mt19937 random(1);
  for (int i = 0; i < 300000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) continue;
    ASSERT_EQ(f().encode(x), nearest(f(), x)) << x;
    // Most random floats are beyond a half's range: take their mantissa at its exponents too.
    const int exponent = static_cast<int>(random() % 45) - 28;
    const float near = std::ldexp(std::frexp(x, std::array<int, 1>{}.data()), exponent);
    ASSERT_EQ(f().encode(near), nearest(f(), near)) << near;
  }
}

TEST_P(SmallFloats, TiesGoToEven) {
  const uint32_t infinity = largest_exponent(f()) << f().mantissa_bits;
  size_t up = 0;
  for (uint32_t bits = 0; bits + 1 < infinity; ++bits) {
    const double middle = (value_of(f(), bits) + value_of(f(), bits + 1)) / 2;
    const auto x = static_cast<float>(middle);
    if (static_cast<double>(x) != middle) continue;  // below f32's own subnormals
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(f().encode(x), even) << bits;
    ASSERT_EQ(f().encode(-x), even | 0x8000u) << bits;
    ASSERT_EQ(f().encode(std::nextafter(x, 0.0f)), bits) << bits;
    ASSERT_EQ(f().encode(std::nextafter(x, INFINITY)), bits + 1) << bits;
    ++up;
  }
  EXPECT_GT(up, 30000u);
  // Half a step beyond the largest is a tie with infinity, which is even; a little less is not.
  const double largest = value_of(f(), infinity - 1);
  const auto edge = static_cast<float>(largest + (largest - value_of(f(), infinity - 2)) / 2);
  EXPECT_EQ(f().encode(edge), infinity);
  EXPECT_EQ(f().encode(std::nextafter(edge, 0.0f)), infinity - 1);
  EXPECT_EQ(f().encode(INFINITY), infinity);
  EXPECT_EQ(f().encode(-INFINITY), infinity | 0x8000u);
}

TEST(WeightFormat, ElementsAreStoredAndLoaded) {
  for (const uint32_t dtype : {MOE_DTYPE_F32, MOE_DTYPE_F16, MOE_DTYPE_BF16}) {
    std::array<std::byte, 17> memory;
    memory.fill(std::byte{0xAB});
    store_element(dtype, memory.data(), 1, 1.5f);
    store_element(dtype, memory.data(), 2, -2.25f);
    EXPECT_EQ(load_element(dtype, memory.data(), 1), 1.5f);
    EXPECT_EQ(load_element(dtype, memory.data(), 2), -2.25f);
    const uint64_t bytes = dtype_bytes(dtype);
    for (uint64_t i = 0; i < memory.size(); ++i)
      EXPECT_EQ(memory[i] == std::byte{0xAB}, i < bytes || i >= 3 * bytes) << dtype << " " << i;
  }
}

TEST(WeightFormat, PlainFormatsAreTaken) {
  for (uint32_t element = 0; element < 3; ++element) {
    for (const uint32_t bits : {0u, element == MOE_ELEMENT_F32 ? 32u : 16u}) {
      moe_weight_format format{};
      format.element = element;
      format.bits = bits;
      Result<WeightFormat> taken = weight_format(format, "desc.up_format");
      ASSERT_TRUE(taken.ok());
      EXPECT_EQ(static_cast<uint32_t>(taken.value()), element);
      EXPECT_EQ(row_bytes(taken.value(), 7), element == MOE_ELEMENT_F32 ? 28u : 14u);
    }
  }
  EXPECT_EQ(format_name(WeightFormat::kF32), "f32");
  EXPECT_EQ(format_name(WeightFormat::kF16), "f16");
  EXPECT_EQ(format_name(WeightFormat::kBf16), "bf16");
}

TEST(WeightFormat, PresetsAreTaken) {
  for (uint32_t number = kNumberFormatQ40; number < kWeightFormats; ++number) {
    const BlockFormat& block = *find_block_format(static_cast<WeightFormat>(number));
    moe_weight_format format{};
    format.preset = 1 + block.ggml_type;
    Result<WeightFormat> taken = weight_format(format, "desc.up_format");
    ASSERT_TRUE(taken.ok());
    EXPECT_EQ(taken.value(), block.format);
    EXPECT_EQ(format_name(taken.value()), block.name);
    EXPECT_EQ(dtype_of(taken.value()), MOE_DTYPE_BLOCKS);
    EXPECT_EQ(row_bytes(taken.value(), 512), 512 / block.elements * block.bytes);
    EXPECT_EQ(stored_row_bytes(taken.value(), 512, 512) % 16, 0u);
    EXPECT_LT(stored_row_bytes(taken.value(), 512, 512), row_bytes(taken.value(), 512) + 16);
    EXPECT_DOUBLE_EQ(element_bytes(taken.value()) * block.elements, block.bytes);
  }
}

TEST(WeightFormat, OthersAreRefusedByField) {
  const struct {
    moe_weight_format format;
    moe_status code;
    const char* argument;
  } cases[] = {
      {{MOE_ELEMENT_CODEBOOK + 1, 0, 0, 0, 0, 0, 0, 0}, MOE_ERROR_INVALID_ARGUMENT, "f.element"},
      {{MOE_ELEMENT_F16, 0, 0, 0, MOE_SCALE_E4M3 + 1, 0, 0, 0}, MOE_ERROR_INVALID_ARGUMENT, "f.scale"},
      {{MOE_ELEMENT_F16, 0, 0, 0, 0, MOE_ZERO_POINT_MINIMUM + 1, 0, 0}, MOE_ERROR_INVALID_ARGUMENT, "f.zero_point"},
      {{MOE_ELEMENT_F16, 32, 0, 0, 0, 0, 0, 0}, MOE_ERROR_INVALID_ARGUMENT, "f.bits"},
      {{MOE_ELEMENT_F32, 16, 0, 0, 0, 0, 0, 0}, MOE_ERROR_INVALID_ARGUMENT, "f.bits"},
      {{MOE_ELEMENT_CODEBOOK, 4, 32, 0, MOE_SCALE_E8M0, 0, 0, 0}, MOE_ERROR_UNSUPPORTED, "f"},
      {{MOE_ELEMENT_F16, 0, 32, 0, 0, 0, 0, 0}, MOE_ERROR_UNSUPPORTED, "f"},
      {{MOE_ELEMENT_F16, 0, 0, 2, 0, 0, 0, 0}, MOE_ERROR_UNSUPPORTED, "f"},
      {{MOE_ELEMENT_F16, 0, 0, 0, 0, 0, 1, 0}, MOE_ERROR_UNSUPPORTED, "f"},
      // A preset stands alone; one that names no block format is refused: plain types, types of activations, unknown.
      {{MOE_ELEMENT_F16, 0, 0, 0, 0, 0, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.element"},
      {{0, 4, 0, 0, 0, 0, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.bits"},
      {{0, 0, 256, 0, 0, 0, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.block_columns"},
      {{0, 0, 0, 1, 0, 0, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.block_rows"},
      {{0, 0, 0, 0, MOE_SCALE_F16, 0, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.scale"},
      {{0, 0, 0, 0, 0, MOE_ZERO_POINT_MINIMUM, 0, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.zero_point"},
      {{0, 0, 0, 0, 0, 0, 1, 13}, MOE_ERROR_INVALID_ARGUMENT, "f.packing"},
      {{0, 0, 0, 0, 0, 0, 0, 1}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, 2}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, 10}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, 16}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, 31}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, 44}, MOE_ERROR_UNSUPPORTED, "f.preset"},
      {{0, 0, 0, 0, 0, 0, 0, UINT32_MAX}, MOE_ERROR_UNSUPPORTED, "f.preset"},
  };
  for (const auto& c : cases) {
    Result<WeightFormat> taken = weight_format(c.format, "f");
    ASSERT_FALSE(taken.ok());
    EXPECT_EQ(taken.status().code(), c.code) << c.argument;
    EXPECT_EQ(taken.status().argument(), c.argument);
  }
}

}  // namespace
}  // namespace moevk::unit
