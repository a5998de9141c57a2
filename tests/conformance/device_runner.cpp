// SPDX-License-Identifier: MIT
//
// Arranges views for one call, makes it, waits, and reads everything back. Each call gets fresh
// memory: nothing of an earlier call can pass for the output of a later one.
#include "tests/conformance/device_runner.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/numbers.h"

namespace moe_conformance {
namespace {

std::vector<std::byte> encode_rows(const std::vector<float>& values, uint32_t dtype) {
  const size_t size = dtype_bytes(dtype);
  std::vector<std::byte> bytes(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) store(dtype, bytes.data() + i * size, values[i]);
  return bytes;
}

int32_t MOE_CALL read_from_memory(void* user, uint64_t offset, void* destination, uint64_t bytes) {
  std::memcpy(destination, static_cast<const std::byte*>(user) + offset, static_cast<size_t>(bytes));
  return 0;
}

// The library's list of tensors must be the packed ones: names, shapes and bytes.
void compare_tensor_list(const moe_api* api, moe_device* device, const moe_layer_desc& desc,
                         const std::vector<PackedTensor>& packed, bool plain_f32) {
  uint32_t count = 0;
  moe::check([&](moe_error* error) { return api->list_tensors(device, &desc, nullptr, &count, error); });
  std::vector<moe_tensor_info> infos(count, moe_init<moe_tensor_info>());
  moe::check([&](moe_error* error) { return api->list_tensors(device, &desc, infos.data(), &count, error); });
  for (const PackedTensor& tensor : packed) {
    const auto found =
        std::find_if(infos.begin(), infos.end(), [&](const moe_tensor_info& i) { return tensor.name == i.name; });
    if (found == infos.end()) throw std::runtime_error("list_tensors does not name " + tensor.name);
    const uint64_t listed = uint64_t{found->rows} * found->columns * std::max(found->experts, 1u);
    const uint64_t ours = uint64_t{tensor.rows} * tensor.columns * std::max(tensor.experts, 1u);
    const bool matrix = tensor.rows > 1 && tensor.name != "router.weight";
    if (listed != ours || (matrix && (found->rows != tensor.rows || found->columns != tensor.columns)) ||
        ((matrix || plain_f32) && found->bytes != tensor.bytes.size())) {
      throw std::runtime_error("list_tensors: " + tensor.name + " is " + std::to_string(found->experts) + " x " +
                               std::to_string(found->rows) + " x " + std::to_string(found->columns) + ", " +
                               std::to_string(found->bytes) + " bytes; expected " + std::to_string(tensor.experts) +
                               " x " + std::to_string(tensor.rows) + " x " + std::to_string(tensor.columns) + ", " +
                               std::to_string(tensor.bytes.size()) + " bytes");
    }
  }
  if (infos.size() != packed.size()) {
    throw std::runtime_error("list_tensors names " + std::to_string(infos.size()) + " tensors, the layer has " +
                             std::to_string(packed.size()));
  }
}

}  // namespace

Owner<moe_layer> upload_layer(const moe_api* api, moe_device* device, const LayerCase& c) {
  const std::vector<PackedTensor> tensors = pack_tensors(c);
  compare_tensor_list(api, device, c.desc, tensors,
                      c.weights.router_dtype == MOE_DTYPE_F32 && c.weights.blocks.router.empty());
  moe_upload* upload = nullptr;
  moe::check([&](moe_error* error) { return api->begin_weights(device, &c.desc, nullptr, &upload, error); });
  Owner<moe_upload> owner = own(upload, api->cancel_weights);
  for (const PackedTensor& tensor : tensors) {
    const uint32_t parts = tensor.experts == 0 ? 1 : std::min(tensor.experts, c.arrangement.upload_parts);
    for (uint32_t part = 0; part < parts; ++part) {
      const uint32_t first = tensor.experts * part / parts;
      const uint32_t last = tensor.experts * (part + 1) / parts;
      const size_t bytes_each = tensor.experts == 0 ? tensor.bytes.size() : tensor.bytes.size() / tensor.experts;
      const std::byte* data = tensor.bytes.data() + first * bytes_each;
      moe_tensor_source source = MOE_INIT(moe_tensor_source);
      source.name = tensor.name.c_str();
      source.expert_first = first;
      source.expert_count = parts == 1 ? 0 : last - first;
      source.dtype = tensor.dtype;
      source.format = tensor.format;
      source.bytes = tensor.experts == 0 ? bytes_each : bytes_each * (last - first);
      if (c.arrangement.upload_by_callback) {
        source.source = MOE_SOURCE_CALLBACK;
        source.read = read_from_memory;
        source.user = const_cast<std::byte*>(data);
      } else {
        source.memory = data;
      }
      moe::check([&](moe_error* error) { return api->add_tensor(upload, &source, error); });
    }
  }
  moe_layer* layer = nullptr;
  moe::check([&](moe_error* error) { return api->commit_weights(upload, &layer, error); });
  owner.release();
  return own(layer, api->destroy_layer);
}

LayerInputs slice_tokens(const LayerCase& c, uint64_t begin, uint64_t count) {
  const auto row = [&](const auto& all) {
    auto part = all;
    const uint64_t columns = all.size() / c.tokens;
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(begin * columns);
    part.assign(first, first + static_cast<std::ptrdiff_t>(count * columns));
    return part;
  };
  LayerInputs in = c.inputs;
  in.x = row(c.inputs.x);
  in.router_x = row(c.inputs.router_x);
  in.residual = row(c.inputs.residual);
  in.logits = row(c.inputs.logits);
  in.scores = row(c.inputs.scores);
  in.weights = row(c.inputs.weights);
  in.ids = row(c.inputs.ids);
  in.token_ids = row(c.inputs.token_ids);
  return in;
}

// The memory of one call and its argument struct.
struct DeviceRunner::Views {
  Views(const moe_api* api, moe_device* device, const moe_layer_desc& desc, const LayerInputs& inputs, uint64_t count,
        const Arrangement& a)
      : tokens(count), y_dtype(inputs.y_dtype) {
    const auto make = [&](const Placement& place, uint32_t dtype, uint64_t rows, uint64_t columns) {
      return std::make_unique<ViewMemory>(api, device, place, dtype, rows, columns);
    };
    const auto input = [&](auto& slot, const Placement& place, uint32_t dtype, const std::vector<std::byte>& bytes,
                           uint64_t columns, const moe_view*& argument) {
      if (bytes.empty()) return;
      slot = make(place, dtype, tokens, columns);
      slot->write_rows(bytes);
      argument = slot->view();
    };
    args.tokens = tokens;
    args.beta = inputs.beta;
    const uint64_t experts = candidates(desc), k = desc.top_k;
    input(x, a.x, inputs.x_dtype, encode_rows(inputs.x, inputs.x_dtype), desc.hidden, args.x);
    input(router_x, a.router_x, inputs.router_x_dtype, encode_rows(inputs.router_x, inputs.router_x_dtype), desc.hidden,
          args.router_x);
    input(residual, a.residual, inputs.residual_dtype, encode_rows(inputs.residual, inputs.residual_dtype), desc.hidden,
          args.residual);
    input(logits_in, a.route_in, MOE_DTYPE_F32, to_bytes(inputs.logits), experts, args.logits_in);
    input(scores_in, a.route_in, MOE_DTYPE_F32, to_bytes(inputs.scores), experts, args.scores_in);
    input(weights_in, a.route_in, MOE_DTYPE_F32, to_bytes(inputs.weights), inputs.weights.size() / tokens,
          args.weights_in);
    input(ids_in, a.route_in, MOE_DTYPE_I32, to_bytes(inputs.ids), k, args.ids_in);
    input(token_ids, a.route_in, MOE_DTYPE_I32, to_bytes(inputs.token_ids), 1, args.token_ids);
    if (a.y_alias == Alias::kNone) {
      y = make(a.y, inputs.y_dtype, tokens, desc.hidden);
      args.y = y->view();
    } else {
      args.y = a.y_alias == Alias::kX ? args.x : args.residual;
    }
    alias = a.y_alias;
  }

  // ids and weights of `columns`, and whatever else the route of this layer gives.
  void add_route_outputs(const moe_api* api, moe_device* device, const moe_layer_desc& desc, const Placement& place,
                         uint32_t columns) {
    const auto make = [&](uint32_t dtype, uint64_t rows, uint64_t width, const moe_view*& argument) {
      auto memory = std::make_unique<ViewMemory>(api, device, place, dtype, rows, width);
      argument = memory->view();
      return memory;
    };
    route_columns = columns;
    ids = make(MOE_DTYPE_I32, tokens, columns, args.ids);
    weights = make(MOE_DTYPE_F32, tokens, columns, args.weights);
    const uint64_t experts = candidates(desc);
    if (computes_logits(desc)) logits = make(MOE_DTYPE_F32, tokens, experts, args.logits);
    if (selects(desc)) scores = make(MOE_DTYPE_F32, tokens, experts, args.scores);
    counts = make(MOE_DTYPE_I32, 1, experts, args.counts);
  }

  uint64_t tokens;
  uint32_t y_dtype;
  uint32_t route_columns = 0;
  Alias alias = Alias::kNone;
  moe_call_args args = MOE_INIT(moe_call_args);
  std::unique_ptr<ViewMemory> x, router_x, residual, y, logits_in, scores_in, weights_in, ids_in, token_ids;
  std::unique_ptr<ViewMemory> ids, weights, logits, scores, counts, order, offsets, expert_out;
};

DeviceRunner::DeviceRunner(const moe_api* api, moe_device* device, const LayerCase& c)
    : api_(api),
      device_(device),
      desc_(c.desc),
      info_(moe_init<moe_layer_info>()),
      layer_(upload_layer(api, device, c)) {
  moe::check([&](moe_error* error) { return api->get_layer_info(layer_.get(), &info_, error); });
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = c.tokens;
  moe_context* context = nullptr;
  moe::check([&](moe_error* error) { return api->create_context(device, &desc, &context, error); });
  context_ = own(context, api->destroy_context);
}

void DeviceRunner::finish() {
  uint64_t value = 0;
  moe::check([&](moe_error* error) { return api_->flush(context_.get(), &value, error); });
  moe::check([&](moe_error* error) { return api_->wait(context_.get(), value, UINT64_MAX, error); });
}

CallResult DeviceRunner::collect(Views& v) {
  CallResult result;
  const auto check = [&](const char* name, const std::unique_ptr<ViewMemory>& memory, bool is_input) {
    if (memory == nullptr) return;
    const std::string changed = memory->changed(is_input);
    if (!changed.empty()) result.problems.push_back(std::string("memory around ") + name + ": " + changed);
  };
  check("x", v.x, v.alias != Alias::kX);
  check("router_x", v.router_x, true);
  check("token_ids", v.token_ids, true);
  check("residual", v.residual, v.alias != Alias::kResidual);
  check("logits_in", v.logits_in, true);
  check("scores_in", v.scores_in, true);
  check("weights_in", v.weights_in, true);
  check("ids_in", v.ids_in, true);
  check("y", v.y, false);
  check("ids", v.ids, false);
  check("weights", v.weights, false);
  check("logits", v.logits, false);
  check("scores", v.scores, false);
  check("counts", v.counts, false);
  check("order", v.order, false);
  check("offsets", v.offsets, false);
  check("expert_out", v.expert_out, false);
  result.y = (v.alias == Alias::kNone ? v.y : v.alias == Alias::kX ? v.x : v.residual)->read_rows();
  result.route_columns = v.route_columns;
  const auto read = [](auto& values, const std::unique_ptr<ViewMemory>& memory) {
    if (memory != nullptr)
      values = from_bytes<typename std::decay_t<decltype(values)>::value_type>(memory->read_rows());
  };
  read(result.ids, v.ids);
  read(result.weights, v.weights);
  read(result.logits, v.logits);
  read(result.scores, v.scores);
  read(result.counts, v.counts);
  read(result.order, v.order);
  read(result.offsets, v.offsets);
  return result;
}

CallResult DeviceRunner::forward(const LayerInputs& inputs, uint64_t tokens, const Arrangement& a) {
  Views v(api_, device_, desc_, inputs, tokens, a);
  v.add_route_outputs(api_, device_, desc_, a.route_out, a.wide_routes ? info_.slots_per_token : desc_.top_k);
  moe::check([&](moe_error* error) { return api_->forward(context_.get(), layer_.get(), &v.args, error); });
  finish();
  return collect(v);
}

std::vector<std::byte> DeviceRunner::forward_y_alone(const LayerInputs& inputs, uint64_t tokens, const Arrangement& a) {
  Views v(api_, device_, desc_, inputs, tokens, a);
  moe::check([&](moe_error* error) { return api_->forward(context_.get(), layer_.get(), &v.args, error); });
  finish();
  return collect(v).y;
}

CallResult DeviceRunner::staged(const LayerInputs& inputs, uint64_t tokens, const Arrangement& a) {
  Views v(api_, device_, desc_, inputs, tokens, a);
  const uint64_t routes = tokens * info_.slots_per_token;
  Placement between;
  between.device = a.staged_on_device;
  v.add_route_outputs(api_, device_, desc_, between, info_.slots_per_token);
  v.order = std::make_unique<ViewMemory>(api_, device_, between, MOE_DTYPE_I32, 1, routes);
  v.offsets = std::make_unique<ViewMemory>(api_, device_, between, MOE_DTYPE_I32, 1, uint64_t{info_.experts_total} + 1);
  v.expert_out = std::make_unique<ViewMemory>(api_, device_, between, MOE_DTYPE_F32, routes, desc_.hidden);
  const auto stage = [&](auto function, const moe_call_args& args) {
    moe::check([&](moe_error* error) { return function(context_.get(), layer_.get(), &args, error); });
    if (!a.staged_on_device) finish();
  };
  moe_call_args route = v.args;
  route.residual = route.y = route.counts = nullptr;
  route.beta = 0;
  stage(api_->route, route);
  moe_call_args plan = MOE_INIT(moe_call_args);
  plan.tokens = tokens;
  plan.ids = v.ids->view();
  plan.order = v.order->view();
  plan.offsets = v.offsets->view();
  plan.counts = v.counts->view();
  stage(api_->plan_dispatch, plan);
  moe_call_args experts = MOE_INIT(moe_call_args);
  experts.tokens = tokens;
  experts.x = v.args.x;
  experts.ids = v.ids->view();
  experts.weights = v.weights->view();
  experts.order = v.order->view();
  experts.offsets = v.offsets->view();
  experts.expert_out = v.expert_out->view();
  stage(api_->experts, experts);
  moe_call_args combine = MOE_INIT(moe_call_args);
  combine.tokens = tokens;
  combine.ids = v.ids->view();
  combine.expert_out = v.expert_out->view();
  combine.residual = v.args.residual;
  combine.y = v.args.y;
  combine.beta = v.args.beta;
  stage(api_->combine, combine);
  if (a.staged_on_device) finish();
  return collect(v);
}

}  // namespace moe_conformance
