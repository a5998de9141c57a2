// SPDX-License-Identifier: MIT
//
// Whole plans as text, to be read: tests/golden/NAME.plan. A change of planning shows here as a diff. With
// UPDATE_GOLDEN=1 the files are written instead of compared (scripts/update-golden does it).
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>

#include "runtime/plan_text.h"
#include "tests/layers/layer_shapes.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

struct Golden {
  std::string name;
  LayerShape layer;
  std::string device;  // of tests/devices, or windows-only
  WeightFormat format;
  uint64_t tokens;
};

Golden on_device(const std::string& layer, const std::string& device, WeightFormat format, uint64_t tokens) {
  return {layer + "-t" + std::to_string(tokens) + "-" + device, layer_shape(layer), device, format, tokens};
}

const std::vector<Golden>& golden_plans() {
  LayerShape own_width = layer_shape("olmoe");  // no model has it: a width that does not join
  own_width.shared = 1536;
  own_width.shared_gate = MOE_SHARED_GATE_SIGMOID;
  LayerShape odd = {"odd", 1001, 333, 7, 3};
  odd.flags = MOE_LAYER_INPUT_NORM;
  constexpr WeightFormat kF32 = WeightFormat::kF32, kF16 = WeightFormat::kF16, kBf16 = WeightFormat::kBf16;
  static const std::vector<Golden> all = {
      {"mixtral-8x7b-t1", layer_shape("mixtral-8x7b"), "lavapipe-22.3", kF16, 1},
      {"qwen3-30b-t1", layer_shape("qwen3-30b"), "wide-discrete", kF16, 1},
      {"qwen3-30b-t8", layer_shape("qwen3-30b"), "wide-discrete", kF16, 8},
      {"qwen3-30b-t64", layer_shape("qwen3-30b"), "wide-discrete", kF16, 64},
      {"qwen3-30b-t512", layer_shape("qwen3-30b"), "wide-discrete", kF16, 512},
      {"deepseek-v3-t512", layer_shape("deepseek-v3"), "lavapipe-25.0", kBf16, 512},
      {"deepseek-v3-t4096-chunks", layer_shape("deepseek-v3"), "wide-discrete", kBf16, 4096},
      {"qwen1.5-moe-t1-shared-joins", layer_shape("qwen1.5-moe"), "lavapipe-25.0", kF16, 1},
      {"shared-width-of-its-own-t16", own_width, "swiftshader", kF16, 16},
      {"gpt-oss-20b-t4-biases", layer_shape("gpt-oss-20b"), "swiftshader", kBf16, 4},
      {"mixtral-8x22b-t1-windows", layer_shape("mixtral-8x22b"), "windows-only", kF16, 1},
      {"mixtral-8x22b-t512-windows", layer_shape("mixtral-8x22b"), "windows-only", kF16, 512},
      {"odd-widths-input-norm-t100", odd, "floor", kF32, 100},
      {"qwen3-30b-t1-q4_k-navi31", layer_shape("qwen3-30b"), "navi31", WeightFormat::kQ4K, 1},
      {"gpt-oss-20b-t512-mxfp4-ga102", layer_shape("gpt-oss-20b"), "ga102", WeightFormat::kMxfp4, 512},
      {"mixtral-8x22b-t1-iq3_s-windows", layer_shape("mixtral-8x22b"), "windows-only", WeightFormat::kIq3S, 1},
      // A model that one might run there, on each GPU whose driver was asked (docs/vendor-compilers.md).
      on_device("qwen3-30b", "navi31", kF16, 1),
      on_device("qwen3-30b", "navi31", kF16, 512),
      on_device("gpt-oss-120b", "navi31", kBf16, 1),
      on_device("mixtral-8x22b", "navi21", kF16, 512),
      on_device("kimi-k2", "navi21", kF16, 1),
      on_device("llama-4-scout", "navi10", kBf16, 1),
      on_device("deepseek-v3", "vega10", kBf16, 1),
      on_device("kimi-k3", "polaris10", kF16, 512),
      on_device("granite-1b", "gfx1150", kF16, 4),
      on_device("qwen3-30b", "gfx1150", kF16, 512),
      on_device("qwen3-30b", "dg2", kF16, 32),
      on_device("olmoe", "bmg", kF32, 512),
      on_device("qwen3-235b", "bmg", kF16, 1),
      on_device("minimax-m2", "bmg", kBf16, 4096),
      on_device("qwen3-30b", "tgl", kF16, 512),
      on_device("glm-4.5-air", "lnl", kBf16, 4),
      on_device("deepseek-v2-lite", "mtl", kF16, 32),
      on_device("granite-3b", "a630", kF16, 1),
      on_device("olmoe", "a660", kF16, 4),
      on_device("mixtral-8x7b", "a730", kF16, 32),
      on_device("qwen1.5-moe", "a740", kF16, 512),
      on_device("mixtral-8x22b", "a750", kF16, 1),
      on_device("qwen3-30b", "g610", kF16, 1),
      on_device("granite-1b", "g610", kF16, 512),
      on_device("qwen3-next", "tu102", kF16, 1),
      on_device("longcat", "ga102", kBf16, 512),
      on_device("gpt-oss-20b", "ga102", kBf16, 512),
  };
  return all;
}

std::filesystem::path folder() { return source_dir() / "tests/golden"; }

class GoldenPlans : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(All, GoldenPlans, ::testing::Range<size_t>(0, 43), [](const auto& info) {
  std::string name = golden_plans().at(info.param).name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

TEST_P(GoldenPlans, AreAsTheyWere) {
  ASSERT_EQ(golden_plans().size(), 43u);
  const Golden& one = golden_plans()[GetParam()];
  const DeviceCaps caps = one.device == "windows-only" ? windows_only() : device(one.device);
  Result<std::string> text = describe_forward(make_spec(one.layer, one.format), caps, one.tokens);
  ASSERT_TRUE(text.ok()) << one.name << ": " << text.status().text();
  const std::filesystem::path path = folder() / (one.name + ".plan");
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(folder());
    std::ofstream(path, std::ios::binary) << text.value();
    return;
  }
  EXPECT_EQ(text.value(), read_text(path))
      << path << ": the plan has changed. If that was meant, scripts/update-golden renews the file.";
}

TEST(GoldenFolder, HasNoFileWithoutATest) {
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    const std::string name = entry.path().filename().string();
    const bool known = std::any_of(golden_plans().begin(), golden_plans().end(),
                                   [&](const Golden& g) { return g.name + ".plan" == name; });
    EXPECT_TRUE(known) << name << " belongs to no test; remove it";
  }
}

}  // namespace
}  // namespace moevk::unit
