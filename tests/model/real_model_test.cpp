// SPDX-License-Identifier: MIT
//
// In:  models/tiny-moe-f16.gguf and models/oracle/, as they ship.
// Out: the reader finds the model's layers and figures, and plain loops over the weights that it
//      points to give the oracle's numbers.
// Why: hidden = intermediate = 256 here, so a transposed or shifted matrix shows in values only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tools/model/moe_model.h"
#include "tools/model/npy.h"

namespace moevk::model {
namespace {

constexpr char kModel[] = MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf";
constexpr size_t kTokens = 256;
constexpr size_t kHidden = 256;
constexpr size_t kExperts = 8;

std::vector<double> oracle(size_t layer, const char* what) {
  const auto array = read_npy(MOEVK_SOURCE_DIR "/models/oracle/l" + std::to_string(layer) + "." + what + ".npy");
  EXPECT_TRUE(array.ok()) << array.error().text();
  return array.ok() ? array->to_f64() : std::vector<double>{};
}

double half(const std::byte* bytes, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, bytes + 2 * index, 2);
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

TEST(RealModel, Figures) {
  const auto file = GgufFile::open(kModel);
  ASSERT_TRUE(file.ok()) << file.error().text();
  const auto model = find_moe_layers(*file);
  ASSERT_TRUE(model.ok()) << model.error().text();
  EXPECT_EQ(model->architecture, "qwen3moe");
  EXPECT_EQ(model->name, "tiny-moe");
  EXPECT_EQ(model->layers.size(), 4u);
  EXPECT_EQ(model->totals.parameters, 7222016u);
  EXPECT_EQ(model->totals.active_parameters, 7222016u - 4u * 6u * 3u * 65536u);
  EXPECT_EQ(model->totals.moe_bytes, 4u * (8u * 3u * 65536u * 2u + 8u * 256u * 4u));
  EXPECT_EQ(model->totals.moe_bytes_per_token, 4u * (2u * 3u * 65536u * 2u + 8u * 256u * 4u));
  for (const MoeLayer& layer : model->layers) {
    EXPECT_EQ(layer.refusal, "");
    EXPECT_EQ(layer.tensors.size(), 4u);
    EXPECT_EQ(layer.desc.normalize, MOE_NORMALIZE_SUM_EPS);
  }
  const GgufValue* tokens = file->find_value("tokenizer.ggml.tokens");
  ASSERT_NE(tokens, nullptr);
  EXPECT_EQ(tokens->strings(SIZE_MAX).size(), 260u);
}

TEST(RealModel, OracleAgreesWithItself) {
  for (size_t layer = 0; layer < 4; ++layer) {
    const auto logits = oracle(layer, "logits");
    const auto selected = oracle(layer, "selected");
    const auto weights = oracle(layer, "weights");
    ASSERT_EQ(logits.size(), kTokens * kExperts);
    ASSERT_EQ(selected.size(), kTokens * 2);
    ASSERT_EQ(weights.size(), kTokens * 2);
    ASSERT_EQ(oracle(layer, "moe_in").size(), kTokens * kHidden);
    ASSERT_EQ(oracle(layer, "moe_out").size(), kTokens * kHidden);
    for (size_t t = 0; t < kTokens; ++t) {
      const double* l = &logits[t * kExperts];
      const auto a = static_cast<size_t>(selected[2 * t]);
      const auto b = static_cast<size_t>(selected[2 * t + 1]);
      ASSERT_LT(std::max(a, b), kExperts);
      for (size_t e = 0; e < kExperts; ++e) {
        EXPECT_LE(l[e], e == a ? l[a] : e == b ? l[b] : std::min(l[a], l[b]));
      }
      // Renormalised softmax over the two chosen; logits are stored in float32.
      EXPECT_NEAR(weights[2 * t], 1 / (1 + std::exp(l[b] - l[a])), 2e-6);
      EXPECT_NEAR(weights[2 * t] + weights[2 * t + 1], 1, 2e-7);
    }
  }
}

TEST(RealModel, PlainLoopsGiveTheOracle) {
  const auto file = GgufFile::open(kModel);
  ASSERT_TRUE(file.ok()) << file.error().text();
  const auto model = find_moe_layers(*file);
  ASSERT_TRUE(model.ok()) << model.error().text();
  for (size_t layer = 0; layer < 4; ++layer) {
    const std::byte* data[4] = {};
    for (const TensorSource& source : model->layers[layer].tensors) {
      const char* names[] = {"router.weight", "experts.gate", "experts.up", "experts.down"};
      const auto at = std::find(std::begin(names), std::end(names), source.name) - std::begin(names);
      data[at] = static_cast<const std::byte*>(memory_source(*file, source).memory);
    }
    const auto inputs = oracle(layer, "moe_in");
    const auto selected = oracle(layer, "selected");
    const auto weights = oracle(layer, "weights");
    const auto outputs = oracle(layer, "moe_out");
    const auto logits = oracle(layer, "logits");
    double error = 0;
    double size = 0;
    for (size_t t = 0; t < kTokens; t += 37) {
      const double* x = &inputs[t * kHidden];
      for (size_t e = 0; e < kExperts; ++e) {
        double sum = 0;
        for (size_t i = 0; i < kHidden; ++i) {
          float w;
          std::memcpy(&w, data[0] + 4 * (e * kHidden + i), 4);
          sum += static_cast<double>(w) * x[i];
        }
        EXPECT_NEAR(sum, logits[t * kExperts + e], 1e-5);
      }
      std::vector<double> y(kHidden, 0.0);
      for (size_t slot = 0; slot < 2; ++slot) {
        const size_t base = static_cast<size_t>(selected[2 * t + slot]) * kHidden * kHidden;
        std::vector<double> h(kHidden);
        for (size_t f = 0; f < kHidden; ++f) {  // [E, F, H]: a row of gate and up reads the input
          double g = 0;
          double u = 0;
          for (size_t i = 0; i < kHidden; ++i) {
            g += half(data[1], base + f * kHidden + i) * x[i];
            u += half(data[2], base + f * kHidden + i) * x[i];
          }
          h[f] = g / (1 + std::exp(-g)) * u;
        }
        for (size_t o = 0; o < kHidden; ++o) {  // [E, H, F]: a row of down reads the intermediate
          double sum = 0;
          for (size_t f = 0; f < kHidden; ++f) {
            sum += half(data[3], base + o * kHidden + f) * h[f];
          }
          y[o] += weights[2 * t + slot] * sum;
        }
      }
      for (size_t o = 0; o < kHidden; ++o) {
        const double difference = y[o] - outputs[t * kHidden + o];
        error += difference * difference;
        size += outputs[t * kHidden + o] * outputs[t * kHidden + o];
      }
    }
    // What storing weights and outputs in float32 leaves.
    EXPECT_LT(std::sqrt(error / size), 1e-7) << "layer " << layer;
  }
}

}  // namespace
}  // namespace moevk::model
