// SPDX-License-Identifier: MIT
//
// cpp_host.cpp - a host in C++: runs a small MoE layer with bf16 weights on the best device, and
// checks it against the CPU reference, another device of the same library. usage: cpp_host
// [LIBRARY]
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <vector>

#include "plugin_api/moe_plugin.hpp"

namespace {

constexpr uint32_t kHidden = 64, kIntermediate = 128, kExperts = 8, kTopK = 2, kTokens = 4;

struct Result {
  std::vector<float> y = std::vector<float>(kTokens * kHidden);
  std::vector<int32_t> ids = std::vector<int32_t>(kTokens * kTopK);
};

// Numbers between -0.3 and 0.3.
std::vector<float> make_numbers(size_t count, uint32_t seed) {
  std::vector<float> numbers(count);
  for (float& number : numbers) {
    seed = seed * 1664525u + 1013904223u;
    number = 0.3f * (static_cast<float>(seed >> 8) / 8388608.0f - 1.0f);
  }
  return numbers;
}

moe::Layer upload_layer(const moe::Library& library, moe_device* device) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();  // zero elsewhere: a router, silu
  desc.hidden = kHidden, desc.intermediate = kIntermediate;
  desc.experts = kExperts, desc.top_k = kTopK;
  desc.score = MOE_SCORE_SOFTMAX, desc.normalize = MOE_NORMALIZE_SUM_EPS;
  desc.gate_format.element = desc.up_format.element = desc.down_format.element = MOE_ELEMENT_BF16;

  moe::Upload upload = moe::begin_weights(library, device, desc);  // cancelled on exceptions
  const std::vector<float> router = make_numbers(kExperts * kHidden, 1);
  moe::add_tensor(library, upload, "router.weight", MOE_DTYPE_F32, router.data(), router.size() * sizeof(float));
  uint32_t seed = 2;
  for (const char* name : {"experts.gate", "experts.up", "experts.down"}) {
    std::vector<uint16_t> matrix;  // bf16: the upper half of an f32
    for (const float number : make_numbers(kExperts * kIntermediate * kHidden, seed++)) {
      matrix.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(number) >> 16));
    }
    moe::add_tensor(library, upload, name, MOE_DTYPE_BF16, matrix.data(), matrix.size() * 2);
  }
  return moe::commit_weights(library, upload);
}

Result run_on(const moe::Library& library, moe_instance* instance, uint32_t index) {
  const moe::Device device = moe::open_device(library, instance, index);
  const moe::Layer layer = upload_layer(library, device);
  const moe::Context context = moe::create_context(library, device, kTokens);
  const std::vector<float> x = make_numbers(kTokens * kHidden, 9);
  Result result;
  const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, kTokens, kHidden);
  const moe_view y_view = moe::host_view(result.y.data(), MOE_DTYPE_F32, kTokens, kHidden);
  const moe_view ids_view = moe::host_view(result.ids.data(), MOE_DTYPE_I32, kTokens, kTopK);
  moe_call_args args = moe_init<moe_call_args>();
  args.tokens = kTokens, args.x = &x_view, args.y = &y_view, args.ids = &ids_view;
  moe::check([&](moe_error* error) { return library->forward(context, layer, &args, error); });
  moe::wait(library, context, moe::flush(library, context));
  return result;
}

}  // namespace

int main(int argc, char** argv) try {
  const moe::Library library(argc > 1 ? argv[1] : nullptr);
  const moe::Instance instance = moe::create_instance(library);
  uint32_t count = 0, best = 0;
  moe::check([&](moe_error* error) { return library->get_device_count(instance, &count, error); });
  moe::check([&](moe_error* error) { return library->choose_device(instance, &best, error); });
  const Result result = run_on(library, instance, best);
  const Result expected = run_on(library, instance, count - 1);  // the last device is the reference
  for (size_t t = 0; t < kTokens; ++t) {
    std::printf("token %zu  experts %d %d  y %9.6f %9.6f ...\n", t, result.ids[t * kTopK], result.ids[t * kTopK + 1],
                result.y[t * kHidden], result.y[t * kHidden + 1]);
  }
  float largest = 0, difference = 0;
  for (size_t i = 0; i < result.y.size(); ++i) {
    largest = std::max(largest, std::fabs(expected.y[i]));
    difference = std::max(difference, std::fabs(result.y[i] - expected.y[i]));
  }
  const bool same = result.ids == expected.ids && difference <= 1e-5f * largest;
  std::printf("device %u of %u: %s\n", best, count, same ? "agrees with the reference" : "WRONG");
  return same ? 0 : 1;
} catch (const moe::Error& error) {
  std::fprintf(stderr, "error %d: %s\n", error.code(), error.what());
  return 1;
}
