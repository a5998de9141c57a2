// SPDX-License-Identifier: MIT
//
// Tensors larger than the device can bind at once: a stacked tensor beyond maxStorageBufferRange, and a single
// expert's matrix beyond it, through device addresses and through windows, judged by the reference. Real sizes,
// on devices whose range is small enough to exceed in a test (128 MiB on lavapipe and on Adreno).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/support/system.h"
#include "tests/validation.h"

namespace {

constexpr uint64_t kMostRange = 256ull << 20;

uint64_t fact(const std::string& caps, const std::string& name) {
  const size_t at = caps.find(name + " = ");
  return at == std::string::npos ? 0 : std::strtoull(caps.c_str() + at + name.size() + 3, nullptr, 10);
}

void MOE_CALL append(void* user, const char* text, uint64_t bytes) {
  static_cast<std::string*>(user)->append(text, bytes);
}

// Halves of about +-scale out of a hash of the element's index; no tensor is held.
struct Generator {
  uint32_t seed;
  uint16_t exponent;  // bits 10..14 of every half
};

int32_t MOE_CALL generate(void* user, uint64_t offset, void* destination, uint64_t bytes) {
  const auto* g = static_cast<const Generator*>(user);
  auto* out = static_cast<uint16_t*>(destination);
  for (uint64_t i = 0; i < bytes / 2; ++i) {
    uint64_t x = (offset / 2 + i + 1) * 0x9E3779B97F4A7C15u + g->seed;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    out[i] = static_cast<uint16_t>((x >> 48 & 0x83FF) | g->exponent << 10);
  }
  return 0;
}

struct Shape {
  const char* name;
  uint32_t hidden, experts, top_k;
  bool matrix_beyond;  // one expert's matrix exceeds the range, not only the stack
  uint64_t tokens;
  const char* limits;  // MOEVK_LIMITS: so low a range that a kernel cannot bind all windows at once
};

class BeyondRange : public testing::TestWithParam<std::tuple<Shape, bool>> {
 protected:
  void SetUp() override {
    if (!std::get<1>(GetParam())) moe_tests::set_environment("MOEVK_DISABLE", "bda");
    if (const char* limits = std::get<0>(GetParam()).limits) moe_tests::set_environment("MOEVK_LIMITS", limits);
  }
  void TearDown() override {
    moe_tests::unset_environment("MOEVK_DISABLE");
    moe_tests::unset_environment("MOEVK_LIMITS");
  }

  static moe::Layer upload(const moe::Library& library, moe_device* device, const moe_layer_desc& desc) {
    moe::Upload upload = moe::begin_weights(library, device, desc);
    const float up_scale = 1.0f / std::sqrt(static_cast<float>(desc.hidden));
    const auto exponent = [](float scale) {
      return static_cast<uint16_t>(15 + static_cast<int>(std::floor(std::log2(scale))));
    };
    Generator generators[2] = {{1, exponent(up_scale)},
                               {2, exponent(1.0f / std::sqrt(static_cast<float>(desc.intermediate)))}};
    const char* names[2] = {"experts.up", "experts.down"};
    for (int i = 0; i < 2; ++i) {
      moe_tensor_source source = moe_init<moe_tensor_source>();
      source.name = names[i];
      source.source = MOE_SOURCE_CALLBACK;
      source.dtype = MOE_DTYPE_F16;
      source.bytes = uint64_t{2} * desc.experts * desc.hidden * desc.intermediate;
      source.read = generate;
      source.user = &generators[i];
      moe::check([&](moe_error* error) { return library->add_tensor(upload, &source, error); });
    }
    return moe::commit_weights(library, upload);
  }

  static std::vector<float> forward(const moe::Library& library, moe_device* device, const moe_layer_desc& desc) {
    const uint64_t tokens = std::get<0>(GetParam()).tokens;
    const moe::Layer layer = upload(library, device, desc);
    const moe::Context context = moe::create_context(library, device, tokens);
    std::vector<float> x(tokens * desc.hidden), y(x.size()), weights(tokens * desc.top_k, 0.5f);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 37 + 11) % 101) / 50.0f - 1.0f;
    std::vector<int32_t> ids(weights.size());
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 3) % desc.experts);
    const moe_view views[4] = {moe::host_view(x.data(), MOE_DTYPE_F32, tokens, desc.hidden),
                               moe::host_view(y.data(), MOE_DTYPE_F32, tokens, desc.hidden),
                               moe::host_view(ids.data(), MOE_DTYPE_I32, tokens, desc.top_k),
                               moe::host_view(weights.data(), MOE_DTYPE_F32, tokens, desc.top_k)};
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = tokens;
    args.x = &views[0];
    args.y = &views[1];
    args.ids_in = &views[2];
    args.weights_in = &views[3];
    moe::check([&](moe_error* error) { return library->forward(context, layer, &args, error); });
    moe::wait(library, context, moe::flush(library, context));
    return y;
  }
};

TEST_P(BeyondRange, AgreesWithTheReference) {
  const Shape& shape = std::get<0>(GetParam());
  const moe::Library library(MOEVK_TEST_LIBRARY);
  const moe::Instance instance = moe_tests::create_instance(library);
  uint32_t count = 0, index = 0;
  moe::check([&](moe_error* error) { return library->get_device_count(instance, &count, error); });
  moe::check([&](moe_error* error) { return library->choose_device(instance, &index, error); });
  if (index == count - 1) GTEST_SKIP() << "no Vulkan device: " << library->why_no_gpu(instance);
  const moe::Device device = moe::open_device(library, instance, index);
  const moe::Device reference = moe::open_device(library, instance, count - 1);
  std::string caps;
  const auto* introspection = library.extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
  moe::check([&](moe_error* error) { return introspection->get_caps_text(device, append, &caps, error); });
  const uint64_t range = fact(caps, "max_storage_buffer_range");
  ASSERT_GT(range, 0u);
  if (range > kMostRange)
    GTEST_SKIP() << "the device binds " << range << " bytes at once, too much to exceed in a test";
  const bool addresses = fact(caps, "buffer_device_address") != 0;
  if (std::get<1>(GetParam()) && !addresses) GTEST_SKIP() << "the device has no buffer addresses";
  ASSERT_EQ(addresses, std::get<1>(GetParam()));

  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = shape.hidden;
  desc.experts = shape.experts;
  desc.top_k = shape.top_k;
  desc.route_source = MOE_ROUTE_FROM_IDS;
  desc.flags = MOE_LAYER_UNGATED;
  desc.up_format.element = desc.down_format.element = MOE_ELEMENT_F16;
  const uint64_t matrices = shape.matrix_beyond ? 1 : shape.experts;
  desc.intermediate = static_cast<uint32_t>(range / (uint64_t{2} * shape.hidden * matrices) + 37);
  ASSERT_GT(uint64_t{2} * desc.hidden * desc.intermediate * matrices, range);

  const std::vector<float> y = forward(library, device, desc);
  const std::vector<float> expected = forward(library, reference, desc);
  float largest = 0, worst = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, std::fabs(expected[i]));
    worst = std::max(worst, std::fabs(y[i] - expected[i]));
  }
  EXPECT_GT(largest, 1e-3f);
  moe_statistics statistics = moe_init<moe_statistics>();
  moe::check([&](moe_error* error) { return introspection->get_statistics(instance, &statistics, error); });
  EXPECT_EQ(statistics.validation_messages, 0u);
  EXPECT_LE(worst, 1e-5f * largest) << "of " << largest;
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, BeyondRange,
    testing::Combine(testing::Values(Shape{"stack", 2048, 4, 2, false, 2, nullptr},
                                     Shape{"matrix", 8192, 1, 1, true, 2, nullptr},
                                     Shape{"passes", 512, 24, 2, true, 12, "max_storage_buffer_range=1048576"},
                                     Shape{"passes_tiled", 512, 24, 2, true, 24, "max_storage_buffer_range=1048576"}),
                     testing::Bool()),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) ? "_addresses" : "_windows");
    });

}  // namespace
