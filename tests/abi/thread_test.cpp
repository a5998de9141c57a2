// SPDX-License-Identifier: MIT
//
// What the header promises of threads: one device and one layer shared by threads that each have a context, while
// others upload layers and make buffers. Every result has the bits of a single-threaded run.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/validation.h"

#if defined(__SANITIZE_THREAD__)
#define MOEVK_UNDER_TSAN 1
#elif defined(__has_feature)  // clang
#if __has_feature(thread_sanitizer)
#define MOEVK_UNDER_TSAN 1
#endif
#endif

namespace {

constexpr uint32_t kHidden = 48, kIntermediate = 40, kExperts = 6, kTopK = 2;
constexpr uint64_t kMostTokens = 40;

std::vector<float> numbers(size_t count, uint32_t seed) {
  std::vector<float> out(count);
  for (float& value : out) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
  }
  return out;
}

class Threads : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    uint32_t count = 0, index = 0;
    moe::check([&](moe_error* error) { return library_->get_device_count(instance_, &count, error); });
    moe::check([&](moe_error* error) { return library_->choose_device(instance_, &index, error); });
    if (!GetParam()) {
      index = count - 1;
    } else if (index == count - 1) {
      GTEST_SKIP() << "no Vulkan device: " << library_->why_no_gpu(instance_);
    }
#if defined(MOEVK_UNDER_TSAN)
    if (GetParam()) GTEST_SKIP() << "a driver that is not built with the thread sanitizer looks racy to it";
#endif
    device_ = moe::open_device(library_, instance_, index);
  }

  moe::Layer upload() const {
    moe_layer_desc desc = moe_init<moe_layer_desc>();
    desc.hidden = kHidden;
    desc.intermediate = kIntermediate;
    desc.experts = kExperts;
    desc.top_k = kTopK;
    desc.score = MOE_SCORE_SOFTMAX;
    moe::Upload upload = moe::begin_weights(library_, device_, desc);
    const std::vector<float> router = numbers(kExperts * kHidden, 1),
                             matrix = numbers(kExperts * kHidden * kIntermediate, 2);
    moe::add_tensor(library_, upload, "router.weight", MOE_DTYPE_F32, router.data(), router.size() * 4);
    for (const char* name : {"experts.gate", "experts.up", "experts.down"}) {
      moe::add_tensor(library_, upload, name, MOE_DTYPE_F32, matrix.data(), matrix.size() * 4);
    }
    return moe::commit_weights(library_, upload);
  }

  std::vector<float> forward(moe_context* context, moe_layer* layer, uint64_t tokens) const {
    const std::vector<float> x = numbers(tokens * kHidden, static_cast<uint32_t>(tokens));
    std::vector<float> y(x.size());
    const moe_view in = moe::host_view(x.data(), MOE_DTYPE_F32, tokens, kHidden);
    const moe_view out = moe::host_view(y.data(), MOE_DTYPE_F32, tokens, kHidden);
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = tokens;
    args.x = &in;
    args.y = &out;
    moe::check([&](moe_error* error) { return library_->forward(context, layer, &args, error); });
    moe::wait(library_, context, moe::flush(library_, context));
    return y;
  }

  moe::Library library_{MOEVK_TEST_LIBRARY};
  moe::Instance instance_ = moe_tests::create_instance(library_);
  moe::Device device_;
};

TEST_P(Threads, ShareADeviceAndALayer) {
  const moe::Layer layer = upload();
  std::vector<std::vector<float>> expected(kMostTokens + 1);
  {
    const moe::Context context = moe::create_context(library_, device_, kMostTokens);
    for (uint64_t tokens = 1; tokens <= kMostTokens; ++tokens) expected[tokens] = forward(context, layer, tokens);
  }
  std::atomic<int> wrong{0}, failed{0};
  const auto run = [&](auto body) {
    return std::thread([&, body] {
      try {
        body();
      } catch (const std::exception& error) {
        ++failed;
        std::fprintf(stderr, "%s\n", error.what());
      }
    });
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.push_back(run([&, t] {
      const moe::Context context = moe::create_context(library_, device_, kMostTokens);
      for (uint64_t i = 0; i < 30; ++i) {
        const uint64_t tokens = 1 + (i * 7 + t * 13) % kMostTokens;
        if (forward(context, layer, tokens) != expected[tokens]) ++wrong;
      }
    }));
  }
  threads.push_back(run([&] {
    for (int i = 0; i < 5; ++i) {
      const moe::Layer other = upload();
      moe::check([&](moe_error* error) { return library_->prepare(other, 1, kMostTokens, error); });
      const moe::Context context = moe::create_context(library_, device_, kMostTokens);
      if (forward(context, other, 5) != expected[5]) ++wrong;
    }
  }));
  threads.push_back(run([&] {
    const std::vector<float> data = numbers(1000, 9);
    for (int i = 0; i < 20; ++i) {
      const moe::Buffer buffer = moe::create_buffer(library_, device_, data.size() * 4);
      std::vector<float> back(data.size());
      moe::check(
          [&](moe_error* error) { return library_->write_buffer(buffer, 0, data.data(), data.size() * 4, error); });
      moe::check(
          [&](moe_error* error) { return library_->read_buffer(buffer, 0, back.data(), back.size() * 4, error); });
      if (back != data) ++wrong;
    }
  }));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(failed, 0);
  moe_statistics statistics = moe_init<moe_statistics>();
  const auto* introspection = library_.extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
  moe::check([&](moe_error* error) { return introspection->get_statistics(instance_, &statistics, error); });
  EXPECT_EQ(statistics.validation_messages, 0u);
}

INSTANTIATE_TEST_SUITE_P(Devices, Threads, testing::Bool(),
                         [](const auto& info) { return info.param ? "vulkan" : "reference"; });

}  // namespace
