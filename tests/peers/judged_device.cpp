// SPDX-License-Identifier: MIT
//
// In:  see judged_device.h.
// Out: see judged_device.h.
// Why: see judged_device.h.
#include "tests/peers/judged_device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace moevk::peers {
namespace {

constexpr uint64_t kTokensAlone = 3;

// Rows first..first+count-1 of a packed matrix that may be absent.
template <class T>
moe_view rows_of(const std::vector<T>& matrix, uint32_t dtype, uint64_t first, uint64_t count, uint64_t columns) {
  return moe::host_view(matrix.empty() ? nullptr : matrix.data() + first * columns, dtype, count, columns);
}

// Tokens first..first+count-1.
LayerOutputs forward(const cli::Host& host, moe_context* context, moe_layer* layer, const moe_layer_desc& desc,
                     const LayerInputs& in, uint64_t first, uint64_t count) {
  const uint64_t h = desc.hidden, k = desc.top_k, e = uint64_t{desc.experts} + desc.identity_experts;
  const bool table = desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  const bool selects = desc.route_source == MOE_ROUTE_FROM_ROUTER || desc.route_source == MOE_ROUTE_FROM_LOGITS;
  LayerOutputs out;
  out.y.resize(count * h), out.ids.resize(count * k), out.weights.resize(count * k);
  if (in.logits.empty()) out.logits.resize(count * e);
  if (selects) out.scores.resize(count * e);
  const moe_view x = rows_of(in.x, MOE_DTYPE_F32, first, count, h);
  const moe_view router_x = rows_of(in.router_x, MOE_DTYPE_F32, first, count, h);
  const moe_view logits_in = rows_of(in.logits, MOE_DTYPE_F32, first, count, e);
  const moe_view token_ids = rows_of(in.token_ids, MOE_DTYPE_I32, first, count, 1);
  const moe_view y = rows_of(out.y, MOE_DTYPE_F32, 0, count, h);
  const moe_view ids = rows_of(out.ids, MOE_DTYPE_I32, 0, count, k);
  const moe_view weights = rows_of(out.weights, MOE_DTYPE_F32, 0, count, k);
  const moe_view logits = rows_of(out.logits, MOE_DTYPE_F32, 0, count, e);
  const moe_view scores = rows_of(out.scores, MOE_DTYPE_F32, 0, count, e);
  moe_call_args args = moe_init<moe_call_args>();
  args.tokens = count;
  args.x = &x;
  if ((desc.flags & MOE_LAYER_SEPARATE_ROUTER_INPUT) != 0) args.router_x = &router_x;
  if (!in.logits.empty()) args.logits_in = &logits_in;
  if (table) args.token_ids = &token_ids;
  args.y = &y;
  args.ids = &ids;
  args.weights = &weights;
  if (in.logits.empty()) args.logits = &logits;
  if (selects) args.scores = &scores;
  moe::check([&](moe_error* error) { return host.api().forward(context, layer, &args, error); });
  moe::wait(host.library(), context, moe::flush(host.library(), context));
  return out;
}

}  // namespace

std::vector<JudgedDevice> open_judged_devices(const cli::Host& host, const std::string& which, std::string& why) {
  std::vector<JudgedDevice> devices;
  devices.push_back({host.open(host.reference()), "reference"});
  const uint32_t index = host.find(which);
  const moe_device_info& info = host.devices()[index];
  if (info.kind != MOE_DEVICE_KIND_REFERENCE) {
    devices.push_back({host.open(index), info.driver});
  } else {
    why = host.api().why_no_gpu(host.instance());
    if (why.empty()) why = "the reference was asked for";
  }
  return devices;
}

LayerOutputs run_layer(const cli::Host& host, moe_device* device, const moe_layer_desc& desc,
                       std::span<const moe_tensor_source> tensors, const LayerInputs& inputs) {
  moe::Upload upload = moe::begin_weights(host.library(), device, desc);
  for (const moe_tensor_source& tensor : tensors) {
    moe::check([&](moe_error* error) { return host.api().add_tensor(upload, &tensor, error); });
  }
  const moe::Layer layer = moe::commit_weights(host.library(), upload);
  const moe::Context context = moe::create_context(host.library(), device, inputs.tokens);
  LayerOutputs all = forward(host, context, layer, desc, inputs, 0, inputs.tokens);
  const std::span<const float> y(all.y);
  for (uint64_t t = 0; t < std::min(kTokensAlone, inputs.tokens); ++t) {
    const LayerOutputs one = forward(host, context, layer, desc, inputs, t, 1);
    Difference difference;
    difference.add(one.y, y.subspan(t * desc.hidden, desc.hidden));
    if (!std::equal(one.ids.begin(), one.ids.end(), all.ids.begin() + static_cast<std::ptrdiff_t>(t * desc.top_k)) ||
        !difference.is_within(kPeerBound)) {
      throw std::runtime_error("token " + std::to_string(t) +
                               " alone differs from the same token among others: " + difference.text());
    }
  }
  return all;
}

void Difference::add(std::span<const float> ours, std::span<const float> theirs) {
  if (ours.size() != theirs.size()) throw std::runtime_error("results of two sizes");
  for (size_t i = 0; i < ours.size(); ++i) {
    const double truth = theirs[i], error = std::fabs(static_cast<double>(ours[i]) - truth);
    square += error * error;
    size += truth * truth;
    largest = std::isfinite(error) ? std::max(largest, error) : INFINITY;
    scale = std::max(scale, std::fabs(truth));
  }
}

void Difference::add(const Difference& other) {
  square += other.square;
  size += other.size;
  largest = std::max(largest, other.largest);
  scale = std::max(scale, other.scale);
}

double Difference::relative_rms() const { return square == 0 ? 0 : std::sqrt(square / size); }
double Difference::relative_max() const { return largest == 0 ? 0 : largest / scale; }

std::string Difference::text() const {
  char text[96];
  std::snprintf(text, sizeof text, "relative RMS %.1e, largest %.1e of the largest output", relative_rms(),
                relative_max());
  return text;
}

void refuse_validation_messages(const cli::Host& host) {
  moe_statistics statistics = moe_init<moe_statistics>();
  moe::check([&](moe_error* e) { return host.introspection().get_statistics(host.instance(), &statistics, e); });
  if (statistics.validation_messages == 0) return;
  throw std::runtime_error(std::to_string(statistics.validation_messages) + " messages of Vulkan's validation");
}

}  // namespace moevk::peers
