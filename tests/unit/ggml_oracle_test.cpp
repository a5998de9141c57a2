// SPDX-License-Identifier: MIT
//
// Decoding of every GGUF block format against ggml's own: random blocks, blocks with every code in every place, every
// scale of 16 bits, every code of every codebook, and blocks from ggml's own quantiser. ggml's library is loaded while
// the test runs (MOEVK_GGML_LIBRARY; scripts/test takes that of scripts/lab hosts), so that nothing here needs it to
// build; without it the tests are skipped.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include "runtime/block_format.h"
#include "tests/support/ggml_base.h"

namespace moevk::unit {
namespace {

using moe_tests::GgmlTraits;

class GgmlOracle : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    const std::optional<moe_tests::SharedLibrary> ggml = moe_tests::ggml_base();
    if (!ggml) GTEST_SKIP() << moe_tests::kNoGgmlBase;
    const GgmlTraits* (*const traits)(int) = ggml->find("ggml_get_type_traits");
    quantise_ = ggml->find("ggml_quantize_chunk");
    format_ = find_block_format(static_cast<WeightFormat>(GetParam()));
    ASSERT_NE(format_, nullptr);
    traits_ = traits(static_cast<int>(format_->ggml_type));
    ASSERT_NE(traits_->to_float, nullptr);
    ASSERT_EQ(traits_->block_elements, format_->elements);
    ASSERT_EQ(traits_->block_bytes, format_->bytes);
    random_.seed(GetParam());
  }

  std::vector<std::byte> random_block() {
    std::vector<std::byte> block(format_->bytes);
    for (std::byte& b : block) b = static_cast<std::byte>(random_());
    return block;
  }

  void set16(std::vector<std::byte>& block, size_t at, uint32_t bits) {
    block[at] = static_cast<std::byte>(bits);
    block[at + 1] = static_cast<std::byte>(bits >> 8);
  }

  // The same bits, or both NaN.
  bool same(const std::vector<std::byte>& block) {
    std::vector<float> ours(format_->elements), theirs(format_->elements);
    decode_block(*format_, block.data(), ours.data());
    traits_->to_float(block.data(), theirs.data(), format_->elements);
    for (size_t i = 0; i < ours.size(); ++i) {
      if (std::isnan(ours[i]) && std::isnan(theirs[i])) continue;
      if (std::bit_cast<uint32_t>(ours[i]) == std::bit_cast<uint32_t>(theirs[i])) continue;
      ADD_FAILURE() << format_->name << ", element " << i << ": " << ours[i] << ", ggml has " << theirs[i];
      return false;
    }
    return true;
  }

  moe_tests::GgmlQuantise quantise_ = nullptr;
  const BlockFormat* format_ = nullptr;
  const GgmlTraits* traits_ = nullptr;
  std::mt19937 random_;
};

TEST_P(GgmlOracle, RandomBlocks) {
  for (int i = 0; i < 20000; ++i) ASSERT_TRUE(same(random_block()));
}

// A byte at a time takes all values while its neighbours are random: each code, sign, scale and shift in each place.
TEST_P(GgmlOracle, EveryByteInEveryPlace) {
  for (uint32_t at = 0; at < format_->bytes; ++at) {
    std::vector<std::byte> block = random_block();
    for (uint32_t value = 0; value < 256; ++value) {
      block[at] = static_cast<std::byte>(value);
      ASSERT_TRUE(same(block));
    }
  }
}

// Every pair of neighbouring bytes takes all 65536 values: halves with all their subnormals, infinities and NaNs, and
// codes that are wider than a byte.
TEST_P(GgmlOracle, EveryPairOfBytes) {
  const uint32_t pairs = format_->bytes / 2;
  for (uint32_t pair = 0; pair < pairs; ++pair) {
    const bool first_or_last = pair < 4 || pair + 4 > pairs;  // where scales are; the others by a sample
    std::vector<std::byte> block = random_block();
    for (uint32_t value = 0; value < 65536; value += first_or_last ? 1 : 257) {
      set16(block, 2 * size_t{pair}, value);
      ASSERT_TRUE(same(block));
    }
  }
}

// All bits 0, all 1, and the same with each half at the extremes.
TEST_P(GgmlOracle, Extremes) {
  static constexpr uint32_t kHalves[] = {0,      0x8000, 1,      0x8001, 0x3FF,  0x400,  0x3C00, 0xBC00,
                                         0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7C01};
  for (const uint32_t fill : {0u, 255u, 0x55u, 0xAAu}) {
    std::vector<std::byte> block(format_->bytes, static_cast<std::byte>(fill));
    ASSERT_TRUE(same(block));
    for (size_t at = 0; at + 1 < block.size(); ++at) {
      for (const uint32_t half : kHalves) {
        std::vector<std::byte> changed = block;
        set16(changed, at, half);
        ASSERT_TRUE(same(changed));
      }
    }
  }
}

TEST_P(GgmlOracle, BlocksOfItsOwnQuantiser) {
  constexpr int64_t kRows = 8, kColumns = 1024;
  std::normal_distribution<float> normal(0, 0.1f);
  std::vector<float> values(kRows * kColumns), importance(kColumns, 1.0f);
  for (float& v : values) v = normal(random_);
  std::vector<std::byte> data(kRows * row_bytes(format_->format, kColumns));
  const size_t bytes = quantise_(static_cast<int>(format_->ggml_type), values.data(), data.data(), 0, kRows, kColumns,
                                 importance.data());
  ASSERT_EQ(bytes, data.size());
  double error = 0, power = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    std::vector<float> ours(kColumns), theirs(kColumns);
    const std::byte* at = data.data() + static_cast<size_t>(row) * row_bytes(format_->format, kColumns);
    decode_row(format_->format, at, kColumns, ours.data());
    traits_->to_float(at, theirs.data(), kColumns);
    ASSERT_EQ(std::memcmp(ours.data(), theirs.data(), kColumns * sizeof(float)), 0) << format_->name << ", row " << row;
    for (int64_t i = 0; i < kColumns; ++i) {
      const double value = values[static_cast<size_t>(row * kColumns + i)];
      error += (ours[static_cast<size_t>(i)] - value) * (ours[static_cast<size_t>(i)] - value);
      power += value * value;
    }
  }
  EXPECT_LT(error, power) << format_->name;  // an approximation of what went in: at least better than zeros
}

INSTANTIATE_TEST_SUITE_P(Formats, GgmlOracle, testing::Range(kNumberFormatQ40, kWeightFormats),
                         [](const auto& info) { return format_name(static_cast<WeightFormat>(info.param)); });

}  // namespace
}  // namespace moevk::unit
