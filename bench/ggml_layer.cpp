// SPDX-License-Identifier: MIT
//
// llama.cpp's graph of a softmax-routed MoE layer, node by node, run by ggml's scheduler (see ggml_layer.h).
#include "bench/ggml_layer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>

namespace moevk::bench {
namespace {

constexpr size_t kNodes = 256;                        // of a graph at most: 30 + 2 k
constexpr size_t kContextBytes = size_t{1} << 20;     // of tensors' descriptions
constexpr uint64_t kPieceBytes = uint64_t{16} << 20;  // of weights made and uploaded at a time

ggml_context* new_context(const GgmlLibrary& ggml) {
  ggml_init_params params{};
  params.mem_size = kContextBytes;
  params.no_alloc = true;
  ggml_context* context = ggml.init(params);
  if (context == nullptr) throw std::runtime_error("ggml makes no context");
  return context;
}

ggml_backend_buffer_t allocate(const GgmlLibrary& ggml, ggml_context* context, ggml_backend_dev_t device) {
  ggml_backend_buffer_t buffer = ggml.alloc_ctx_tensors_from_buft(context, ggml.dev_buffer_type(device));
  if (buffer == nullptr) throw GgmlOutOfMemory(std::string("ggml finds no memory on ") + ggml.dev_name(device));
  return buffer;
}

// Whether the device multiplies by `matrix`. What it says may depend on the buffer that the weights lie in, so it is
// shown an empty one.
bool takes(const GgmlLibrary& ggml, ggml_backend_dev_t device, ggml_tensor* matrix, ggml_tensor* product) {
  ggml_backend_buffer_t buffer = ggml.buft_alloc_buffer(ggml.dev_buffer_type(device), 0);
  matrix->buffer = buffer;
  const bool supported = ggml.dev_supports_op(device, product);
  matrix->buffer = nullptr;
  if (buffer != nullptr) ggml.buffer_free(buffer);
  return supported;
}

}  // namespace

GgmlDevice::GgmlDevice(const GgmlLibrary& ggml, ggml_backend_dev_t device, int threads) : ggml_(ggml) {
  devices_.push_back(device);
  if (ggml.dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU) {
    for (size_t i = 0; i < ggml.dev_count() && devices_.size() == 1; ++i) {
      if (ggml.dev_type(ggml.dev_get(i)) == GGML_BACKEND_DEVICE_TYPE_CPU) devices_.push_back(ggml.dev_get(i));
    }
    if (devices_.size() == 1) throw std::runtime_error("ggml has no CPU backend, which its scheduler needs");
  }
  for (ggml_backend_dev_t one : devices_) {
    ggml_backend_t backend = ggml.dev_init(one, nullptr);
    if (backend == nullptr) throw std::runtime_error(std::string("ggml does not start ") + ggml.dev_name(one));
    backends_.push_back(backend);
    void* const found = ggml.reg_get_proc_address(ggml.dev_backend_reg(one), "ggml_backend_set_n_threads");
    if (found != nullptr) reinterpret_cast<ggml_backend_set_n_threads_t>(found)(backend, threads);
  }
}

GgmlDevice::~GgmlDevice() {
  for (ggml_backend_t backend : backends_) ggml_.backend_free(backend);
}

GgmlWeights::GgmlWeights(GgmlDevice& device, const GgmlShape& s, const WeightReader& read)
    : device_(device), shape_(s) {
  const GgmlLibrary& ggml = device.ggml();
  struct Matrix {
    const char* name;
    ggml_tensor** tensor;
    int64_t in, out, experts;
  };
  const Matrix matrices[] = {{"router.weight", &router, s.hidden, s.experts, 1},
                             {"experts.gate", &gate, s.hidden, s.intermediate, s.experts},
                             {"experts.up", &up, s.hidden, s.intermediate, s.experts},
                             {"experts.down", &down, s.intermediate, s.hidden, s.experts}};
  for (size_t i = 0; i < device.devices().size(); ++i) contexts_.push_back(new_context(ggml));
  std::vector<int> counts(contexts_.size());
  for (const Matrix& m : matrices) {
    // Tried in a context of its own, then made where it will lie.
    ggml_context* trial = new_context(ggml);
    size_t place = 0;
    for (; place + 1 < device.devices().size(); ++place) {
      ggml_tensor *w, *product;
      if (m.tensor == &router) {
        w = ggml.new_tensor_2d(trial, GGML_TYPE_F32, m.in, m.out);
        product = ggml.mul_mat(trial, w, ggml.new_tensor_2d(trial, GGML_TYPE_F32, m.in, 1));
      } else {
        w = ggml.new_tensor_3d(trial, s.type, m.in, m.out, m.experts);
        ggml_tensor* x = ggml.new_tensor_3d(trial, GGML_TYPE_F32, m.in, m.tensor == &down ? s.top_k : 1, 1);
        product = ggml.mul_mat_id(trial, w, x, ggml.new_tensor_2d(trial, GGML_TYPE_I32, s.top_k, 1));
      }
      if (takes(ggml, device.devices()[place], w, product)) break;
    }
    ggml.free(trial);
    if (place > 0) declined_ += (declined_.empty() ? "" : ", ") + std::string(m.name);
    *m.tensor = m.tensor == &router ? ggml.new_tensor_2d(contexts_[place], GGML_TYPE_F32, m.in, m.out)
                                    : ggml.new_tensor_3d(contexts_[place], s.type, m.in, m.out, m.experts);
    ggml.set_name(*m.tensor, m.name);
    ++counts[place];
  }
  for (size_t i = 0; i < contexts_.size(); ++i) {
    if (counts[i] == 0) continue;
    buffers_.push_back(allocate(ggml, contexts_[i], device.devices()[i]));
    ggml.buffer_set_usage(buffers_.back(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  }
  std::vector<unsigned char> piece;
  for (const Matrix& m : matrices) {
    const uint64_t bytes = ggml.nbytes(*m.tensor), expert = bytes / static_cast<uint64_t>(m.experts);
    const uint64_t step = std::min(bytes, std::max(uint64_t{1}, kPieceBytes / expert) * expert);
    for (uint64_t offset = 0; offset < bytes; offset += step) {
      piece.resize(std::min(step, bytes - offset));
      read(m.name, offset, piece.data(), piece.size());
      ggml.tensor_set(*m.tensor, piece.data(), offset, piece.size());
    }
  }
}

GgmlWeights::~GgmlWeights() {
  for (ggml_backend_buffer_t buffer : buffers_) device_.ggml().buffer_free(buffer);
  for (ggml_context* context : contexts_) device_.ggml().free(context);
}

GgmlLayer::GgmlLayer(const GgmlWeights& weights, const std::vector<float>& x)
    : weights_(weights), ggml_(weights.device().ggml()), values_(x.size()) {
  const GgmlShape& s = weights.shape();
  const auto tokens = static_cast<int64_t>(x.size()) / s.hidden;
  input_context_ = new_context(ggml_);
  ggml_tensor* input = ggml_.new_tensor_2d(input_context_, GGML_TYPE_F32, s.hidden, tokens);
  ggml_.set_input(input);
  input_buffer_ = allocate(ggml_, input_context_, weights.device().device());
  ggml_.tensor_set(input, x.data(), 0, x.size() * sizeof(float));

  context_ = new_context(ggml_);
  ggml_context* const c = context_;
  graph_ = ggml_.new_graph_custom(c, kNodes, false);
  ggml_tensor* logits = ggml_.mul_mat(c, weights.router, input);                                      // [E, T]
  ggml_tensor* probabilities = ggml_.soft_max(c, logits);                                             // [E, T]
  ggml_tensor* ids = ggml_.argsort_top_k(c, probabilities, static_cast<int>(s.top_k));                // [k, T]
  ggml_tensor* w = ggml_.get_rows(c, ggml_.reshape_3d(c, probabilities, 1, s.experts, tokens), ids);  // [1, k, T]
  w = ggml_.reshape_2d(c, w, s.top_k, tokens);
  ggml_tensor* sum = ggml_.clamp(c, ggml_.sum_rows(c, w), kWeightFloor, INFINITY);  // [1, T]
  w = ggml_.reshape_3d(c, ggml_.div(c, w, sum), 1, s.top_k, tokens);
  ggml_.build_forward_expand(graph_, w);  // first, so that the routing stands together and can be fused
  ggml_tensor* rows = ggml_.reshape_3d(c, input, s.hidden, 1, tokens);
  ggml_tensor* up = ggml_.mul_mat_id(c, weights.up, rows, ids);      // [F, k, T]
  ggml_tensor* gate = ggml_.mul_mat_id(c, weights.gate, rows, ids);  // [F, k, T]
  ggml_tensor* h = ggml_.swiglu_split(c, gate, up);
  ggml_tensor* routes = ggml_.mul(c, ggml_.mul_mat_id(c, weights.down, h, ids), w);  // [H, k, T]
  std::vector<ggml_tensor*> slots;
  for (int64_t slot = 0; slot < s.top_k; ++slot) {
    slots.push_back(
        ggml_.view_2d(c, routes, s.hidden, tokens, routes->nb[2], static_cast<size_t>(slot) * routes->nb[1]));
    ggml_.build_forward_expand(graph_, slots.back());
  }
  y_ = slots.front();
  for (size_t slot = 1; slot < slots.size(); ++slot) {
    y_ = ggml_.add(c, y_, slots[slot]);
    ggml_.build_forward_expand(graph_, y_);
  }
  if (slots.size() == 1) y_ = ggml_.cont(c, y_);
  ggml_.set_output(y_);
  ggml_.build_forward_expand(graph_, y_);

  auto& backends = weights.device().backends();
  scheduler_ = ggml_.sched_new(backends.data(), nullptr, static_cast<int>(backends.size()), kNodes, false, true);
  if (scheduler_ == nullptr || !ggml_.sched_alloc_graph(scheduler_, graph_)) {
    throw std::runtime_error("ggml's scheduler does not take the layer");
  }
  note_cpu();
}

GgmlLayer::~GgmlLayer() {
  if (scheduler_ != nullptr) ggml_.sched_free(scheduler_);
  if (input_buffer_ != nullptr) ggml_.buffer_free(input_buffer_);
  if (input_context_ != nullptr) ggml_.free(input_context_);
  if (context_ != nullptr) ggml_.free(context_);
}

void GgmlLayer::note_cpu() {
  GgmlDevice& device = weights_.device();
  if (device.is_cpu()) return;
  std::map<std::string, int> counts;
  for (int i = 0; i < ggml_.graph_n_nodes(graph_); ++i) {
    ggml_tensor* node = ggml_.graph_node(graph_, i);
    if (node->op == GGML_OP_NONE || node->op == GGML_OP_RESHAPE || node->op == GGML_OP_VIEW) continue;
    if (ggml_.sched_get_tensor_backend(scheduler_, node) == device.backends().front()) continue;
    ++counts[ggml_.op_name(node->op)];
  }
  for (const auto& [name, count] : counts) {
    on_cpu_ += (on_cpu_.empty() ? "" : ", ") + std::to_string(count) + " x " + name;
  }
}

double GgmlLayer::time() {
  const auto start = std::chrono::steady_clock::now();
  if (ggml_.sched_graph_compute(scheduler_, graph_) != GGML_STATUS_SUCCESS) {
    throw std::runtime_error("ggml does not compute the layer");
  }
  const auto end = std::chrono::steady_clock::now();
  return std::chrono::duration<double, std::milli>(end - start).count();
}

std::vector<float> GgmlLayer::read_y() const {
  std::vector<float> y(values_);
  ggml_.tensor_get(y_, y.data(), 0, y.size() * sizeof(float));
  return y;
}

}  // namespace moevk::bench
