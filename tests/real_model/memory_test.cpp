// SPDX-License-Identifier: MIT
//
// What `estimate` promises against what is allocated: all layers of a model, and a context that has run them; and while
// blocks are loaded, which the device packs, never more than the weights and the staging.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/support/system.h"
#include "tests/validation.h"
#include "tools/model/gguf.h"
#include "tools/model/moe_model.h"

namespace {

constexpr double kShare = 0.02;          // of the estimate,
constexpr double kRest = 8.0 * 1048576;  // and this

TEST(Memory, EstimateIsWhatIsAllocated) {
  moe::Library library(MOEVK_TEST_LIBRARY);
  moe::Instance instance = moe_tests::create_instance(library);
  uint32_t count = 0, index = 0;
  moe::check([&](moe_error* e) { return library->get_device_count(instance, &count, e); });
  moe::check([&](moe_error* e) { return library->choose_device(instance, &index, e); });
  if (index == count - 1) GTEST_SKIP() << "no Vulkan device: " << library->why_no_gpu(instance);
  moe::Device device = moe::open_device(library, instance, index);
  const auto* introspection =
      static_cast<const moe_introspection*>(library->get_extension(MOE_EXTENSION_INTROSPECTION));
  ASSERT_NE(introspection, nullptr);
  const auto allocated = [&] {
    moe_statistics statistics = moe_init<moe_statistics>();
    moe::check([&](moe_error* e) { return introspection->get_statistics(instance, &statistics, e); });
    return statistics;
  };

  const std::string path = MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf";
  const auto file = moevk::model::GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().text();
  const auto model = moevk::model::find_moe_layers(*file);
  ASSERT_TRUE(model.ok()) << model.error().text();
  // Several copies, so that the megabytes that are allowed besides do not decide.
  constexpr uint64_t kCopies = 8, kTokens = 512;
  std::vector<const moe_layer_desc*> descs;
  for (uint64_t copy = 0; copy < kCopies; ++copy) {
    for (const auto& layer : model->layers) descs.push_back(&layer.desc);
  }
  moe_estimate estimate = moe_init<moe_estimate>();
  moe::check([&](moe_error* e) {
    return library->estimate(device, descs.data(), static_cast<uint32_t>(descs.size()), kTokens, &estimate, e);
  });
  ASSERT_GT(static_cast<double>(estimate.weight_bytes), 8 * kRest);

  const uint64_t before = allocated().allocated_bytes;
  std::vector<moe::Layer> layers;
  for (uint64_t copy = 0; copy < kCopies; ++copy) {
    for (const auto& layer : model->layers) {
      moe::Upload upload = moe::begin_weights(library, device, layer.desc);
      for (const auto& tensor : layer.tensors) {
        const moe_tensor_source source = moevk::model::file_source(*file, tensor);
        moe::check([&](moe_error* e) { return library->add_tensor(upload, &source, e); });
      }
      layers.push_back(moe::commit_weights(library, upload));
    }
  }
  const double weights = static_cast<double>(allocated().allocated_bytes - before);
  EXPECT_LE(std::fabs(weights - static_cast<double>(estimate.weight_bytes)),
            kShare * static_cast<double>(estimate.weight_bytes) + kRest);

  const size_t hidden = model->hidden;
  std::vector<float> x(kTokens * hidden, 0.5f), y(kTokens * hidden);
  moe::Context context = moe::create_context(library, device, kTokens);
  const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, kTokens, hidden);
  const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, kTokens, hidden);
  moe_call_args args = moe_init<moe_call_args>();
  args.tokens = kTokens;
  args.x = &x_view;
  args.y = &y_view;
  moe::check([&](moe_error* e) { return library->forward(context, layers.front(), &args, e); });
  moe::wait(library, context, moe::flush(library, context));
  const double held = static_cast<double>(allocated().allocated_bytes - before);
  const double promised = static_cast<double>(estimate.weight_bytes + estimate.workspace_bytes);
  EXPECT_LE(std::fabs(held - promised), kShare * promised + kRest) << "held " << held << ", promised " << promised;
  // What was asked of the driver at most: with the staging, for as long as weights came in.
  const double peak = static_cast<double>(allocated().peak_driver_bytes);
  EXPECT_LE(peak, (1 + kShare) * (promised + static_cast<double>(estimate.staging_bytes)) + kRest);
}

// A word more in a variable that holds a list, until the end of a scope.
class Setting {
 public:
  Setting(const char* name, const char* word) : name_(name) {
    if (const char* const set = std::getenv(name)) before_ = set;
    moe_tests::set_environment(name, (before_ + "," + word).c_str());
  }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;
  ~Setting() { moe_tests::set_environment(name_, before_.c_str()); }

 private:
  const char* name_;
  std::string before_;
};

// Weights of Q4_K come by callback; the test holds none of them.
void expect_load_within_estimate(bool memory_apart) {
  constexpr uint32_t hidden = 1024, intermediate = 1024, experts = 64;
  const Setting disable("MOEVK_DISABLE", memory_apart ? "unified" : "");
  const Setting limits("MOEVK_LIMITS", "host_packing=0");  // on drivers of the host's cores, too
  moe::Library library(MOEVK_TEST_LIBRARY);
  moe::Instance instance = moe_tests::create_instance(library);
  uint32_t count = 0, index = 0;
  moe::check([&](moe_error* e) { return library->get_device_count(instance, &count, e); });
  moe::check([&](moe_error* e) { return library->choose_device(instance, &index, e); });
  if (index == count - 1) GTEST_SKIP() << "no Vulkan device: " << library->why_no_gpu(instance);
  moe::Device device = moe::open_device(library, instance, index);
  const auto* introspection =
      static_cast<const moe_introspection*>(library->get_extension(MOE_EXTENSION_INTROSPECTION));
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = hidden, desc.intermediate = intermediate, desc.experts = experts, desc.top_k = 1;
  desc.score = MOE_SCORE_SOFTMAX;
  desc.gate_format.preset = desc.up_format.preset = desc.down_format.preset = 1 + 12;
  const moe_layer_desc* descs[] = {&desc, &desc};
  moe_estimate estimate = moe_init<moe_estimate>(), two = estimate;
  moe::check([&](moe_error* e) { return library->estimate(device, descs, 1, 1, &estimate, e); });
  moe::check([&](moe_error* e) { return library->estimate(device, descs, 2, 1, &two, e); });
  EXPECT_EQ(two.staging_bytes, estimate.staging_bytes) << "is fixed";
  moe::Upload upload = moe::begin_weights(library, device, desc);
  for (const char* name : {"router.weight", "experts.gate", "experts.up", "experts.down"}) {
    moe_tensor_source source = moe_init<moe_tensor_source>();
    const bool router = std::string(name) == "router.weight";
    source.name = name;
    source.source = MOE_SOURCE_CALLBACK;
    source.dtype = router ? MOE_DTYPE_F32 : MOE_DTYPE_BLOCKS;
    source.bytes = uint64_t{experts} * hidden * (router ? 4 : intermediate / 256 * 144);
    source.read = [](void*, uint64_t, void* destination, uint64_t bytes) -> int32_t {
      std::memset(destination, 0x11, bytes);
      return 0;
    };
    moe::check([&](moe_error* e) { return library->add_tensor(upload, &source, e); });
  }
  moe::Layer layer = moe::commit_weights(library, upload);
  moe_statistics statistics = moe_init<moe_statistics>();
  moe::check([&](moe_error* e) { return introspection->get_statistics(instance, &statistics, e); });
  const auto weights = static_cast<double>(estimate.weight_bytes),
             staging = static_cast<double>(estimate.staging_bytes);
  EXPECT_GT(weights, 2 * staging) << "else the bound says little";
  EXPECT_LE(static_cast<double>(statistics.peak_driver_bytes), (1 + kShare) * (weights + staging) + kRest);
}

TEST(Memory, LoadOfBlocksIsWeightsAndStaging) { expect_load_within_estimate(false); }

TEST(Memory, LoadOfBlocksIntoMemoryOfItsOwn) { expect_load_within_estimate(true); }

}  // namespace
