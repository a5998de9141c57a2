// SPDX-License-Identifier: MIT
//
// Our encoders of block types against ggml's own, bit for bit: random rows of many sizes, equal weights, zeros, ties,
// outliers. ggml's library is loaded while the test runs (see tests/unit/ggml_oracle_test.cpp); without it: skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/ggml_base.h"
#include "tools/model/block_encoder.h"
#include "tools/model/ggml_type.h"

namespace moevk::model {
namespace {

class EncoderOracle : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    const std::optional<moe_tests::SharedLibrary> ggml = moe_tests::ggml_base();
    if (!ggml) GTEST_SKIP() << moe_tests::kNoGgmlBase;
    quantise_ = ggml->find("ggml_quantize_chunk");
    type_ = find_ggml_type(GetParam());
    ASSERT_NE(type_, nullptr);
    random_.seed(GetParam());
  }

  void expect_same(const std::vector<float>& row, const char* what) {
    const size_t bytes = row.size() / type_->block_numbers * type_->block_bytes;
    std::vector<std::byte> ours(bytes), theirs(bytes);
    encode_row(GetParam(), row.data(), row.size(), ours.data());
    const auto numbers = static_cast<int64_t>(row.size());
    ASSERT_EQ(quantise_(static_cast<int>(GetParam()), row.data(), theirs.data(), 0, 1, numbers, nullptr), bytes);
    const auto differs = std::mismatch(ours.begin(), ours.end(), theirs.begin()).first;
    EXPECT_EQ(differs, ours.end()) << what << ": byte " << differs - ours.begin() << " of " << bytes;
  }

  moe_tests::GgmlQuantise quantise_ = nullptr;
  const GgmlType* type_ = nullptr;
  std::mt19937 random_;
};

TEST_P(EncoderOracle, RandomRows) {
  std::normal_distribution<float> normal;
  for (int round = 0; round < 300; ++round) {
    const float scale = std::ldexp(1.0f, round % 34 - 24);
    std::vector<float> row(32 * (1 + static_cast<size_t>(round) % 8));
    for (float& w : row) w = scale * normal(random_);
    if (round % 5 == 0) row[static_cast<size_t>(round) % row.size()] *= 40;  // an outlier
    expect_same(row, "random");
  }
}

TEST_P(EncoderOracle, EqualWeightsZerosAndTies) {
  expect_same(std::vector<float>(32, 0.0f), "zeros");
  expect_same(std::vector<float>(64, -0.25f), "equal");
  expect_same(std::vector<float>(32, 3.0f), "equal");
  std::vector<float> row(32);
  for (size_t i = 0; i < row.size(); ++i) row[i] = (i % 2 == 0 ? 1.0f : -1.0f) * 8;
  expect_same(row, "two largest of either sign");
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i) / 2 - 8;
  expect_same(row, "halves");
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(static_cast<int>(i) - 16) * 0.25f;
  expect_same(row, "between two codes");
}

INSTANTIATE_TEST_SUITE_P(Types, EncoderOracle,
                         testing::Values(kGgmlQ4_0, kGgmlQ4_1, kGgmlQ5_0, kGgmlQ5_1, kGgmlQ8_0, kGgmlMxfp4),
                         [](const auto& one) { return std::string(find_ggml_type(one.param)->name); });

}  // namespace
}  // namespace moevk::model
