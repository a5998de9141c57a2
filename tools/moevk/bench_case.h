// SPDX-License-Identifier: MIT
//
// In:  a layer, tokens.
// Out: the time of encode, submit and wait; y; how many experts were used.
// Why: `moevk bench` and the comparison with ggml time a layer by the same lines: weights and tokens lie on the device,
//      nothing is copied in the timed part.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/moevk/forward.h"
#include "tools/moevk/host.h"

namespace moevk::cli {

class BenchCase {
 public:
  // x [inputs * tokens, hidden] is copied to the device, and the pipelines for that many tokens are compiled. Calls
  // take the inputs in turn. `host`, `device` and `layer` are borrowed and must outlive this object.
  BenchCase(const Host& host, moe_device* device, moe_layer* layer, const moe_layer_desc& desc,
            const std::vector<float>& x, uint64_t inputs = 1);
  BenchCase(const BenchCase&) = delete;
  BenchCase& operator=(const BenchCase&) = delete;

  // Milliseconds of one call, of `calls` in one submit.
  double time(uint32_t calls);
  // Experts with at least one token, counted by the device; the mean over the inputs.
  double count_experts();
  // [tokens, k] of the next call, which is made.
  std::vector<int32_t> chosen_experts();
  // The steps of a call, each with its median over `repeats` calls; empty where the device has no clock.
  std::vector<StepTime> profile(uint32_t repeats);
  // [tokens, hidden] of the last call.
  std::vector<float> read_y() const;

 private:
  const Host& host_;
  moe_layer* layer_;
  uint64_t experts_, top_k_, hidden_;
  uint64_t inputs_, next_ = 0;
  uint64_t values_;  // of an input, and of y
  moe::Buffer x_, y_, counts_;
  moe::Context context_;
  moe_view x_view_{}, y_view_{}, counts_view_{};
  moe_call_args args_ = moe_init<moe_call_args>();
};

}  // namespace moevk::cli
