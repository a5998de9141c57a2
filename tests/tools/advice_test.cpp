// SPDX-License-Identifier: MIT
//
// Advice for models and devices with round figures, worked out by hand; and what the command prints.
#include "tools/moevk/advice.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/model/sample_checkpoints.h"
#include "tests/tools/run_moevk.h"

namespace {

using moevk::cli::Advice;
using moevk::cli::advise;
using moevk::cli::DeviceFacts;
using moevk::cli::LayerFacts;
using moevk::cli::ModelFacts;

// Blocks 3 to 12 have experts: 100 bytes each, of which a token reads 10; all else is 500 bytes, of which it reads 400.
ModelFacts ten_layers() {
  ModelFacts facts;
  for (uint32_t block = 3; block < 13; ++block) facts.layers.push_back(LayerFacts{block, 120, 30, 100, 10});
  facts.bytes = 1500;
  facts.bytes_per_token = 500;
  return facts;
}

TEST(Advice, EverythingFits) {
  const Advice advice = advise(ten_layers(), {.free_bytes = 1600, .reserve_bytes = 100, .bandwidth = 5000});
  EXPECT_EQ(advice.budget_bytes, 1500u);
  EXPECT_EQ(advice.layers_that_fit, 10u);
  EXPECT_EQ(advice.layers_with_experts, 10u);
  EXPECT_EQ(advice.flags, "-ngl 99");
  EXPECT_EQ(advice.override_flags, "");
  EXPECT_EQ(advice.host_bytes_per_token, 0);
  EXPECT_DOUBLE_EQ(advice.tokens_per_second.value(), 10);
}

TEST(Advice, OneByteShortLeavesTheFirstLayersExpertsToTheHost) {
  const Advice advice = advise(ten_layers(), {.free_bytes = 1499, .bandwidth = 4900, .host_bandwidth = 100});
  EXPECT_EQ(advice.layers_with_experts, 9u);
  EXPECT_EQ(advice.cpu_blocks, 4u);  // blocks 0 to 3, of which the last alone has experts
  EXPECT_EQ(advice.flags, "-ngl 99 --n-cpu-moe 4");
  EXPECT_EQ(advice.override_flags, "-ngl 99 -ot \"blk\\.(3)\\.ffn_.*_exps=CPU\"");
  EXPECT_EQ(advice.device_bytes_per_token, 490);
  EXPECT_EQ(advice.host_bytes_per_token, 10);
  EXPECT_DOUBLE_EQ(advice.tokens_per_second.value(), 5);  // 0.1 s and 0.1 s
}

TEST(Advice, SpeedNeedsEveryBandwidthThatIsUsed) {
  EXPECT_FALSE(advise(ten_layers(), {.free_bytes = 1499, .bandwidth = 4900}).tokens_per_second);
  EXPECT_FALSE(advise(ten_layers(), {.free_bytes = 1500, .host_bandwidth = 100}).tokens_per_second);
}

TEST(Advice, SmallDevices) {
  const Advice half = advise(ten_layers(), {.free_bytes = 799});
  EXPECT_EQ(half.layers_that_fit, 6u);
  EXPECT_EQ(half.layers_with_experts, 2u);
  EXPECT_EQ(half.flags, "-ngl 99 --n-cpu-moe 11");
  const Advice none = advise(ten_layers(), {.free_bytes = 599});
  EXPECT_TRUE(none.rest_fits);
  EXPECT_EQ(none.flags, "-ngl 99 --cpu-moe");
  EXPECT_EQ(none.override_flags, "-ngl 99 -ot exps=CPU");
  EXPECT_EQ(none.host_bytes_per_token, 100);
  const Advice less = advise(ten_layers(), {.free_bytes = 499});
  EXPECT_FALSE(less.rest_fits);
  EXPECT_EQ(less.flags, "");
  const Advice nothing = advise(ten_layers(), {.free_bytes = 10, .reserve_bytes = 11});
  EXPECT_EQ(nothing.budget_bytes, 0u);
  EXPECT_EQ(nothing.layers_that_fit, 0u);
}

TEST(Advice, FactsOfAModel) {
  moevk::model::MoeModel model;
  moevk::model::TensorInfo router, experts;
  router.bytes = 4 * 8 * 4;
  experts.bytes = 3 * 4 * 8 * 6 * 2;
  moevk::model::MoeLayer layer;
  layer.block = 2;
  layer.desc = moe_init<moe_layer_desc>();
  layer.desc.hidden = 8, layer.desc.intermediate = 6, layer.desc.experts = 4, layer.desc.top_k = 2;
  layer.tensors = {{"router.weight", &router, 0, 0, MOE_DTYPE_F32}, {"experts.up", &experts, 0, 4, MOE_DTYPE_F16}};
  model.layers = {layer};
  const ModelFacts facts = moevk::cli::model_facts(model);
  ASSERT_EQ(facts.layers.size(), 1u);
  EXPECT_EQ(facts.layers[0].expert_bytes, experts.bytes);
  EXPECT_EQ(facts.layers[0].expert_bytes_per_token, experts.bytes / 2);
  EXPECT_DOUBLE_EQ(facts.activation_bytes, 4 * (8 + 2 * 2 * 6 + 2 * 2 * 8) + 4 * 8);
  EXPECT_DOUBLE_EQ(facts.moe_flops, 6 * 2 * 8 * 6 + 2 * 8 * 4);
}

TEST(Advice, TheCommandSaysWhatIsAssumed) {
  const std::string model = "'" MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf'";
  const moe_tests::Output output = moe_tests::run_moevk("advise " + model);
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(moe_tests::contains(output.out, "4 MoE layers of 4, 8 experts, 2 for each token")) << output.out;
  EXPECT_TRUE(moe_tests::contains(output.out, "--bandwidth GB/s gives the speed")) << output.out;
  const moe_tests::Output without =
      moe_tests::run_moevk("advise " + model + " --bandwidth 100", "VK_DRIVER_FILES=/no VK_ICD_FILENAMES=/no");
  EXPECT_EQ(without.code, 0) << without.err;
  EXPECT_TRUE(moe_tests::contains(without.out, "no device: ")) << without.out;
  moe_tests::expect_refused("advise /no/such/file.gguf", "/no/such/file.gguf");
  moe_tests::expect_refused("advise " + model + " --bandwidth 0", "--bandwidth");
}

// A checkpoint's folder, through every command that takes a file.
TEST(Checkpoints, CommandsTakeAFolder) {
  namespace fs = std::filesystem;
  const fs::path folder = moe_tests::temporary("checkpoint");
  fs::create_directories(folder);
  const auto write = [&](const char* name, const void* data, size_t size) {
    std::ofstream(folder / name, std::ios::binary)
        .write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  };
  const auto sample = moevk::model::sample_deepseek_v3_checkpoint();
  const auto bytes = sample.file.bytes();
  write("config.json", sample.config.data(), sample.config.size());
  write("model.safetensors", bytes.data(), bytes.size());
  const std::string path = "'" + folder.string() + "'";

  const moe_tests::Output info = moe_tests::run_moevk("info " + path);
  EXPECT_EQ(info.code, 0) << info.err;
  EXPECT_TRUE(moe_tests::contains(info.out, "architecture  deepseek_v3")) << info.out;
  EXPECT_TRUE(moe_tests::contains(info.out, "2, MoE: 1 (1)")) << info.out;
  const moe_tests::Output run = moe_tests::run_moevk("run " + path + " --tokens 5 --device reference");
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  EXPECT_TRUE(moe_tests::contains(run.out, "layer 1")) << run.out;
  EXPECT_EQ(moe_tests::run_moevk("advise " + path).code, 0);
  const auto fp8 = moevk::model::sample_deepseek_v3_checkpoint(true);
  const auto fp8_bytes = fp8.file.bytes();
  write("config.json", fp8.config.data(), fp8.config.size());
  write("model.safetensors", fp8_bytes.data(), fp8_bytes.size());
  moe_tests::expect_refused(
      "run " + path + " --tokens 5",
      "layer 1 is not supported: desc.gate_format: e4m3:128x128:f32 needs rows of a multiple of 16");
  fs::remove(folder / "model.safetensors");
  moe_tests::expect_refused("info " + path, "model.safetensors: there is no such file");
  fs::remove_all(folder);
}

}  // namespace
