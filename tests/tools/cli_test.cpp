// SPDX-License-Identifier: MIT
//
// In:  the built moevk program and library, the shipped model, and small GGUF files made here.
// Out: tests of exit codes, of the lines that scripts grep for, and of error messages.
// Why: the command line is what people meet first. Its output is an interface, too.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/model/sample_models.h"
#include "tests/tools/run_moevk.h"
#include "tests/tools/well_formed.h"

namespace {

const std::string kModel = MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf";

using moe_tests::contains;
using moe_tests::expect_refused;
using moe_tests::Output;
using moe_tests::read_text;
using moe_tests::run_command;
using moe_tests::run_moevk;
using moe_tests::temporary;
using moe_tests::xml_problem;

bool has_vulkan_device() { return !contains(run_moevk("devices").out, "\nno GPU: "); }

}  // namespace

TEST(Cli, HelpOfEveryCommandHasAnExample) {
  EXPECT_EQ(run_moevk("--help").code, 0);
  for (const char* command : {"devices", "info", "advise", "run", "plan", "check", "bench", "routes", "vectors"}) {
    const Output output = run_moevk(command + std::string(" --help"));
    EXPECT_EQ(output.code, 0) << command;
    EXPECT_TRUE(contains(output.out, std::string("  moevk ") + command)) << output.out;
  }
}

TEST(Cli, DevicesListsTheReferenceAndAChoice) {
  const Output output = run_moevk("devices");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "reference")) << output.out;
  EXPECT_TRUE(contains(output.out, "\nchosen: ")) << output.out;
  EXPECT_FALSE(contains(output.out, "\x1b")) << "colour in a file: " << output.out;
}

TEST(Cli, InfoCountsParametersAndBytes) {
  const std::string path = temporary("sample.gguf");
  const std::vector<std::byte> bytes = moevk::model::sample_qwen3moe().bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  // H=8 F=6 E=4 k=2, two blocks: router 32 and experts 3*8*6*4 = 576 each; norms, embeddings,
  // output.
  const Output output = run_moevk("info '" + path + "'");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "qwen3moe")) << output.out;
  EXPECT_TRUE(contains(output.out, "E = 4 of width F = 6, k = 2")) << output.out;
  EXPECT_TRUE(contains(output.out, "MoE: 0-1 (2)")) << output.out;
  EXPECT_TRUE(contains(output.out, "1,320")) << output.out;  // 2 * 608 + 40 + 8 + 40 + 2 * 8
  EXPECT_TRUE(contains(output.out, "1,216")) << output.out;  // MoE parameters
  EXPECT_TRUE(contains(output.out, " 640")) << output.out;   // active ones: 2 * (32 + 288)
  std::filesystem::remove(path);
}

TEST(Cli, InfoShowsWhatAPresetSets) {
  const Output output = run_moevk("info --preset deepseek-v3");
  EXPECT_EQ(output.code, 0) << output.err;
  for (const char* line : {"deepseek-v3: DeepSeek-V3\n", "\n  experts                  256\n",
                           "\n  flags                    selection_bias\n", "\n  score                    sigmoid\n",
                           "\n  group_score              sum_top_n\n", "\n  normalize_eps            1e-20\n",
                           "\n  routed_scale             2.5\n", "masked groups are never chosen",
                           "671,026,419,200  671 B\n", "active less embeddings     36,625,618,432  36.6 B\n",
                           "1,342,052,838,400  1.22 TiB\n", "\nits 58 MoE layers\n"}) {
    EXPECT_TRUE(contains(output.out, line)) << line << output.out;
  }
  EXPECT_FALSE(contains(output.out, "logit_soft_cap")) << "a field that is not set: " << output.out;
  EXPECT_TRUE(contains(run_moevk("info --preset mixtral").out, "12,879,925,248  12.9 B, 27.6 %\n"));
  EXPECT_TRUE(contains(run_moevk("info --preset llama4").out, "108,641,793,536  109 B\n"));
  // Where the rest of a model is not known, its layer is all that is counted.
  const Output layer = run_moevk("info --preset kimi-k3");
  EXPECT_TRUE(contains(layer.out, "layer figures only")) << layer.out;
  EXPECT_FALSE(contains(layer.out, "whole model")) << layer.out;
}

TEST(Cli, InfoListsPresets) {
  const Output output = run_moevk("info --preset list");
  EXPECT_EQ(output.code, 0) << output.err;
  for (const char* name : {"\nmixtral ", "\nphi-3.5-moe ", "\nnemotron-h "}) {
    EXPECT_TRUE(contains(output.out, name)) << output.out;
  }
  expect_refused("info --preset mixtrall", "'mixtrall' is unknown; there are switch, ");
  expect_refused("info --preset mixtral '" + kModel + "'", "FILE excludes --preset");
  expect_refused("info", "FILE: is missing");
}

TEST(Cli, RunAgreesOnTheShippedModel) {
  const Output output = run_moevk("run '" + kModel + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "ok: 4 of 4 layers agree")) << output.out;
  EXPECT_TRUE(contains(output.out, "experts the same for 256 of 256 tokens")) << output.out;
  EXPECT_TRUE(contains(output.out, "oracle ")) << output.out;
  EXPECT_TRUE(contains(output.out, "GFLOP/s")) << output.out;
  EXPECT_TRUE(contains(output.out, "█")) << output.out;
}

TEST(Cli, RunTakesRandomTokensAndOneLayer) {
  const Output output = run_moevk("run '" + kModel + "' --layer 2 --tokens 5 --repeat 3");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "layer 2  5 tokens")) << output.out;
  EXPECT_FALSE(contains(output.out, "layer 1")) << output.out;
}

// Biases of router and experts come from tensors that few families have.
TEST(Cli, RunTakesAFileOfAFamilyWithBiases) {
  const Output output =
      run_moevk("run " MOEVK_SOURCE_DIR "/tests/corpus/gguf/good_gpt_oss.gguf --device reference --tokens 5");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "gpt-oss, 1 MoE layers")) << output.out;
  EXPECT_TRUE(contains(output.out, "expert load 10 routes")) << output.out;
}

TEST(Cli, ReferenceAgreesWithTheOracle) {
  const Output output = run_moevk("run '" + kModel + "' --layer 0 --device reference");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "oracle ")) << output.out;
}

TEST(Cli, RunFailsWhenTheOracleDiffers) {
  // Inputs and experts of layer 0, with the outputs of layer 1.
  const std::filesystem::path oracle = temporary("oracle");
  const std::filesystem::path shipped = MOEVK_SOURCE_DIR "/models/oracle";
  std::filesystem::remove_all(oracle);
  std::filesystem::create_directories(oracle);
  std::filesystem::copy(shipped / "l0.moe_in.npy", oracle / "l0.moe_in.npy");
  std::filesystem::copy(shipped / "l0.selected.npy", oracle / "l0.selected.npy");
  std::filesystem::copy(shipped / "l1.moe_out.npy", oracle / "l0.moe_out.npy");
  const Output output = run_moevk("run '" + kModel + "' --layer 0 --oracle '" + oracle.string() + "'");
  EXPECT_EQ(output.code, 1) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "FAIL: 1 of 1 layers disagree")) << output.out;
  std::filesystem::remove_all(oracle);
}

TEST(Cli, PlanNeedsNoGpu) {
  std::string caps;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/devices", none)) {
    if (entry.path().extension() == ".caps") caps = entry.path().string();
  }
  if (caps.empty()) GTEST_SKIP() << "tests/devices holds no .caps file";
  const Output output = run_moevk("plan --shape 64,128,8,2 --tokens 1,512 --caps '" + caps + "'");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "T=1,")) << output.out;
  EXPECT_TRUE(contains(output.out, "T=512,")) << output.out;
  EXPECT_TRUE(contains(output.out, "route")) << output.out;
  const Output again = run_moevk("plan --shape 64,128,8,2 --tokens 1,512 --caps '" + caps + "'");
  EXPECT_EQ(output.out, again.out);
}

TEST(Cli, BenchWritesJson) {
  const std::string path = temporary("rows.json");
  const std::string arguments = "bench --shape 64,32,8,2 --tokens 1,9 --format f16,f32 --repeat 3 --json";
  const Output output = run_moevk(arguments + " '" + path + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "median ms")) << output.out;
  const std::string judge =
      "'" MOEVK_CMAKE "' '-DFILE=" + path + "' -DROWS=4 -P '" MOEVK_SOURCE_DIR "/tests/tools/check_bench_json.cmake'";
  const Output judged = run_command(judge);
  EXPECT_EQ(judged.code, 0) << judged.err << read_text(path);

  // Without a file: the array alone on stdout.
  const Output bare = run_moevk(arguments);
  EXPECT_EQ(bare.code, 0) << bare.err;
  std::ofstream(path, std::ios::binary) << bare.out;
  EXPECT_EQ(run_command(judge).code, 0) << bare.out;
  std::filesystem::remove(path);
}

TEST(Cli, BenchTellsTheFloorAndWritesAPage) {
  const std::string page = temporary("page.html"), peak = temporary("peak.json");
  std::ofstream(peak) << R"({"read_gbps": 1, "copy_gbps": 2, "f32_gflops": 3, "dispatch_us": 4, "submit_us": 5})";
  const Output output =
      run_moevk("bench --shape 64,32,8,2/32,64,4,1 --tokens 1,3 --repeat 2 --device reference --peak '" + peak +
                "' --html '" + page + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "copies 2 GB/s, 3 GFLOP/s in f32, a dispatch 4 us")) << output.out;
  EXPECT_TRUE(contains(output.out, "32,64,4,1  f16     3")) << output.out;
  EXPECT_EQ(xml_problem(read_text(page)), "");
  EXPECT_TRUE(contains(read_text(page), "<polyline"));
  // Without a measurement, and without a wish for one.
  const Output bare =
      run_moevk("bench --shape 64,32,8,2 --tokens 1 --repeat 2 --device reference --html '" + page + "'");
  EXPECT_EQ(bare.code, 0) << bare.err;
  EXPECT_EQ(xml_problem(read_text(page)), "");
  std::filesystem::remove(page);
  std::filesystem::remove(peak);
  expect_refused("bench --shape 64,32,8,2 --tokens 1 --device reference --peak /no/such/file", "--peak");
  expect_refused("bench --shape 64,32,8,2/ --tokens 1 --device reference --html /no/such/folder/x", "--html");
}

TEST(Cli, BenchRunsDevicePeakBesideIt) {
  if (!has_vulkan_device()) GTEST_SKIP() << "no Vulkan device";
  const Output output = run_moevk("bench --shape 64,32,8,2 --tokens 1 --repeat 2 --steps");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_EQ(output.err, "");
  EXPECT_TRUE(contains(output.out, "GFLOP/s in f32")) << output.out;
  EXPECT_TRUE(contains(output.out, " %  ")) << output.out;
  EXPECT_TRUE(contains(output.out, "\nsteps   64,32,8,2 f16 T=1: ")) << output.out;
}

TEST(Cli, BenchKnowsRoutingAndSharedExperts) {
  const Output output =
      run_moevk("bench --shape 64,32,8,2 --shared 48 --tokens 40 --repeat 2 --format bf16 --routing onehot");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "onehot routing")) << output.out;
  EXPECT_TRUE(contains(output.out, "bf16    40      2.0")) << output.out;  // two experts are read
}

TEST(Cli, CheckRunsOneLayerAndSumsUp) {
  if (!has_vulkan_device()) GTEST_SKIP() << "no Vulkan device";
  const std::string path = temporary("report.json");
  const Output output = run_moevk("check --index 0 --report '" + path + "'");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "\n1 passed, 0 failed, 0 skipped\n")) << output.out;
  const std::string report = read_text(path);
  EXPECT_TRUE(report.starts_with("{")) << report;
  EXPECT_TRUE(contains(report, "\n  \"passed\": true,\n")) << report;
  EXPECT_TRUE(contains(report, "\n    \"kind\": \"")) << report;
  EXPECT_FALSE(contains(report, "\"kind\": \"reference\"")) << report;
  std::filesystem::remove(path);
}

TEST(Cli, CheckDoesNotTakeTheReferenceForADevice) {
  const std::string nothing = "VK_DRIVER_FILES=/no/such.json VK_ICD_FILENAMES=/no/such.json";
  expect_refused("check --index 0", "--device reference", nothing);
  expect_refused("check --index 0", "--device reference", "MOEVK_DEVICE=reference");
  const Output output = run_moevk("check --index 0 --device reference", nothing);
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "\n1 passed, 0 failed, 0 skipped\n")) << output.out;
}

// Nothing that passed is no pass: a device that cannot bind windows skips these cases and says why.
TEST(Cli, CheckOfSkippedCasesAloneDoesNotPass) {
  const Output output = run_moevk("check --case windows_stacked --device reference");
  EXPECT_EQ(output.code, 1) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "\n0 passed, 0 failed, 1 skipped\n")) << output.out;
  EXPECT_TRUE(contains(output.out, "FAILED: no case passed")) << output.out;
  if (!has_vulkan_device()) return;
  const Output few = run_moevk("check --case windows_stacked", "MOEVK_LIMITS=max_stage_storage_buffers=12");
  EXPECT_EQ(few.code, 1) << few.out << few.err;
  EXPECT_TRUE(contains(few.out, "\n0 passed, 0 failed, 1 skipped\n")) << few.out;
  EXPECT_TRUE(contains(few.out, "maxPerStageDescriptorStorageBuffers")) << few.out;
}

TEST(Cli, CheckListsItsCases) { EXPECT_GT(run_moevk("check --list").out.size(), 10u); }

TEST(Cli, RunNeedsNoClock) {
  const Output output = run_moevk("run '" + kModel + "' --layer 0 --tokens 4", "MOEVK_LIMITS=timestamps=0");
  EXPECT_EQ(output.code, 0) << output.out << output.err;
  EXPECT_TRUE(contains(output.out, "whole call")) << output.out;
  EXPECT_EQ(contains(output.out, "no clock"), has_vulkan_device()) << output.out;
}

TEST(Cli, BadLimitsAreRefusedWithAndWithoutADevice) {
  expect_refused("devices", "MOEVK_LIMITS", "MOEVK_LIMITS=no_such=1");
  expect_refused("devices", "MOEVK_LIMITS", "MOEVK_LIMITS=timestamps=x VK_DRIVER_FILES=/no VK_ICD_FILENAMES=/no");
}

TEST(Cli, RunTakesNoMoreTokensThanTheOracleHas) {
  const std::filesystem::path oracle = temporary("oracle");
  const std::filesystem::path shipped = MOEVK_SOURCE_DIR "/models/oracle";
  std::filesystem::remove_all(oracle);
  std::filesystem::create_directories(oracle);
  for (const char* name : {"l0.moe_in.npy", "l0.moe_out.npy", "l0.selected.npy"}) {
    std::filesystem::copy(shipped / name, oracle / name);
  }
  const std::string arguments = "run '" + kModel + "' --device reference --layer 0 --oracle '" + oracle.string() + "'";
  expect_refused(arguments + " --tokens 257", "has only 256");
  EXPECT_EQ(run_moevk(arguments + " --tokens 3").code, 0);
  std::filesystem::remove_all(oracle);
}

TEST(Cli, RefusesBadUsageInOneLine) {
  expect_refused("", "COMMAND");
  expect_refused("devicez", "devicez");
  expect_refused("run /no/such/file.gguf", "/no/such/file.gguf");
  expect_refused("info '" + kModel + "/oracle'", "FILE");
  expect_refused("info " MOEVK_SOURCE_DIR "/models/oracle/l0.logits.npy", "not a GGUF file");
  expect_refused("run '" + kModel + "' --device no-such-gpu", "no-such-gpu");
  expect_refused("run '" + kModel + "' --device 999", "--device");
  expect_refused("run '" + kModel + "' --layer 4", "--layer");
  expect_refused("run '" + kModel + "' --input /no/such.npy", "/no/such.npy");
  expect_refused("run '" + kModel + "' --input " MOEVK_SOURCE_DIR "/models/oracle/l0.logits.npy", "[256, 8]");
  expect_refused("run '" + kModel + "' --oracle /no/such/folder", "/no/such/folder");
  for (const char* shape :
       {"64,128,8", "64,128,8,2,1", "64,128,8,0", "64,x,8,2", "-1,1,1,1", "64,128,8,9", "99999999999,1,1,1", "''"}) {
    expect_refused(std::string("plan --shape=") + shape, "--shape");
  }
  expect_refused("plan --shape 64,128,8,2 --caps /no/such.caps", "/no/such.caps");
  expect_refused("bench --shape 64,128,8,2 --format q9", "q9");
  expect_refused("bench --shape 64,128,8,2 --tokens 1,0", "--tokens");
  for (const char* command : {"bench --shape 64,128,8,2", "plan --shape 64,128,8,2", "run x.gguf"}) {
    expect_refused(command + std::string(" --tokens 1048577"), "1048576");
  }
  expect_refused("bench --shape 64,128,8,2 --json /no/such/folder/x.json", "--json");
  expect_refused("check --case no-such-case", "no-such-case");
  expect_refused("check --device reference --report /no/such/folder/x.json", "--report");
}

TEST(Cli, SaysWhichLibraryCannotBeLoaded) {
  const Output output = run_command("'" MOEVK_PROGRAM "' devices --library /no/such/lib.so");
  EXPECT_EQ(output.code, 2);
  EXPECT_TRUE(contains(output.err, "--library: cannot load")) << output.err;
  EXPECT_TRUE(contains(output.err, "/no/such/lib.so")) << output.err;
}
