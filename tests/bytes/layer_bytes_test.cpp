// SPDX-License-Identifier: MIT
//
// What a layer's kernels read and write, against docs/performance.md's formula; and that counting changes no result.
#include <cstring>

#include "tests/bytes/bytes_fixture.h"

namespace moe_bytes {
namespace {

constexpr double kMost = 1.1;  // of the formula

struct Case {
  const char* format;
  // Whether a word is never read by two invocations of a pass: codes and scales of blocks are.
  bool words_apart;
  // Whether a word is never read by two subgroups of a pass: a superblock's scales are, where subgroups are narrow.
  bool blocks_apart;
};

class LayerBytes : public BytesTest, public ::testing::WithParamInterface<Case> {
 protected:
  static constexpr const char* kShape = "512,256,32,4";

  void expect_near_formula(const CountedCall& call) {
    const double counted = static_cast<double>(call.distinct());
    EXPECT_LE(counted, kMost * call.least) << call.format << " T " << call.tokens;
    // Nothing of the formula can be left out, so less would be a miscount.
    EXPECT_GE(counted, call.least) << call.format << " T " << call.tokens;
    EXPECT_GE(static_cast<double>(call.weights().distinct), call.least_weights);
    std::printf("%s T %llu: %.3f of the formula; weights %.3f, asked for %.2f by subgroups, %.2f by invocations\n",
                call.format.c_str(), static_cast<unsigned long long>(call.tokens), counted / call.least,
                static_cast<double>(call.weights().distinct) / call.least_weights,
                static_cast<double>(call.weights().coalesced) / call.least_weights,
                static_cast<double>(call.weights().requested) / call.least_weights);
  }

  void expect_plain_bits(const CountedCall& call) {
    const std::vector<float> plain = plain_outputs(*library_host_, device_index_, kShape, call.format, call.tokens);
    ASSERT_EQ(plain.size(), call.y.size());
    EXPECT_EQ(std::memcmp(plain.data(), call.y.data(), plain.size() * sizeof(float)), 0)
        << call.format << " T " << call.tokens << ": counting has changed the result";
  }
};

TEST_P(LayerBytes, OfFewTokensAreThoseOfTheFormula) {
  CountedDevice device(*library_host_, device_index_);
  for (const CountedCall& call : device.count(kShape, GetParam().format, {1, 8})) {
    EXPECT_TRUE(call.combines);
    expect_near_formula(call);
    expect_plain_bits(call);
    // Every load counted anew: an expert's weights are read once for all its tokens.
    const AccessBytes weights = call.weights();
    const double most = kMost * call.least_weights;
    if (GetParam().words_apart) {
      EXPECT_LE(static_cast<double>(weights.requested), most) << call.format << " T " << call.tokens;
    }
    if (GetParam().blocks_apart) {
      EXPECT_LE(static_cast<double>(weights.coalesced), most) << call.format << " T " << call.tokens;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, LayerBytes,
                         ::testing::Values(Case{"f32", true, true}, Case{"f16", true, true}, Case{"bf16", true, true},
                                           Case{"Q8_0", false, true}, Case{"Q4_0", false, true},
                                           Case{"Q4_K", false, false}, Case{"Q6_K", false, false},
                                           Case{"MXFP4", false, false}),
                         [](const auto& info) { return std::string(info.param.format); });

// f16 stands for all: tiles differ in how they decode alone. byte_table has the other formats.
using ManyTokens = LayerBytes;
TEST_P(ManyTokens, AreThoseOfTheFormula) {
  CountedDevice device(*library_host_, device_index_);
  const std::vector<CountedCall> calls = device.count(kShape, GetParam().format, {512});
  EXPECT_FALSE(calls[0].combines);
  expect_near_formula(calls[0]);
  expect_plain_bits(calls[0]);
}
INSTANTIATE_TEST_SUITE_P(Formats, ManyTokens, ::testing::Values(Case{"f16", true, true}),
                         [](const auto& info) { return std::string(info.param.format); });

}  // namespace
}  // namespace moe_bytes
