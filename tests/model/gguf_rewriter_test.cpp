// SPDX-License-Identifier: MIT
//
// A rewritten GGUF file: what was asked for is encoded, all else is as it was, and what cannot be done leaves no file.
#include "tools/model/gguf_rewriter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>

#include "tests/model/opened_model.h"
#include "tests/support/scratch_folder.h"
#include "tools/model/block_encoder.h"
#include "tools/model/half.h"

namespace moevk::model {
namespace {

namespace fs = std::filesystem;

SampleShape wide() {
  SampleShape shape;
  shape.hidden = 64;
  shape.intermediate = 32;
  return shape;
}

GgufWriter sample() {
  GgufWriter file = sample_qwen3moe(wide());
  file.u32("general.file_type", 1);
  return file;
}

class GgufRewriter : public testing::Test {
 protected:
  std::string path() const { return (folder_ / "out.gguf").string(); }
  bool nothing_is_left() const { return fs::is_empty(folder_.path()); }

  static Rewrite experts(const Opened& opened, uint32_t type) {
    Rewrite rewrite;
    rewrite.type = type;
    for (const MoeLayer& layer : opened.model->layers) {
      for (const TensorSource& source : layer.tensors) {
        if (source.name.starts_with("experts.")) rewrite.tensors.push_back(source.tensor);
      }
    }
    return rewrite;
  }

  moe_tests::ScratchFolder folder_;
};

TEST_F(GgufRewriter, EncodesTheExpertsAndCopiesAllElse) {
  const Opened opened(sample());
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const Rewrite rewrite = experts(opened, kGgmlQ8_0);
  ASSERT_EQ(rewrite.tensors.size(), 6u);
  const auto written = rewrite_gguf(*opened.file, path(), rewrite);
  ASSERT_TRUE(written.ok()) << written.error().text();
  EXPECT_EQ(*written, fs::file_size(path()));

  const auto file = GgufFile::open(path());
  ASSERT_TRUE(file.ok()) << file.error().text();
  ASSERT_EQ(file->metadata().size(), opened.file->metadata().size());
  for (size_t i = 0; i < file->metadata().size(); ++i) {
    const GgufValue &now = file->metadata()[i], &then = opened.file->metadata()[i];
    EXPECT_EQ(now.key, then.key);
    const bool same = std::equal(now.payload.begin(), now.payload.end(), then.payload.begin(), then.payload.end());
    EXPECT_EQ(same, now.key != "general.file_type") << now.key;
  }
  EXPECT_EQ(file->find_value("general.file_type")->as_u64(), 7u);
  ASSERT_EQ(file->tensors().size(), opened.file->tensors().size());
  size_t encoded = 0;
  for (const TensorInfo& then : opened.file->tensors()) {
    const TensorInfo* now = file->find_tensor(then.name);
    ASSERT_NE(now, nullptr) << then.name;
    EXPECT_TRUE(std::equal(now->ne, now->ne + 4, then.ne)) << then.name;
    const auto have = file->tensor_bytes(*now), want = opened.file->tensor_bytes(then);
    if (now->type == then.type) {
      EXPECT_TRUE(std::equal(have.begin(), have.end(), want.begin(), want.end())) << then.name;
      continue;
    }
    ++encoded;
    EXPECT_EQ(now->type->id, kGgmlQ8_0);
    for (uint64_t i = 0; i < then.numbers; ++i) {
      const std::byte* block = have.data() + i / 32 * 34;
      uint16_t scale = 0, half = 0;
      std::memcpy(&scale, block, 2);
      std::memcpy(&half, want.data() + 2 * i, 2);
      const float d = half_to_float(scale), x = half_to_float(half);
      ASSERT_NEAR(d * static_cast<float>(static_cast<int8_t>(block[2 + i % 32])), x, 0.51f * d + 1e-7f) << then.name;
    }
  }
  EXPECT_EQ(encoded, 6u);
  const auto model = find_moe_layers(*file);
  ASSERT_TRUE(model.ok()) << model.error().text();
  EXPECT_EQ(model->layers[1].desc.down_format.preset, 1 + kGgmlQ8_0);
  EXPECT_EQ(model->layers[1].refusal, "");
}

TEST_F(GgufRewriter, OverwritesNothing) {
  const Opened opened(sample());
  ASSERT_TRUE(rewrite_gguf(*opened.file, path(), experts(opened, kGgmlQ4_0)).ok());
  const uint64_t size = fs::file_size(path());
  const auto again = rewrite_gguf(*opened.file, path(), experts(opened, kGgmlQ8_0));
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().text().find("exists"), std::string::npos) << again.error().text();
  EXPECT_EQ(fs::file_size(path()), size);
}

TEST_F(GgufRewriter, WhatCannotBeDoneIsSaidAndLeavesNoFile) {
  const auto refused = [&](const Opened& opened, const Rewrite& rewrite, const char* part) {
    const auto written = rewrite_gguf(*opened.file, path(), rewrite);
    ASSERT_FALSE(written.ok()) << part;
    EXPECT_NE(written.error().text().find(part), std::string::npos) << written.error().text();
    EXPECT_TRUE(nothing_is_left()) << part;
  };
  const Opened opened(sample());
  refused(opened, experts(opened, 18), "none of F32");  // IQ3_XXS
  SampleShape narrow = wide();
  narrow.intermediate = 48;
  const Opened odd(sample_qwen3moe(narrow));
  refused(odd, experts(odd, kGgmlQ8_0), "no multiple of the 32");
  refused(opened, experts(opened, kGgmlQ4_K), "no multiple of the 256 of a block of Q4_K");
  SampleShape quantised = wide();
  quantised.type = kGgmlQ8_0;
  const Opened blocks(sample_qwen3moe(quantised));
  refused(blocks, experts(blocks, kGgmlQ4_0), "is Q8_0: quantise from");
  Rewrite stopped = experts(opened, kGgmlQ8_0);
  stopped.progress = [](uint64_t done, uint64_t total) { return done < total / 2; };
  refused(opened, stopped, "stopped");

  GgufWriter file = sample();
  std::vector<std::byte> infinite(32 * 2);
  infinite[2 * 5 + 1] = std::byte{0x7C};
  file.tensor_with("blk.9.weight", {32}, kGgmlF16, infinite);
  const Opened with(file);
  Rewrite one;
  one.type = kGgmlQ8_0;
  one.tensors = {with.file->find_tensor("blk.9.weight")};
  refused(with, one, "inf");
  one.type = kGgmlIq4Nl;
  refused(with, one, "inf");
  const Opened fine(sample());
  const std::string nowhere = (folder_ / "no" / "such.gguf").string();
  EXPECT_FALSE(rewrite_gguf(*fine.file, nowhere, experts(fine, kGgmlQ8_0)).ok());
}

}  // namespace
}  // namespace moevk::model
