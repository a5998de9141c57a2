// SPDX-License-Identifier: MIT
//
// What a layer's kernels read and write, against docs/performance.md's formula; and that counting changes no result.
#include <cstring>

#include "tests/bytes/bytes_fixture.h"

namespace moe_bytes {
namespace {

constexpr double kMost = 1.1;  // of the formula
constexpr const char* kShape = "512,256,32,4";

class LayerBytes : public BytesTest, public ::testing::WithParamInterface<std::string> {
 protected:
  void expect_near_formula(const CountedCall& call) {
    const double counted = static_cast<double>(call.distinct());
    const AccessBytes weights = call.weights();
    EXPECT_LE(counted, kMost * call.least) << call.format << " T " << call.tokens;
    // Nothing of the formula can be left out, so less would be a miscount.
    EXPECT_GE(counted, call.least) << call.format << " T " << call.tokens;
    EXPECT_GE(static_cast<double>(weights.distinct), call.least_weights);
    std::printf("%s T %llu: %.3f of the formula; weights %.3f, asked for %.2f\n", call.format.c_str(),
                static_cast<unsigned long long>(call.tokens), counted / call.least,
                static_cast<double>(weights.distinct) / call.least_weights,
                static_cast<double>(weights.requested) / call.least_weights);
  }

  void expect_plain_bits(const CountedCall& call) {
    const std::vector<float> plain = plain_outputs(*library_host_, device_index_, kShape, call.format, call.tokens);
    ASSERT_EQ(plain.size(), call.y.size());
    EXPECT_EQ(std::memcmp(plain.data(), call.y.data(), plain.size() * sizeof(float)), 0)
        << call.format << " T " << call.tokens << ": counting has changed the result";
  }
};

TEST_P(LayerBytes, OfFewTokensAreThoseOfTheFormula) {
  const std::string format = GetParam();
  CountedDevice device(*library_host_, device_index_, false);
  const std::vector<CountedCall> calls = device.count(kShape, format, {1, 8});
  for (const CountedCall& call : calls) {
    EXPECT_TRUE(call.combines);
    expect_near_formula(call);
    expect_plain_bits(call);
    // Every load counted anew. In blocks neighbours ask for the same word of scales or codes.
    if (format == "f32" || format == "f16" || format == "bf16") {
      EXPECT_LE(static_cast<double>(call.weights().requested), kMost * call.least_weights) << "T " << call.tokens;
    }
  }
  // In all formats: an expert's weights are asked for once, however many tokens it has.
  EXPECT_LE(static_cast<double>(calls[1].weights().requested) / calls[1].least_weights,
            kMost * static_cast<double>(calls[0].weights().requested) / calls[0].least_weights);
}
INSTANTIATE_TEST_SUITE_P(Formats, LayerBytes,
                         ::testing::Values("f32", "f16", "bf16", "Q8_0", "Q4_0", "Q4_K", "Q6_K", "MXFP4"),
                         [](const auto& info) { return info.param; });

// f16 stands for all: tiles differ in how they decode alone. byte_table has the other formats.
using ManyTokens = LayerBytes;
TEST_P(ManyTokens, AreThoseOfTheFormula) {
  CountedDevice device(*library_host_, device_index_, false);
  const std::vector<CountedCall> calls = device.count(kShape, GetParam(), {512});
  EXPECT_FALSE(calls[0].combines);
  expect_near_formula(calls[0]);
  expect_plain_bits(calls[0]);
}
INSTANTIATE_TEST_SUITE_P(Formats, ManyTokens, ::testing::Values("f16"), [](const auto& info) { return info.param; });

// What neighbours ask for together is one access of their subgroup: a block is then read once.
using Subgroups = LayerBytes;
TEST_P(Subgroups, AskForABlockOnce) {
  CountedDevice device(*library_host_, device_index_, true);
  const std::vector<CountedCall> calls = device.count(kShape, GetParam(), {1});
  expect_near_formula(calls[0]);
  expect_plain_bits(calls[0]);
  EXPECT_LE(static_cast<double>(calls[0].weights().coalesced), kMost * calls[0].least_weights);
}
INSTANTIATE_TEST_SUITE_P(Formats, Subgroups, ::testing::Values("Q4_0"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace moe_bytes
