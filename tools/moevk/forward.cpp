// SPDX-License-Identifier: MIT
//
// In:  a layer, tokens.
// Out: ForwardResult.
// Why: host views, as a runtime on the CPU would use them; `bench` keeps its buffers on the device.
#include "tools/moevk/forward.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace moevk::cli {

std::vector<moe_step_timing> read_timings(const Host& host, moe_context* context) {
  const moe_introspection& introspection = host.introspection();
  uint32_t count = 0;
  moe::check([&](moe_error* e) { return introspection.get_timings(context, nullptr, &count, e); });
  std::vector<moe_step_timing> steps(count, moe_init<moe_step_timing>());
  moe::check([&](moe_error* e) { return introspection.get_timings(context, steps.data(), &count, e); });
  steps.resize(count);
  return steps;
}

bool start_profiling(const Host& host, moe_context* context) {
  try {
    moe::check([&](moe_error* e) { return host.introspection().set_profiling(context, 1, e); });
  } catch (const moe::Error& error) {
    if (error.code() != MOE_ERROR_UNSUPPORTED) throw;
    return false;
  }
  return true;
}

double quantile(std::vector<double> samples, double share) {
  std::sort(samples.begin(), samples.end());
  const double position = share * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, samples.size() - 1);
  const double part = position - static_cast<double>(below);
  return samples[below] * (1 - part) + samples[above] * part;
}

ForwardResult run_forward(const Host& host, moe_device* device, moe_layer* layer, const moe_layer_desc& desc,
                          const std::vector<float>& x, uint32_t repeats, bool profile) {
  ForwardResult result;
  const uint64_t tokens = x.size() / desc.hidden;
  result.tokens = tokens;
  result.y.resize(tokens * desc.hidden);
  result.ids.resize(tokens * desc.top_k);
  result.weights.resize(tokens * desc.top_k);
  const uint64_t choices = uint64_t{desc.experts} + desc.identity_experts;
  result.counts.resize(choices);
  const bool table = desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  const bool has_router = desc.route_source == MOE_ROUTE_FROM_ROUTER || table;
  if (has_router) result.logits.resize(tokens * choices);
  std::vector<int32_t> token_ids(table ? tokens : 0);
  for (uint64_t t = 0; t < token_ids.size(); ++t) token_ids[t] = static_cast<int32_t>(t % desc.token_table_rows);

  const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, tokens, desc.hidden);
  const moe_view y_view = moe::host_view(result.y.data(), MOE_DTYPE_F32, tokens, desc.hidden);
  const moe_view ids_view = moe::host_view(result.ids.data(), MOE_DTYPE_I32, tokens, desc.top_k);
  const moe_view weights_view = moe::host_view(result.weights.data(), MOE_DTYPE_F32, tokens, desc.top_k);
  const moe_view logits_view = moe::host_view(result.logits.data(), MOE_DTYPE_F32, tokens, choices);
  const moe_view counts_view = moe::host_view(result.counts.data(), MOE_DTYPE_I32, 1, choices);
  const moe_view tokens_view = moe::host_view(token_ids.data(), MOE_DTYPE_I32, tokens, 1);
  moe_call_args args = moe_init<moe_call_args>();
  args.tokens = tokens;
  args.x = &x_view;
  if ((desc.flags & MOE_LAYER_SEPARATE_ROUTER_INPUT) != 0) args.router_x = &x_view;
  if (table) args.token_ids = &tokens_view;
  args.y = &y_view;
  args.ids = &ids_view;
  args.weights = &weights_view;
  args.logits = has_router ? &logits_view : nullptr;
  args.counts = &counts_view;

  const moe::Context context = moe::create_context(host.library(), device, tokens);
  if (profile) profile = start_profiling(host, context);
  std::vector<double> walls;
  std::vector<std::vector<double>> step_times;
  for (uint32_t repeat = 0; repeat < std::max(repeats, 1u); ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    moe::check([&](moe_error* e) { return host.api().forward(context, layer, &args, e); });
    moe::wait(host.library(), context, moe::flush(host.library(), context));
    const auto end = std::chrono::steady_clock::now();
    walls.push_back(std::chrono::duration<double, std::milli>(end - start).count());
    if (!profile) continue;
    const std::vector<moe_step_timing> steps = read_timings(host, context);
    step_times.resize(std::max(step_times.size(), steps.size()));
    result.steps.resize(step_times.size());
    for (size_t index = 0; index < steps.size(); ++index) {
      step_times[index].push_back(steps[index].milliseconds);
      result.steps[index] = {steps[index].name, steps[index].dispatches, 0, steps[index].bytes, steps[index].flops};
    }
  }
  result.wall_ms = quantile(walls, 0.5);
  for (size_t index = 0; index < result.steps.size(); ++index) {
    result.steps[index].milliseconds = quantile(step_times[index], 0.5);
  }
  return result;
}

}  // namespace moevk::cli
