// SPDX-License-Identifier: MIT
//
// Encoders that search for scales, judged by ggml: as its decoder reads our blocks, their error is at most 1.02 times
// that of its own quantiser, on Gaussian rows, rows with outliers, rows around a mean, and the real model's experts.
// ggml's library is loaded while the test runs (see tests/support/ggml_base.h); without it: skipped.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/ggml_base.h"
#include "tools/model/block_encoder.h"
#include "tools/model/half.h"
#include "tools/model/moe_model.h"

namespace moevk::model {
namespace {

constexpr double kAllowed = 1.02;

class SearchedEncoder : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    const std::optional<moe_tests::SharedLibrary> ggml = moe_tests::ggml_base();
    if (!ggml) GTEST_SKIP() << moe_tests::kNoGgmlBase;
    quantise_ = ggml->find("ggml_quantize_chunk");
    const moe_tests::GgmlTraits* (*const traits)(int) = ggml->find("ggml_get_type_traits");
    traits_ = traits(static_cast<int>(GetParam()));
    type_ = find_ggml_type(GetParam());
    ASSERT_NE(type_, nullptr);
    ASSERT_EQ(traits_->block_bytes, type_->block_bytes);
    random_.seed(GetParam());
  }

  std::vector<float> normal(size_t numbers, float scale) {
    std::normal_distribution<float> draw;
    std::vector<float> row(numbers);
    for (float& w : row) w = scale * draw(random_);
    return row;
  }

  size_t bytes_of(size_t numbers) const { return numbers / type_->block_numbers * type_->block_bytes; }

  // Root mean square of what ggml's decoder leaves of `row`.
  double error_of(const std::vector<std::byte>& blocks, const std::vector<float>& row) const {
    std::vector<float> decoded(row.size());
    traits_->to_float(blocks.data(), decoded.data(), static_cast<int64_t>(row.size()));
    double sum = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const double rest = static_cast<double>(decoded[i]) - static_cast<double>(row[i]);
      sum += rest * rest;
    }
    return std::sqrt(sum / static_cast<double>(row.size()));
  }

  void expect_no_worse(const char* what, const std::vector<float>& row) const {
    std::vector<std::byte> ours(bytes_of(row.size())), theirs(ours.size());
    encode_row(GetParam(), row.data(), row.size(), ours.data());
    const auto numbers = static_cast<int64_t>(row.size());
    ASSERT_EQ(quantise_(static_cast<int>(GetParam()), row.data(), theirs.data(), 0, 1, numbers, nullptr),
              theirs.size());
    double squares = 0;
    for (const float w : row) squares += static_cast<double>(w) * static_cast<double>(w);
    const double rms = std::sqrt(squares / static_cast<double>(row.size()));
    const double mine = error_of(ours, row), other = error_of(theirs, row);
    std::printf("%-7s %-13s  error / RMS: ours %.6f, ggml's %.6f, ratio %.3f\n", type_->name, what, mine / rms,
                other / rms, mine / other);
    EXPECT_LE(mine, kAllowed * other) << what;
    EXPECT_LT(mine, rms) << what << ": no better than zeros";
  }

  moe_tests::GgmlQuantise quantise_ = nullptr;
  const moe_tests::GgmlTraits* traits_ = nullptr;
  const GgmlType* type_ = nullptr;
  std::mt19937 random_;
};

TEST_P(SearchedEncoder, ErrorIsNoWorseThanGgmls) {
  constexpr size_t kNumbers = 256 * 256;
  expect_no_worse("gaussian", normal(kNumbers, 0.02f));
  std::vector<float> row = normal(kNumbers, 0.02f);
  for (size_t i = 0; i < row.size(); ++i) {
    if (random_() % 50 == 0) row[i] *= 10;
  }
  expect_no_worse("outliers", row);
  row = normal(kNumbers, 0.02f);
  for (size_t i = 0; i < row.size(); ++i) row[i] += 0.01f * static_cast<float>(i / 256 % 5);
  expect_no_worse("around a mean", row);
  row = normal(kNumbers, 0.02f);
  for (size_t i = 0; i < row.size(); ++i) row[i] *= std::ldexp(1.0f, static_cast<int>(i / 16 * 7 % 9) - 4);
  expect_no_worse("uneven runs", row);
}

TEST_P(SearchedEncoder, ErrorOfTheRealModelsExpertsIsNoWorseThanGgmls) {
  const auto file = GgufFile::open(MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf");
  ASSERT_TRUE(file.ok()) << file.error().text();
  const auto model = find_moe_layers(*file);
  ASSERT_TRUE(model.ok()) << model.error().text();
  std::vector<float> row;  // every 8th row of each matrix
  for (const MoeLayer& layer : model->layers) {
    for (const TensorSource& source : layer.tensors) {
      if (!source.name.starts_with("experts.")) continue;
      const std::byte* bytes = file->tensor_bytes(*source.tensor).data();
      for (uint64_t i = 0; i < source.tensor->numbers; ++i) {
        if (i / source.tensor->ne[0] % 8 != 0) continue;
        uint16_t half = 0;
        std::memcpy(&half, bytes + 2 * i, 2);
        row.push_back(half_to_float(half));
      }
    }
  }
  ASSERT_GT(row.size(), 100000u);
  expect_no_worse("tiny-moe", row);
}

INSTANTIATE_TEST_SUITE_P(Types, SearchedEncoder,
                         testing::Values(kGgmlQ2_K, kGgmlQ3_K, kGgmlQ4_K, kGgmlQ5_K, kGgmlQ6_K, kGgmlIq3S, kGgmlIq4Nl,
                                         kGgmlIq4Xs, kGgmlTq1_0, kGgmlTq2_0, kGgmlQ1_0, kGgmlQ2_0),
                         [](const auto& one) { return std::string(find_ggml_type(one.param)->name); });

}  // namespace
}  // namespace moevk::model
