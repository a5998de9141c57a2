// SPDX-License-Identifier: MIT
//
// In:  a shape, a weight type, a device of ggml's, the weights' bytes.
// Out: the same MoE layer as ours as a graph of ggml, its output, and the time of one run.
// Why: the graph has the operations, in the order, that llama.cpp's graph of a softmax-routed MoE layer has (MUL_MAT,
//      SOFT_MAX, top-k, GET_ROWS, SUM_ROWS, CLAMP, DIV, MUL_MAT_ID, SWIGLU, MUL, ADD), so that what ggml fuses there, it
//      fuses here. ggml's scheduler runs it, as in llama.cpp: an operation that the device declines goes to the CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/ggml_library.h"

namespace moevk::bench {

// ggml found no room for weights or tokens.
class GgmlOutOfMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct GgmlShape {
  int64_t hidden = 0, intermediate = 0, experts = 0, top_k = 0;
  ggml_type type = GGML_TYPE_F32;  // of gate, up and down; the router is f32
};

// ggml's floor of the sum that the k weights are divided by, as llama.cpp has it.
constexpr float kWeightFloor = 6.103515625e-5f;

// Writes bytes [offset, offset + bytes) of the tensor "router.weight", "experts.gate", "experts.up" or "experts.down".
using WeightReader = std::function<void(const std::string& name, uint64_t offset, void* destination, uint64_t bytes)>;

// A device of ggml's with the backends that a graph on it needs: its own, and the CPU's behind it.
class GgmlDevice {
 public:
  // `threads`: of the CPU backend.
  GgmlDevice(const GgmlLibrary& ggml, ggml_backend_dev_t device, int threads);
  ~GgmlDevice();
  GgmlDevice(const GgmlDevice&) = delete;
  GgmlDevice& operator=(const GgmlDevice&) = delete;

  const GgmlLibrary& ggml() const { return ggml_; }
  ggml_backend_dev_t device() const { return devices_.front(); }
  bool is_cpu() const { return devices_.size() == 1; }
  std::vector<ggml_backend_dev_t>& devices() { return devices_; }
  std::vector<ggml_backend_t>& backends() { return backends_; }

 private:
  const GgmlLibrary& ggml_;
  std::vector<ggml_backend_dev_t> devices_;
  std::vector<ggml_backend_t> backends_;
};

// Weights on a device. Those whose matmul the device declines lie in the CPU's memory, as in llama.cpp.
class GgmlWeights {
 public:
  GgmlWeights(GgmlDevice& device, const GgmlShape& shape, const WeightReader& read);
  ~GgmlWeights();
  GgmlWeights(const GgmlWeights&) = delete;
  GgmlWeights& operator=(const GgmlWeights&) = delete;

  GgmlDevice& device() const { return device_; }
  const GgmlShape& shape() const { return shape_; }
  // The matrices whose product the device declines, "experts.gate, experts.up"; empty if it takes all.
  const std::string& declined() const { return declined_; }
  ggml_tensor *router = nullptr, *gate = nullptr, *up = nullptr, *down = nullptr;

 private:
  GgmlDevice& device_;
  GgmlShape shape_;
  std::vector<ggml_context*> contexts_;  // one a kind of memory
  std::vector<ggml_backend_buffer_t> buffers_;
  std::string declined_;
};

// The layer for so many tokens, ready to run.
class GgmlLayer {
 public:
  // x [tokens, hidden].
  GgmlLayer(const GgmlWeights& weights, const std::vector<float>& x);
  ~GgmlLayer();
  GgmlLayer(const GgmlLayer&) = delete;
  GgmlLayer& operator=(const GgmlLayer&) = delete;

  double time();                      // milliseconds of one run, until its end
  std::vector<float> read_y() const;  // [tokens, hidden] of the last run
  // The operations that the scheduler gave to the CPU in the device's place, "3 x MUL_MAT_ID"; empty: none.
  const std::string& on_cpu() const { return on_cpu_; }

 private:
  void note_cpu();

  const GgmlWeights& weights_;
  const GgmlLibrary& ggml_;
  ggml_context* context_ = nullptr;
  ggml_context* input_context_ = nullptr;
  ggml_backend_buffer_t input_buffer_ = nullptr;
  ggml_backend_sched_t scheduler_ = nullptr;
  ggml_cgraph* graph_ = nullptr;
  ggml_tensor* y_ = nullptr;
  size_t values_;
  std::string on_cpu_;
};

}  // namespace moevk::bench
