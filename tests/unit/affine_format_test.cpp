// SPDX-License-Identifier: MIT
//
// Affine formats by hand: what is taken and what refused by which field, where a row's planes stand, rows put together
// from the tensors of QMoE, GPTQ and DeepSeek-V3, every fp8 number.
#include "runtime/affine_format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "runtime/affine_parts.h"
#include "runtime/shared_state.h"
#include "tests/layers/layer_shapes.h"

namespace moevk::unit {
namespace {

constexpr uint32_t kInt = MOE_ELEMENT_INT, kE4m3 = MOE_ELEMENT_FP8_E4M3, kE5m2 = MOE_ELEMENT_FP8_E5M2;
constexpr uint32_t kCentre = MOE_ZERO_POINT_CENTRE, kStored = MOE_ZERO_POINT_STORED;

WeightFormat taken(const moe_weight_format& format) {
  Result<WeightFormat> result = weight_format(format, "f");
  if (!result.ok()) throw std::runtime_error(result.status().argument() + ": " + result.status().text());
  return result.value();
}

std::vector<std::byte> bytes(std::initializer_list<uint32_t> values) {
  std::vector<std::byte> data;
  for (const uint32_t value : values) data.push_back(static_cast<std::byte>(value));
  return data;
}

void append(std::vector<std::byte>* data, uint32_t dtype, std::initializer_list<float> values) {
  for (const float value : values) {
    data->resize(data->size() + dtype_bytes(dtype));
    store_element(dtype, data->data() + data->size() - dtype_bytes(dtype), 0, value);
  }
}

TEST(AffineFormat, FieldsComeBackFromTheNumber) {
  std::set<WeightFormat> seen;
  for (const uint32_t element : {kInt, kE4m3, kE5m2}) {
    for (const uint32_t bits : element == kInt ? std::vector<uint32_t>{2, 4, 8} : std::vector<uint32_t>{8}) {
      for (const uint32_t group : {0u, 16u, 128u, 1024u}) {
        for (const uint32_t rows : {1u, 2u, 128u, 1u << 30, MOE_BLOCK_ALL_ROWS}) {
          for (uint32_t scale = MOE_SCALE_F32; scale <= MOE_SCALE_BF16; ++scale) {
            for (uint32_t zero = 0; zero <= (element == kInt ? kStored : 0); ++zero) {
              if (zero == kStored && rows != 1) continue;
              const WeightFormat format = taken({element, bits, group, rows, scale, zero, 0, 0});
              EXPECT_TRUE(seen.insert(format).second);
              const AffineFormat f = *find_affine_format(format);
              EXPECT_EQ(f.is_integer(), element == kInt);
              EXPECT_EQ(f.bits, bits);
              EXPECT_EQ(f.group, group);
              EXPECT_EQ(f.block_rows, rows);
              EXPECT_EQ(f.scale, scale);
              EXPECT_EQ(f.scale_dtype(), scale - MOE_SCALE_F32);
              EXPECT_EQ(static_cast<uint32_t>(f.zero), zero);
              EXPECT_EQ(dtype_of(format), MOE_DTYPE_BLOCKS);
              EXPECT_FALSE(is_plain(format));
              // A kernel does not know which rows shared a scale.
              EXPECT_EQ(kernel_format(format),
                        static_cast<uint32_t>(taken({element, bits, group, 1, scale, zero, 0, 0})));
              EXPECT_EQ(stored_row_bytes(format, 272, 272) % 16, 0u);
              EXPECT_EQ(row_bytes(format, 272) % 4, 0u);
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(find_affine_format(WeightFormat::kQ4_0), std::nullopt);
  EXPECT_EQ(format_name(taken({kInt, 4, 128, 0, MOE_SCALE_F16, kStored, 0, 0})), "uint4:128:f16:zero");
  EXPECT_EQ(format_name(taken({kE4m3, 0, 128, 128, MOE_SCALE_F32, 0, 0, 0})), "e4m3:128x128:f32");
  EXPECT_EQ(format_name(taken({kInt, 8, 0, MOE_BLOCK_ALL_ROWS, MOE_SCALE_BF16, 0, 0, 0})), "int8:rowxall:bf16");
}

TEST(AffineFormat, OthersAreRefusedByField) {
  constexpr moe_status kInvalid = MOE_ERROR_INVALID_ARGUMENT, kUnsupported = MOE_ERROR_UNSUPPORTED;
  const struct {
    moe_weight_format format;
    moe_status code;
    const char* argument;
  } cases[] = {
      {{kInt, 0, 0, 0, MOE_SCALE_F32, kCentre, 0, 0}, kInvalid, "f.bits"},
      {{kInt, 16, 0, 0, MOE_SCALE_F32, kCentre, 0, 0}, kInvalid, "f.bits"},
      {{kInt, 3, 0, 0, MOE_SCALE_F32, kCentre, 0, 0}, kUnsupported, "f.bits"},
      {{kInt, 4, 8, 0, MOE_SCALE_F32, kCentre, 0, 0}, kUnsupported, "f.block_columns"},
      {{kInt, 4, 48, 0, MOE_SCALE_F32, kCentre, 0, 0}, kUnsupported, "f.block_columns"},
      {{kInt, 4, 2048, 0, MOE_SCALE_F32, kCentre, 0, 0}, kUnsupported, "f.block_columns"},
      {{kInt, 4, 0, 3, MOE_SCALE_F32, kCentre, 0, 0}, kUnsupported, "f.block_rows"},
      {{kInt, 4, 0, 2, MOE_SCALE_F32, kStored, 0, 0}, kUnsupported, "f.block_rows"},
      {{kInt, 4, 0, 0, MOE_SCALE_NONE, kCentre, 0, 0}, kUnsupported, "f.scale"},
      {{kInt, 4, 0, 0, MOE_SCALE_E8M0, kCentre, 0, 0}, kUnsupported, "f.scale"},
      {{kInt, 4, 0, 0, MOE_SCALE_E4M3, kCentre, 0, 0}, kUnsupported, "f.scale"},
      {{kInt, 4, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_MINIMUM, 0, 0}, kUnsupported, "f.zero_point"},
      {{kInt, 4, 0, 0, MOE_SCALE_F32, kCentre, 1, 0}, kUnsupported, "f.packing"},
      {{kE4m3, 4, 0, 0, MOE_SCALE_F32, 0, 0, 0}, kInvalid, "f.bits"},
      {{kE5m2, 0, 0, 0, MOE_SCALE_F32, kCentre, 0, 0}, kInvalid, "f.zero_point"},
      {{kE4m3, 0, 0, 0, MOE_SCALE_NONE, 0, 0, 0}, kUnsupported, "f.scale"},
      {{MOE_ELEMENT_FP4_E2M1, 8, 32, 0, MOE_SCALE_E8M0, 0, 0, 0}, kInvalid, "f.bits"},
      {{MOE_ELEMENT_FP4_E2M1, 0, 16, 0, MOE_SCALE_E4M3, 0, 0, 0}, kUnsupported, "f.scale"},
      {{MOE_ELEMENT_FP4_E2M1, 0, 32, 0, MOE_SCALE_E8M0, kCentre, 0, 0}, kInvalid, "f.zero_point"},
      {{kE4m3, 0, 100, 128, MOE_SCALE_F32, 0, 0, 0}, kUnsupported, "f.block_columns"},
  };
  for (const auto& c : cases) {
    Result<WeightFormat> result = weight_format(c.format, "f");
    ASSERT_FALSE(result.ok()) << c.argument;
    EXPECT_EQ(result.status().code(), c.code) << c.argument;
    EXPECT_EQ(result.status().argument(), c.argument);
  }
}

TEST(AffineFormat, EveryFp8Number) {
  for (uint32_t code = 0; code < 256; ++code) {
    const double sign = code < 128 ? 1 : -1;
    const auto byte = static_cast<uint8_t>(code);
    const uint32_t e4 = code >> 3 & 15, m3 = code & 7, e5 = code >> 2 & 31, m2 = code & 3;
    const float four = e4m3_to_float(byte), five = e5m2_to_float(byte);
    if (e4 == 15 && m3 == 7) {
      EXPECT_TRUE(std::isnan(four));
    } else {
      const double value =
          e4 == 0 ? m3 / 8.0 * std::ldexp(1, -6) : (1 + m3 / 8.0) * std::ldexp(1, static_cast<int>(e4) - 7);
      EXPECT_EQ(static_cast<double>(four), sign * value) << code;
    }
    EXPECT_EQ(std::signbit(four), code >= 128) << code;
    if (e5 == 31) {
      EXPECT_TRUE(m2 == 0 ? std::isinf(five) : std::isnan(five)) << code;
    } else {
      const double value =
          e5 == 0 ? m2 / 4.0 * std::ldexp(1, -14) : (1 + m2 / 4.0) * std::ldexp(1, static_cast<int>(e5) - 15);
      EXPECT_EQ(static_cast<double>(five), sign * value) << code;
    }
  }
  EXPECT_EQ(e4m3_to_float(0x7E), 448.0f);    // the largest
  EXPECT_EQ(e5m2_to_float(0x7B), 57344.0f);  // likewise
}

// int4 in groups of 16 with stored zero points, f16 scales: 32 weights of a row as GPTQ and AWQ compute them.
TEST(AffineFormat, GroupsWithZeroPointsByHand) {
  const AffineFormat f = *find_affine_format(taken({kInt, 4, 16, 0, MOE_SCALE_F16, kStored, 0, 0}));
  std::vector<std::byte> row = bytes({0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE,    // codes 0, 1, .. 15
                                      0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01});  // codes 15, 14, .. 0
  append(&row, MOE_DTYPE_F16, {0.5f, -2.0f});
  row.push_back(std::byte{0xA3});  // zero points 3 and 10
  row.resize(24);
  ASSERT_EQ(f.row_bytes(32), 24u);
  EXPECT_EQ(f.zeros_at(32), 20u);
  float values[32];
  decode_affine_row(f, row.data(), 32, values);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(values[i], static_cast<float>((i - 3) * 0.5)) << i;              // -1.5, -1, .. 6
    EXPECT_EQ(values[16 + i], static_cast<float>((15 - i - 10) * -2.0)) << i;  // -10, -8, .. 20
  }
}

// gpt-oss's MXFP4: two in a byte along the row, the first in the low bits; scales 2^(x - 127).
TEST(AffineFormat, Mxfp4WithScalesApartByHand) {
  const AffineFormat f = *find_affine_format(taken({MOE_ELEMENT_FP4_E2M1, 0, 32, 0, MOE_SCALE_E8M0, 0, 0, 0}));
  std::vector<std::byte> row;
  for (int i = 0; i < 4; ++i) {
    for (const uint32_t byte : {0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE})
      row.push_back(static_cast<std::byte>(byte));
  }
  row.push_back(std::byte{129});  // 4
  row.push_back(std::byte{0});    // 2^-127
  row.resize(36);
  ASSERT_EQ(f.row_bytes(64), 36u);
  float values[64];
  decode_affine_row(f, row.data(), 64, values);
  const float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (int i = 0; i < 64; ++i) {
    const float sign = i % 16 < 8 ? 1.0f : -1.0f;
    EXPECT_EQ(values[i], sign * magnitudes[i % 8] * (i < 32 ? 4.0f : 0x1p-127f)) << i;
  }
}

TEST(AffineFormat, TwoBitsAndTwosComplementByHand) {
  // 0b11100100: codes 0, 1, 2, 3. Less the centre 2: -2, -1, 0, 1; as two's complement 0, 1, -2, -1. Scale 3, bf16.
  for (const bool centre : {true, false}) {
    const AffineFormat f = *find_affine_format(taken({kInt, 2, 0, 0, MOE_SCALE_BF16, centre ? kCentre : 0u, 0, 0}));
    std::vector<std::byte> row = bytes({0xE4, 0xE4, 0xE4, 0xE4});
    append(&row, MOE_DTYPE_BF16, {3.0f, 0.0f});
    ASSERT_EQ(row.size(), f.row_bytes(16));
    float values[16];
    decode_affine_row(f, row.data(), 16, values);
    const float expected[2][4] = {{0, 3, -6, -3}, {-6, -3, 0, 3}};
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(values[i], expected[centre ? 1 : 0][i % 4]) << i;
  }
}

// The last group of a row and the last rows of a block are cut short: 3 rows of 48 in blocks of 2 x 32.
TEST(AffineFormat, BlocksOfRowsArePutTogether) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.experts = desc.top_k = 1;
  desc.hidden = 48;
  desc.intermediate = 3;
  desc.flags = MOE_LAYER_UNGATED;
  desc.up_format = {kE4m3, 8, 32, 2, MOE_SCALE_F32, 0, 0, 0};
  const std::vector<TensorSpec> tensors = list_tensors(make_spec(desc));
  const auto named = [&](const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec& t) { return t.name == name; });
  };
  const TensorSpec codes = named("experts.up"), scales = named("experts.up.scale");
  EXPECT_EQ(codes.total_bytes(), 3u * 48);
  ASSERT_EQ(scales.rows * scales.columns, 2u * 2);
  EXPECT_EQ(scales.total_bytes(), 16u);
  AffineParts parts(std::make_shared<SharedState>(moe_init<moe_instance_desc>(), Options{}));
  const Status early = parts.check_held(codes, 0);
  EXPECT_EQ(early.code(), MOE_ERROR_STATE);
  EXPECT_NE(early.text().find("experts.up.scale"), std::string::npos);
  std::vector<std::byte> scale_bytes, code_bytes(3 * 48);
  append(&scale_bytes, MOE_DTYPE_F32, {1, 2, 4, 8});  // rows 0 and 1: 1 then 2; row 2: 4 then 8
  for (size_t i = 0; i < code_bytes.size(); ++i) code_bytes[i] = static_cast<std::byte>(i % 3 == 0 ? 0x38 : 0xBC);
  ASSERT_TRUE(parts.hold(scales, 0, scale_bytes.data()).ok());
  ASSERT_TRUE(parts.check_held(codes, 0).ok());
  Result<const std::byte*> rows = parts.assemble(codes, 0, 1, 2, code_bytes.data() + 48);
  ASSERT_TRUE(rows.ok());
  const AffineFormat f = *find_affine_format(codes.format);
  ASSERT_EQ(f.row_bytes(48), 48u + 8);
  for (uint32_t r = 0; r < 2; ++r) {
    float values[48];
    decode_affine_row(f, rows.value() + r * 56, 48, values);
    for (uint32_t c = 0; c < 48; ++c) {
      const float scale = r == 0 ? (c < 32 ? 1.0f : 2.0f) : (c < 32 ? 4.0f : 8.0f);
      EXPECT_EQ(values[c], (c % 3 == 0 ? 1.0f : -1.5f) * scale) << r << " " << c;  // 0x38 is 1, 0xBC is -1.5
    }
  }
}

// QMoE without blocks: zero points of all rows stand one behind the other, two in a byte.
TEST(AffineFormat, ZeroPointsAlongTheRows) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.experts = desc.top_k = 2;
  desc.hidden = 16;
  desc.intermediate = 3;
  desc.flags = MOE_LAYER_UNGATED;
  desc.up_format = {kInt, 4, 0, 0, MOE_SCALE_F32, kStored, 0, 0};
  const std::vector<TensorSpec> tensors = list_tensors(make_spec(desc));
  const auto at =
      std::find_if(tensors.begin(), tensors.end(), [](const auto& t) { return t.name == "experts.up.scale"; });
  ASSERT_NE(at, tensors.end());
  const TensorSpec &scales = at[0], &zeros = at[1], &codes = at[2];
  ASSERT_EQ(zeros.name, "experts.up.zero");
  ASSERT_EQ(codes.name, "experts.up");
  EXPECT_EQ(zeros.total_bytes(), 2u * 2);
  AffineParts parts(std::make_shared<SharedState>(moe_init<moe_instance_desc>(), Options{}));
  std::vector<std::byte> scale_bytes;
  append(&scale_bytes, MOE_DTYPE_F32, {1, 10, 100});
  const std::vector<std::byte> zero_bytes = bytes({0x52, 0x0F});  // 2, 5, 15
  ASSERT_TRUE(parts.hold(scales, 1, scale_bytes.data()).ok());
  EXPECT_EQ(parts.check_held(codes, 1).code(), MOE_ERROR_STATE);
  ASSERT_TRUE(parts.hold(zeros, 1, zero_bytes.data()).ok());
  EXPECT_TRUE(parts.check_held(codes, 1).ok());
  const std::vector<std::byte> code_bytes(3 * 8, std::byte{0x71});  // codes 1, 7
  Result<const std::byte*> rows = parts.assemble(codes, 1, 0, 3, code_bytes.data());
  ASSERT_TRUE(rows.ok());
  const AffineFormat f = *find_affine_format(codes.format);
  const float expected[3][2] = {{1 - 2, 7 - 2}, {(1 - 5) * 10, (7 - 5) * 10}, {(1 - 15) * 100, (7 - 15) * 100}};
  for (uint32_t r = 0; r < 3; ++r) {
    float values[16];
    decode_affine_row(f, rows.value() + r * f.row_bytes(16), 16, values);
    for (uint32_t c = 0; c < 16; ++c) EXPECT_EQ(values[c], expected[r][c % 2]) << r << " " << c;
  }
  parts.release(codes, 1);
  EXPECT_FALSE(parts.check_held(codes, 1).ok());
}

}  // namespace
}  // namespace moevk::unit
