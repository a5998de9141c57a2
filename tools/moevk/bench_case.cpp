// SPDX-License-Identifier: MIT
//
// Buffers on the device, a context, and the clock around encode, submit and wait (see bench_case.h).
#include "tools/moevk/bench_case.h"

#include <algorithm>
#include <chrono>

namespace moevk::cli {

BenchCase::BenchCase(const Host& host, moe_device* device, moe_layer* layer, const moe_layer_desc& desc,
                     const std::vector<float>& x, uint64_t inputs)
    : host_(host),
      layer_(layer),
      experts_(desc.experts),
      top_k_(desc.top_k),
      hidden_(desc.hidden),
      inputs_(inputs),
      values_(x.size() / inputs) {
  const uint64_t tokens = values_ / desc.hidden, bytes = values_ * sizeof(float);
  x_ = moe::create_buffer(host.library(), device, inputs * bytes);
  y_ = moe::create_buffer(host.library(), device, bytes);
  counts_ = moe::create_buffer(host.library(), device, experts_ * sizeof(int32_t));
  moe::check([&](moe_error* e) { return host.api().write_buffer(x_, 0, x.data(), inputs * bytes, e); });
  moe::check([&](moe_error* e) { return host.api().prepare(layer, tokens, tokens, e); });
  context_ = moe::create_context(host.library(), device, tokens);
  y_view_ = moe::buffer_view(y_, 0, MOE_DTYPE_F32, tokens, desc.hidden);
  counts_view_ = moe::buffer_view(counts_, 0, MOE_DTYPE_I32, 1, experts_);
  args_.tokens = tokens;
  args_.x = &x_view_;
  args_.y = &y_view_;
}

double BenchCase::time(uint32_t calls) {
  const auto start = std::chrono::steady_clock::now();
  for (uint32_t call = 0; call < calls; ++call, next_ = (next_ + 1) % inputs_) {
    x_view_ = moe::buffer_view(x_, next_ * values_ * sizeof(float), MOE_DTYPE_F32, args_.tokens, hidden_);
    moe::check([&](moe_error* e) { return host_.api().forward(context_, layer_, &args_, e); });
  }
  moe::wait(host_.library(), context_, moe::flush(host_.library(), context_));
  const auto end = std::chrono::steady_clock::now();
  return std::chrono::duration<double, std::milli>(end - start).count() / calls;
}

double BenchCase::count_experts() {
  std::vector<int32_t> counts(experts_);
  int64_t used = 0;
  for (uint64_t input = 0; input < inputs_; ++input) {
    args_.counts = &counts_view_;
    time(1);
    args_.counts = nullptr;
    moe::check([&](moe_error* e) {
      return host_.api().read_buffer(counts_, 0, counts.data(), experts_ * sizeof(int32_t), e);
    });
    used += std::count_if(counts.begin(), counts.end(), [](int32_t n) { return n > 0; });
  }
  return static_cast<double>(used) / static_cast<double>(inputs_);
}

std::vector<int32_t> BenchCase::chosen_experts() {
  std::vector<int32_t> ids(args_.tokens * top_k_);
  const moe_view view = moe::host_view(ids.data(), MOE_DTYPE_I32, args_.tokens, top_k_);
  args_.ids = &view;
  time(1);
  args_.ids = nullptr;
  return ids;
}

std::vector<StepTime> BenchCase::profile(uint32_t repeats) {
  std::vector<StepTime> steps;
  if (!start_profiling(host_, context_)) return steps;
  std::vector<std::vector<double>> samples;
  for (uint32_t repeat = 0; repeat < repeats; ++repeat) {
    time(1);
    const std::vector<moe_step_timing> timings = read_timings(host_, context_);
    steps.resize(timings.size()), samples.resize(timings.size());
    for (size_t i = 0; i < timings.size(); ++i) {
      samples[i].push_back(timings[i].milliseconds);
      steps[i] = {timings[i].name, timings[i].dispatches, quantile(samples[i], 0.5), timings[i].bytes,
                  timings[i].flops};
    }
  }
  moe::check([&](moe_error* e) { return host_.introspection().set_profiling(context_, 0, e); });
  return steps;
}

std::vector<float> BenchCase::read_y() const {
  std::vector<float> y(values_);
  moe::check([&](moe_error* e) { return host_.api().read_buffer(y_, 0, y.data(), y.size() * sizeof(float), e); });
  return y;
}

}  // namespace moevk::cli
