// SPDX-License-Identifier: MIT
//
// Block formats without any other library at hand: the table moves every bit of a block exactly once, packing comes back
// for random rows, and blocks written by hand decode to numbers worked out on paper. ggml_oracle_test.cpp compares with
// ggml itself, where it is there.
#include "runtime/block_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <set>

#include "runtime/codebooks.h"

namespace moevk::unit {
namespace {

class EveryFormat : public testing::TestWithParam<uint32_t> {
 protected:
  const BlockFormat& format() const { return *find_block_format(static_cast<WeightFormat>(GetParam())); }
};

TEST_P(EveryFormat, FieldsCoverEachBitOnce) {
  const BlockFormat& f = format();
  EXPECT_EQ(static_cast<uint32_t>(f.format), GetParam());
  EXPECT_EQ(find_ggml_block_format(f.ggml_type), &f);
  EXPECT_EQ(f.elements % 32, 0u);
  std::set<uint32_t> bits;
  uint32_t plane = 0, plane_bytes = 0;
  for (const BlockField& field : f.fields) {
    if (field.count == 0) continue;
    if (field.plane != plane) {
      EXPECT_EQ(field.plane, plane + 1);
      EXPECT_EQ(plane_bytes % 4, 0u) << "plane " << plane << " is followed by another and has no whole words";
      plane = field.plane;
      plane_bytes = 0;
    }
    plane_bytes += field.bytes();
    const uint32_t per = 8 / field.bits;
    EXPECT_TRUE(field.stride == 1 || field.stride % 8 == 0 || (field.stride == 4 && field.bits == 2));
    for (uint32_t n = 0; n < field.count; ++n) {
      const uint32_t byte = field.byte + n / (field.stride * per) * field.stride + n % field.stride;
      ASSERT_LT(byte, f.bytes);
      for (uint32_t i = 0; i < field.bits; ++i) {
        EXPECT_TRUE(bits.insert(byte * 8 + n / field.stride % per * field.bits + i).second);
      }
    }
  }
  EXPECT_EQ(bits.size(), f.bytes * 8);
}

TEST_P(EveryFormat, UnpackingGivesTheBytesBack) {
  const BlockFormat& f = format();
  std::mt19937 random(GetParam());
  for (const uint32_t blocks : {1u, 2u, 3u, 16u}) {
    std::vector<std::byte> row(size_t{blocks} * f.bytes), packed(row.size()), back(row.size(), std::byte{0x5A});
    for (std::byte& b : row) b = static_cast<std::byte>(random());
    pack_row(f, uint64_t{blocks} * f.elements, row.data(), packed.data());
    unpack_row(f, uint64_t{blocks} * f.elements, packed.data(), back.data());
    EXPECT_EQ(back, row) << blocks << " blocks";
    EXPECT_TRUE(blocks == 1 || packed != row);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::Range(kNumberFormatQ40, kWeightFormats),
                         [](const auto& info) { return format_name(static_cast<WeightFormat>(info.param)); });

// Codes of 4 bits stand in the order of the elements, the first in the lowest bits; scales follow all of them.
TEST(BlockFormat, PackedRowByHand) {
  const BlockFormat& f = *find_block_format(WeightFormat::kQ4_0);
  std::vector<std::byte> row(36), packed(36);
  for (uint32_t b = 0; b < 2; ++b) {
    row[b * 18] = static_cast<std::byte>(0xA0 + b);
    row[b * 18 + 1] = static_cast<std::byte>(0xB0 + b);
    // Element i of the file's block: the low half of byte i, element 16 + i: the high half. Its code: i mod 16.
    for (uint32_t i = 0; i < 16; ++i) row[b * 18 + 2 + i] = static_cast<std::byte>(i | i << 4);
  }
  pack_row(f, 64, row.data(), packed.data());
  for (uint32_t i = 0; i < 64; i += 2) {
    EXPECT_EQ(packed[i / 2], static_cast<std::byte>(i % 16 | (i + 1) % 16 << 4)) << i;
  }
  const std::byte scales[] = {std::byte{0xA0}, std::byte{0xB0}, std::byte{0xA1}, std::byte{0xB1}};
  EXPECT_TRUE(std::equal(std::begin(scales), std::end(scales), packed.begin() + 32));
}

struct Golden {
  WeightFormat format;
  std::vector<std::pair<uint32_t, uint32_t>> bytes;  // place, value; the others are 0
  std::vector<std::pair<uint32_t, float>> weights;   // element, value
};

// 1.0 is the half 3C00, 0.5 is 3800, 2.0 is 4000.
const std::vector<Golden>& goldens() {
  using F = WeightFormat;
  static const std::vector<Golden> all = {
      // d = 0.5; byte 0: codes 3 (element 0) and 15 (element 16); the others have code 0: (0 - 8) / 2
      {F::kQ4_0, {{1, 0x38}, {2, 0xF3}}, {{0, -2.5f}, {16, 3.5f}, {1, -4.0f}, {31, -4.0f}}},
      // d = 0.5, m = 1
      {F::kQ4_1, {{1, 0x38}, {3, 0x3C}, {4, 0xF3}}, {{0, 2.5f}, {16, 8.5f}, {1, 1.0f}}},
      // d = 1; fifth bits of elements 0 and 17
      {F::kQ5_0, {{1, 0x3C}, {2, 1}, {4, 2}, {6, 0x03}}, {{0, 3.0f}, {16, -16.0f}, {17, 0.0f}}},
      {F::kQ5_1, {{1, 0x3C}, {3, 0xBC}, {4, 1}, {8, 0x03}}, {{0, 18.0f}, {1, -1.0f}}},
      {F::kQ8_0, {{1, 0x40}, {2, 0x7F}, {33, 0x80}}, {{0, 254.0f}, {31, -256.0f}, {1, 0.0f}}},
      // Run 1 (elements 16..31): scale 3, minimum 2; d = 1, dmin = 0.5; element 16: code 2; element 48: code 1 in run 3
      {F::kQ2K, {{1, 0x23}, {3, 0x01}, {32, 0x06}, {81, 0x3C}, {83, 0x38}}, {{16, 5.0f}, {17, -1.0f}, {48, 1.0f}}},
      // Run 0: scale 33 of 64 - 32 = 1 (low 4 bits 1, high bits 2); element 0: code 2, high bit set: 2
      {F::kQ3K, {{0, 1}, {32, 2}, {96, 1}, {104, 2}, {109, 0x3C}}, {{0, 2.0f}, {1, -4.0f}, {16, 128.0f}}},
      // Run 0: scale 2, minimum 3; run 4 (elements 128..159): scale 17, minimum 33, whose high bits stand in runs 0's
      {F::kQ4K,
       {{1, 0x3C}, {3, 0x3C}, {4, 0x42}, {8, 0x83}, {12, 0x11}, {16, 0x05}, {80, 0x02}},
       {{0, 7.0f}, {1, -3.0f}, {32, 0.0f}, {128, 1.0f}, {129, -33.0f}}},
      {F::kQ5K, {{1, 0x3C}, {4, 0x02}, {16, 0x01}, {48, 0x05}}, {{0, 42.0f}, {1, 0.0f}}},
      // Run 0 has scale -2; element 0: code 5 + 16 * 3 = 53: 21; element 32 has run 2, scale 1
      {F::kQ6K, {{0, 5}, {128, 3}, {192, 0xFE}, {194, 1}, {209, 0x3C}}, {{0, -42.0f}, {1, 64.0f}, {32, -32.0f}}},
      {F::kIq4Nl, {{1, 0x3C}, {2, 0xF0}}, {{0, -127.0f}, {16, 113.0f}, {1, -127.0f}}},
      // Run 0: scale 1 + 16 * 2 - 32 = 1
      {F::kIq4Xs, {{1, 0x3C}, {2, 2}, {4, 1}, {8, 0x80}}, {{0, -127.0f}, {16, 1.0f}, {32, 4064.0f}}},
      // Code 0 is eight times 8; signs 1: elements 0 and 7 are negative; scale 0 + 0.5, over 4
      {F::kIq2Xxs, {{1, 0x3C}, {6, 1}}, {{0, -1.0f}, {1, 1.0f}, {7, -1.0f}, {8, 1.0f}}},
      {F::kIq2Xs, {{1, 0x3C}, {3, 2}, {66, 1}}, {{0, -3.0f}, {1, 3.0f}, {7, -3.0f}, {16, 1.0f}}},
      {F::kIq2S, {{1, 0x3C}, {34, 2}}, {{0, 1.0f}, {1, -1.0f}, {7, 1.0f}}},
      {F::kIq3Xxs, {{1, 0x3C}, {66, 1}}, {{0, -1.0f}, {1, 1.0f}, {7, -1.0f}}},
      {F::kIq3S, {{1, 0x3C}, {74, 4}, {106, 2}}, {{0, 5.0f}, {2, -5.0f}, {32, 1.0f}}},
      // Code 0 is eight times -1; moved up by an eighth, or down where the top bit is set; scale 2 * 1 + 1
      {F::kIq1S, {{1, 0x3C}, {35, 0x10}, {37, 0x80}}, {{0, -2.625f}, {32, -1.125f}, {64, -0.875f}}},
      // d = 1 in the top bits of the last words
      {F::kIq1M, {{32, 0x80}, {53, 0xC0}, {55, 0x30}}, {{0, -0.875f}, {8, -1.125f}}},
      // As fractions of 256: 255 is above two thirds, digit 2; 86 above one, digit 1
      {F::kTq1_0, {{0, 255}, {48, 86}, {53, 0x3C}}, {{0, 1.0f}, {1, -1.0f}, {240, 0.0f}}},
      {F::kTq2_0, {{0, 0xE4}, {65, 0x3C}}, {{0, -1.0f}, {32, 0.0f}, {64, 1.0f}, {96, 2.0f}}},
      // 2^(128 - 127), levels by half
      {F::kMxfp4, {{0, 128}, {1, 0xF7}}, {{0, 12.0f}, {16, -12.0f}, {1, 0.0f}}},
      // Scale 1.0 is 0x38; 0x7F, which would be NaN, is 0; the top bit says nothing
      {F::kNvfp4,
       {{0, 0x38}, {1, 0x7F}, {2, 0xB8}, {4, 0x21}, {12, 0x77}, {20, 0x0F}},
       {{0, 0.5f}, {8, 1.0f}, {16, 0.0f}, {32, -6.0f}}},
      {F::kQ1_0, {{1, 0x3C}, {2, 2}}, {{0, -1.0f}, {1, 1.0f}, {127, -1.0f}}},
      {F::kQ2_0, {{1, 0x3C}, {2, 0xE4}}, {{0, -1.0f}, {1, 0.0f}, {2, 1.0f}, {3, 2.0f}, {4, -1.0f}}},
  };
  return all;
}

TEST(BlockFormat, GoldenBlocks) {
  std::set<WeightFormat> seen;
  for (const Golden& golden : goldens()) {
    seen.insert(golden.format);
    const BlockFormat& f = *find_block_format(golden.format);
    std::vector<std::byte> block(f.bytes);
    for (const auto& [place, value] : golden.bytes) block.at(place) = static_cast<std::byte>(value);
    std::vector<float> weights(f.elements);
    decode_block(f, block.data(), weights.data());
    for (const auto& [element, value] : golden.weights) EXPECT_EQ(weights[element], value) << f.name << " " << element;
  }
  EXPECT_EQ(seen.size(), kWeightFormats - kNumberFormatQ40);
}

// A scale of infinity or NaN is what the formula makes of it; a subnormal one is an ordinary number.
TEST(BlockFormat, UnusualScales) {
  const auto weights = [](std::initializer_list<uint32_t> head) {
    std::vector<std::byte> block(18);
    size_t at = 0;
    for (const uint32_t byte : head) block[at++] = static_cast<std::byte>(byte);
    std::vector<float> values(32);
    decode_block(*find_block_format(WeightFormat::kQ4_0), block.data(), values.data());
    return values;
  };
  std::vector<float> w = weights({0, 0x7C, 0x9F});  // infinity; codes 15 and 9
  EXPECT_EQ(w[0], INFINITY);
  EXPECT_EQ(w[16], INFINITY);
  EXPECT_EQ(w[1], -INFINITY);
  EXPECT_TRUE(std::isnan(weights({0, 0x7C, 8})[0]));  // 0 times infinity
  EXPECT_TRUE(std::isnan(weights({1, 0x7C, 9})[0]));
  EXPECT_EQ(weights({1, 0, 9})[0], 0x1p-24f);
  EXPECT_EQ(weights({1, 0x80, 15})[0], -7 * 0x1p-24f);
}

// The words as they were when ggml's own decoder agreed with each of them (ggml_oracle_test.cpp): FNV-1a.
TEST(Codebooks, AreThoseThatGgmlConfirmed) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const uint32_t word : codebook_words()) hash = (hash ^ word) * 0x100000001B3u;
  EXPECT_EQ(hash, 10921854368913160525u);
}

TEST(Codebooks, SizesLevelsAndWords) {
  const struct {
    Codebook book;
    uint32_t size, place;
  } books[] = {{Codebook::kIq2Xxs, 256, kNumberCodebookIq2Xxs}, {Codebook::kIq2Xs, 512, kNumberCodebookIq2Xs},
               {Codebook::kIq2S, 1024, kNumberCodebookIq2S},    {Codebook::kIq1, 2048, kNumberCodebookIq1},
               {Codebook::kIq3Xxs, 256, kNumberCodebookIq3Xxs}, {Codebook::kIq3S, 512, kNumberCodebookIq3S}};
  ASSERT_EQ(codebook_words().size(), kNumberCodebookWords);
  for (const auto& b : books) {
    ASSERT_EQ(codebook_size(b.book), b.size);
    for (uint32_t code = 0; code < b.size; ++code) {
      const uint32_t word = codebook_words()[b.place + code / 2];
      EXPECT_EQ(code % 2 == 0 ? word & 0xFFFF : word >> 16, codebook_levels(b.book, code));
      EXPECT_TRUE(code == 0 || codebook_levels(b.book, code) != codebook_levels(b.book, code - 1));
    }
    EXPECT_EQ(codebook_levels(b.book, 0), 0u);
  }
}

}  // namespace
}  // namespace moevk::unit
