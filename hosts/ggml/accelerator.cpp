// SPDX-License-Identifier: MIT
//
// In:  see accelerator.h.
// Out: see accelerator.h.
// Why: ggml computes a split's nodes before it returns, so a forward is waited for.
#include "hosts/ggml/accelerator.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "hosts/ggml/record_routes.h"
#include "hosts/ggml/weight_types.h"

namespace moevk::ggml {
namespace {

uint64_t bytes_of(const HostGgml& host, const Tensor* tensor) {
  const auto columns = static_cast<uint64_t>(tensor->ne[0]);
  uint64_t rows = 1;
  for (int axis = 1; axis < kMaxDims; ++axis) rows *= static_cast<uint64_t>(tensor->ne[axis]);
  return rows * (columns / static_cast<uint64_t>(host.block_columns(tensor->type))) * host.type_bytes(tensor->type);
}

std::string key_of(const LayerMatch& match) {
  std::string key(reinterpret_cast<const char*>(&match.desc), sizeof match.desc);
  for (const auto& [name, tensor] : match.weights) {
    key.append(name);
    key.append(reinterpret_cast<const char*>(&tensor->data), sizeof tensor->data);
  }
  return key;
}

moe_view rows_view(const void* data, uint32_t dtype, uint64_t rows, uint64_t columns, uint64_t row_bytes) {
  moe_view view = moe::host_view(data, dtype, rows, columns);
  if (rows > 1) view.row_stride_bytes = row_bytes;
  return view;
}

bool overlap(const void* a, uint64_t a_bytes, const void* b, uint64_t b_bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y + b_bytes && y < x + a_bytes;
}

}  // namespace

Accelerator::Accelerator(const HostGgml& host, const moe::Library& library, moe_instance* instance, uint32_t index)
    : host_(host),
      library_(library),
      info_(MOE_INIT(moe_device_info)),
      device_(moe::open_device(library_, instance, index)),
      tensors_(host, library_, device_) {
  moe::check([&](moe_error* error) { return library_->get_device_info(instance, index, &info_, error); });
}

uint64_t Accelerator::free_bytes() const {
  std::lock_guard lock(mutex_);
  const uint64_t held = kept_bytes_ + tensors_.bytes();
  return info_.free_bytes > held ? info_.free_bytes - held : 0;
}

bool Accelerator::is_packed(const Tensor& tensor) const {
  size_t expected = host_.type_bytes(tensor.type);
  if (tensor.nb[0] != expected) return false;
  expected *= static_cast<size_t>(tensor.ne[0] / host_.block_columns(tensor.type));
  for (int axis = 1; axis < kMaxDims; ++axis) {
    if (tensor.ne[axis] != 1 && tensor.nb[axis] != expected) return false;
    expected *= static_cast<size_t>(tensor.ne[axis]);
  }
  return true;
}

bool Accelerator::supports(LayerMatch& match, std::string& why) const {
  std::optional<uint32_t> precision;  // which all of the experts' matrices have
  for (const auto& [name, tensor] : match.weights) {
    moe_weight_format format;
    uint32_t dtype;
    if (!weight_format(host_.type_name(tensor->type), format, dtype)) {
      why = std::string(tensor->name) + " is of type " + host_.type_name(tensor->type) + ", which moevk cannot read";
      return false;
    }
    if (!is_packed(*tensor)) {
      why = std::string(tensor->name) + " is not packed";
      return false;
    }
    const bool matrix = name.rfind("experts.", 0) == 0 && name.find(".bias") == std::string::npos;
    if (matrix) {
      const uint32_t one = cpu_precision(host_.type_name(tensor->type));
      precision = precision.value_or(one) == one ? one : MOE_PRECISION_EXACT;
    }
    if (name == "experts.gate" || name == "experts.gate_up") match.desc.gate_format = format;
    if (name == "experts.up" || name == "experts.gate_up") match.desc.up_format = format;
    if (name == "experts.down") match.desc.down_format = format;
  }
  // As near to the host's own CPU backend as can be.
  if (precision.value_or(MOE_PRECISION_EXACT) != MOE_PRECISION_EXACT) {
    match.desc.precision = *precision;
    if (why_not(match.desc).empty()) return true;
    match.desc.precision = MOE_PRECISION_EXACT;
  }
  why = why_not(match.desc);
  return why.empty();
}

std::string Accelerator::why_not(const moe_layer_desc& desc) const {
  const std::string key(reinterpret_cast<const char*>(&desc), sizeof desc);
  std::lock_guard lock(mutex_);
  auto it = answers_.find(key);
  if (it != answers_.end()) return it->second;
  moe_support support = MOE_INIT(moe_support);
  moe_error error = MOE_INIT(moe_error);
  std::string answer;
  if (library_->query_support(device_, &desc, &support, &error) != MOE_OK) {
    answer = std::string(error.argument) + ": " + error.text;
  } else if (support.supported == 0) {
    answer = std::string(support.argument) + ": " + support.reason;
  }
  answers_.emplace(key, answer);
  return answer;
}

moe::Layer Accelerator::upload(const LayerMatch& match) const {
  std::vector<moe_tensor_binding> bindings;
  for (const auto& [name, tensor] : match.weights) {
    moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
    binding.tensor = name.c_str();
    binding.buffer = tensors_.buffer(tensor->data);
    binding.flags = MOE_BINDING_PACKED;
    if (binding.buffer != nullptr) bindings.push_back(binding);
  }
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.bindings = bindings.data();
  desc.binding_count = static_cast<uint32_t>(bindings.size());
  moe::Upload upload = moe::begin_weights(library_, device_, match.desc, &desc);
  for (const auto& [name, tensor] : match.weights) {
    if (tensors_.buffer(tensor->data) != nullptr) continue;
    moe_tensor_source source = MOE_INIT(moe_tensor_source);
    moe_weight_format format;
    source.name = name.c_str();
    source.memory = tensor->data;
    source.bytes = bytes_of(host_, tensor);
    weight_format(host_.type_name(tensor->type), format, source.dtype);
    if (name == "router.weight" && source.dtype == MOE_DTYPE_BLOCKS) source.format = format;
    moe::check([&](moe_error* error) { return library_->add_tensor(upload, &source, error); });
  }
  return moe::commit_weights(library_, upload);
}

moe_context* Accelerator::context_for(Stream& stream, uint64_t tokens) const {
  if (stream.max_tokens < tokens) {
    uint64_t room = 512;
    while (room < tokens) room *= 2;
    stream.max_tokens = 0;
    stream.context.reset();
    stream.context = moe::create_context(library_, device_, room);
    stream.max_tokens = room;
  }
  return stream.context.get();
}

void Accelerator::forward(Stream& stream, moe_layer* layer, const LayerMatch& match) const {
  const auto tokens = static_cast<uint64_t>(match.tokens);
  const uint64_t hidden = match.desc.hidden, k = match.desc.top_k;
  moe_context* context = context_for(stream, tokens);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = tokens;
  const moe_view x = rows_view(match.x->data, MOE_DTYPE_F32, tokens, hidden, match.x_row_bytes);
  args.x = &x;
  moe_view router_x = MOE_INIT(moe_view), ids = router_x, weights = router_x;
  const uint64_t y_bytes = (tokens - 1) * match.y->nb[1] + hidden * sizeof(float);
  bool copy = overlap(match.y->data, y_bytes, match.x->data, (tokens - 1) * match.x_row_bytes + hidden * sizeof(float));
  if (match.router_x != nullptr) {
    router_x = rows_view(match.router_x->data, MOE_DTYPE_F32, tokens, hidden, match.router_x_row_bytes);
    args.router_x = &router_x;
    copy = copy || overlap(match.y->data, y_bytes, match.router_x->data,
                           (tokens - 1) * match.router_x_row_bytes + hidden * sizeof(float));
  }
  if (match.ids != nullptr) {
    ids = rows_view(match.ids->data, MOE_DTYPE_I32, tokens, k, match.ids->nb[1]);
    weights = rows_view(match.route_weights->data, MOE_DTYPE_F32, tokens, k, match.route_weights->nb[2]);
    args.ids_in = &ids;
    args.weights_in = &weights;
    copy =
        copy || overlap(match.y->data, y_bytes, match.ids->data, (tokens - 1) * match.ids->nb[1] + k * 4) ||
        overlap(match.y->data, y_bytes, match.route_weights->data, (tokens - 1) * match.route_weights->nb[2] + k * 4);
  }
  // ggml gives y the memory of what the block reads last, which the layer may still be reading.
  if (copy) stream.y.resize(tokens * hidden);
  const moe_view y = copy ? moe::host_view(stream.y.data(), MOE_DTYPE_F32, tokens, hidden)
                          : rows_view(match.y->data, MOE_DTYPE_F32, tokens, hidden, match.y->nb[1]);
  args.y = &y;
  RouteTap tap(recorded_routes(), stream.routes, match);
  tap.ask(args);
  moe::check([&](moe_error* error) { return library_->forward(context, layer, &args, error); });
  moe::wait(library_, context, moe::flush(library_, context));
  tap.write();
  if (!copy) return;
  for (uint64_t row = 0; row < tokens; ++row) {
    std::memcpy(static_cast<char*>(match.y->data) + row * match.y->nb[1], stream.y.data() + row * hidden,
                hidden * sizeof(float));
  }
}

void Accelerator::run(Stream& stream, const LayerMatch& match, bool keep) {
  if (!keep) {
    const moe::Layer layer = upload(match);
    forward(stream, layer, match);
    return;
  }
  std::vector<std::pair<const char*, const char*>> memory;
  for (const auto& [name, tensor] : match.weights) {
    const char* begin = static_cast<const char*>(tensor->data);
    memory.emplace_back(begin, begin + bytes_of(host_, tensor));
  }
  forward(stream, keep_layer(key_of(match), memory, [&] { return upload(match); }), match);
}

void Accelerator::forget(const void* begin, size_t bytes) {
  std::lock_guard lock(mutex_);
  for (auto it = kept_.begin(); it != kept_.end();) {
    const bool gone = std::any_of(it->memory.begin(), it->memory.end(), [&](const auto& part) {
      return overlap(part.first, static_cast<uint64_t>(part.second - part.first), begin, bytes);
    });
    if (gone) kept_bytes_ -= it->bytes;
    it = gone ? kept_.erase(it) : std::next(it);
  }
}

}  // namespace moevk::ggml
