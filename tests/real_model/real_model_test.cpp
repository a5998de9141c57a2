// SPDX-License-Identifier: MIT
//
// The real model: every MoE layer of a GGUF file, on the reference and on the best Vulkan device,
// against an oracle in float64 (router inputs, chosen experts, weights, outputs). The repository
// has the f16 model and 256 tokens; the f32 model and its 768 tokens are used where
// MOEVK_TEST_MODELS points.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/validation.h"
#include "tools/model/gguf.h"
#include "tools/model/moe_model.h"
#include "tools/model/npy.h"

namespace {

namespace fs = std::filesystem;
using moevk::model::GgufFile;
using moevk::model::MoeLayer;
using moevk::model::MoeModel;
using moevk::model::NpyArray;

constexpr double kBound = 1e-6;  // relative RMS error of a layer's output

struct Files {
  fs::path model;
  fs::path oracle;
};

Files repository_files() {
  const fs::path folder = fs::path(MOEVK_SOURCE_DIR) / "models";
  return {folder / "tiny-moe-f16.gguf", folder / "oracle"};
}

Files full_files(const fs::path& folder) { return {folder / "tiny-moe-f32.gguf", folder / "oracle"}; }

// What a layer must give, read from l{block}.*.npy.
struct Oracle {
  uint64_t tokens = 0;
  std::vector<float> x;
  std::vector<int32_t> ids;
  std::vector<double> weights, y;
};

NpyArray read_array(const fs::path& folder, uint32_t block, const char* name) {
  const fs::path path = folder / ("l" + std::to_string(block) + "." + name + ".npy");
  auto array = moevk::model::read_npy(path.string());
  if (!array) throw std::runtime_error(path.string() + ": " + array.error().text());
  return std::move(*array);
}

Oracle read_oracle(const fs::path& folder, uint32_t block) {
  const NpyArray x = read_array(folder, block, "moe_in");
  return {x.rows, x.to_f32(), read_array(folder, block, "selected").to_i32(),
          read_array(folder, block, "weights").to_f64(), read_array(folder, block, "moe_out").to_f64()};
}

struct Errors {
  double difference = 0, size = 0, largest = 0;
  double relative_rms() const { return std::sqrt(difference / size); }
};

class RealModel : public ::testing::TestWithParam<bool> {
 protected:
  RealModel() : library_(MOEVK_TEST_LIBRARY) {}

  // True if there is a device to run on.
  bool open() {
    instance_ = moe_tests::create_instance(library_);
    uint32_t count = 0, index = 0;
    moe::check([&](moe_error* e) { return library_->get_device_count(instance_, &count, e); });
    index = count - 1;
    if (!GetParam()) {
      moe::check([&](moe_error* e) { return library_->choose_device(instance_, &index, e); });
      if (index == count - 1) return false;
    }
    moe_device_info info = moe_init<moe_device_info>();
    moe::check([&](moe_error* e) { return library_->get_device_info(instance_, index, &info, e); });
    device_name_ = info.name;
    device_ = moe::open_device(library_, instance_, index);
    return true;
  }

  moe::Layer upload(moe_device* device, const GgufFile& file, const MoeLayer& layer, bool from_file) {
    moe::Upload upload = moe::begin_weights(library_, device, layer.desc);
    for (const auto& tensor : layer.tensors) {
      const moe_tensor_source source =
          from_file ? moevk::model::file_source(file, tensor) : moevk::model::memory_source(file, tensor);
      moe::check([&](moe_error* e) { return library_->add_tensor(upload, &source, e); });
    }
    return moe::commit_weights(library_, upload);
  }

  struct Answer {
    std::vector<int32_t> ids;
    std::vector<float> weights, y;
  };

  // One call, waited for.
  Answer forward(moe_context* context, moe_layer* layer, const moe_layer_desc& desc, const float* x, uint64_t tokens) {
    const size_t hidden = desc.hidden, k = desc.top_k;
    Answer answer{std::vector<int32_t>(tokens * k), std::vector<float>(tokens * k),
                  std::vector<float>(tokens * hidden)};
    const moe_view x_view = moe::host_view(x, MOE_DTYPE_F32, tokens, hidden);
    const moe_view y_view = moe::host_view(answer.y.data(), MOE_DTYPE_F32, tokens, hidden);
    const moe_view ids_view = moe::host_view(answer.ids.data(), MOE_DTYPE_I32, tokens, k);
    const moe_view weights_view = moe::host_view(answer.weights.data(), MOE_DTYPE_F32, tokens, k);
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = tokens;
    args.x = &x_view;
    args.y = &y_view;
    args.ids = &ids_view;
    args.weights = &weights_view;
    moe::check([&](moe_error* e) { return library_->forward(context, layer, &args, e); });
    moe::wait(library_, context, moe::flush(library_, context));
    return answer;
  }

  // Tokens first..first+count-1 of the oracle in one call; adds to `errors`.
  void run(moe_context* context, moe_layer* layer, const moe_layer_desc& desc, const Oracle& oracle, uint64_t first,
           uint64_t count, Errors& errors) {
    const size_t hidden = desc.hidden, k = desc.top_k;
    const auto [ids, weights, y] = forward(context, layer, desc, oracle.x.data() + first * hidden, count);
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(ids[i], oracle.ids[first * k + i]) << "token " << first + i / k << " slot " << i % k;
      ASSERT_NEAR(static_cast<double>(weights[i]), oracle.weights[first * k + i], 1e-5)
          << "token " << first + i / k << " slot " << i % k;
    }
    for (size_t i = 0; i < y.size(); ++i) {
      const double truth = oracle.y[first * hidden + i], difference = static_cast<double>(y[i]) - truth;
      errors.difference += difference * difference;
      errors.size += truth * truth;
      errors.largest = std::max(errors.largest, std::fabs(difference));
    }
  }

  // A quantised file: there is no oracle for its weights, so the device is compared with the reference, which decodes
  // them as ggml does. x are the float model's inputs.
  void run_quantised(const fs::path& path, const fs::path& oracle_folder) {
    if (!fs::exists(path) || !fs::exists(oracle_folder)) GTEST_SKIP() << path.string() << " or the oracle is not there";
    if (!open()) GTEST_SKIP() << "no Vulkan device: " << library_->why_no_gpu(instance_);
    uint32_t count = 0;
    moe::check([&](moe_error* e) { return library_->get_device_count(instance_, &count, e); });
    const moe::Device reference = moe::open_device(library_, instance_, count - 1);
    auto file = GgufFile::open(path.string());
    ASSERT_TRUE(file.ok()) << file.error().text();
    auto model = moevk::model::find_moe_layers(*file);
    ASSERT_TRUE(model.ok()) << model.error().text();
    for (const MoeLayer& layer : model->layers) {
      SCOPED_TRACE("layer " + std::to_string(layer.block));
      ASSERT_EQ(layer.refusal, "");
      EXPECT_NE(layer.desc.up_format.preset, 0u);
      Oracle truth = read_oracle(oracle_folder, layer.block);
      const uint64_t tokens = std::min<uint64_t>(truth.tokens, 64);
      const moe::Layer ours = upload(device_, *file, layer, layer.block % 2 == 0),
                       theirs = upload(reference, *file, layer, false);
      ask(reference, theirs, layer.desc, tokens, truth);
      const moe::Context context = moe::create_context(library_, device_, tokens);
      Errors all, alone;
      ASSERT_NO_FATAL_FAILURE(run(context, ours, layer.desc, truth, 0, tokens, all));
      for (uint64_t t = 0; t < 8; ++t) ASSERT_NO_FATAL_FAILURE(run(context, ours, layer.desc, truth, t * 7, 1, alone));
      std::cout << "  " << device_name_ << ", " << path.filename().string() << ", layer " << layer.block
                << ": relative RMS error " << all.relative_rms() << "; one by one " << alone.relative_rms() << "\n";
      EXPECT_LE(all.relative_rms(), kBound);
      EXPECT_LE(alone.relative_rms(), kBound);
    }
  }

  // What `device` makes of the first tokens.
  void ask(moe_device* device, moe_layer* layer, const moe_layer_desc& desc, uint64_t tokens, Oracle& answer) {
    const moe::Context context = moe::create_context(library_, device, tokens);
    const Answer made = forward(context, layer, desc, answer.x.data(), tokens);
    answer.ids = made.ids;
    answer.weights.assign(made.weights.begin(), made.weights.end());
    answer.y.assign(made.y.begin(), made.y.end());
  }

  void run_model(const Files& files) {
    if (!fs::exists(files.model) || !fs::exists(files.oracle)) {
      GTEST_SKIP() << files.model.string() << " or its oracle is not there";
    }
    if (!open()) GTEST_SKIP() << "no Vulkan device: " << library_->why_no_gpu(instance_);
    auto file = GgufFile::open(files.model.string());
    ASSERT_TRUE(file.ok()) << file.error().text();
    auto model = moevk::model::find_moe_layers(*file);
    ASSERT_TRUE(model.ok()) << model.error().text();
    ASSERT_EQ(model->layers.size(), 4u);
    for (const MoeLayer& layer : model->layers) {
      SCOPED_TRACE("layer " + std::to_string(layer.block));
      ASSERT_EQ(layer.refusal, "");
      const Oracle oracle = read_oracle(files.oracle, layer.block);
      ASSERT_EQ(oracle.x.size(), oracle.tokens * layer.desc.hidden);
      ASSERT_EQ(oracle.ids.size(), oracle.tokens * layer.desc.top_k);
      const moe::Layer uploaded = upload(device_, *file, layer, layer.block % 2 == 0);
      const moe::Context context = moe::create_context(library_, device_, oracle.tokens);
      Errors all, alone, few;
      ASSERT_NO_FATAL_FAILURE(run(context, uploaded, layer.desc, oracle, 0, oracle.tokens, all));
      for (uint64_t t = 0; t < 16; ++t)
        ASSERT_NO_FATAL_FAILURE(run(context, uploaded, layer.desc, oracle, t * 13, 1, alone));
      for (uint64_t t = 0; t < 64; t += 16)
        ASSERT_NO_FATAL_FAILURE(run(context, uploaded, layer.desc, oracle, t, 16, few));
      std::cout << "  " << device_name_ << ", " << files.model.filename().string() << ", layer " << layer.block << ": "
                << oracle.tokens << " tokens at once: relative RMS error " << all.relative_rms() << ", largest "
                << all.largest << "; one by one " << alone.relative_rms() << "; 16 at a time " << few.relative_rms()
                << "; same experts for all\n";
      EXPECT_LE(all.relative_rms(), kBound);
      EXPECT_LE(alone.relative_rms(), kBound);
      EXPECT_LE(few.relative_rms(), kBound);
    }
    const auto* introspection = library_.extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
    ASSERT_NE(introspection, nullptr);
    moe_statistics statistics = moe_init<moe_statistics>();
    moe::check([&](moe_error* e) { return introspection->get_statistics(instance_, &statistics, e); });
    EXPECT_EQ(statistics.validation_messages, 0u);
  }

  moe::Library library_;
  moe::Instance instance_;
  moe::Device device_;
  std::string device_name_;
};

TEST_P(RealModel, F16WithTheRepositorysOracle) { run_model(repository_files()); }
TEST_P(RealModel, F32WithTheFullOracle) {
  const char* folder = std::getenv("MOEVK_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "MOEVK_TEST_MODELS names no folder with the f32 model and its oracle";
  run_model(full_files(folder));
}

TEST_P(RealModel, QuantisedFiles) {
  const char* folder = std::getenv("MOEVK_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "MOEVK_TEST_MODELS names no folder with quantised models";
  if (GetParam()) GTEST_SKIP() << "the reference is what quantised files are compared with";
  for (const char* type : {"Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "MXFP4_MOE"}) {
    SCOPED_TRACE(type);
    run_quantised(fs::path(folder) / (std::string("tiny-moe-") + type + ".gguf"), fs::path(folder) / "oracle");
    if (HasFatalFailure() || IsSkipped()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RealModel, ::testing::Bool(),
                         [](const auto& device) { return device.param ? "reference" : "vulkan"; });

}  // namespace
