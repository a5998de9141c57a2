// SPDX-License-Identifier: MIT
//
// In:  the nodes of llama.cpp's graph, while it computes them.
// Out: of each MoE layer: the tokens that enter, the router's own input, logits, experts, routing weights, outputs.
// Why: tensors are told by their place in the graph where that is possible (what a weight is multiplied with), else by
//      the names that llama.cpp gives its nodes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/peers/llama_library.h"

namespace moevk::peers {

class LayerCapture {
 public:
  LayerCapture(const LlamaLibrary& llama, bool print) : llama_(llama), print_(print) {}

  // A ggml_backend_sched_eval_callback; `user` is a LayerCapture.
  static bool on_node(ggml_tensor* node, bool ask, void* user);

  size_t layers() const { return layers_.size(); }
  // Writes l{block}.{name}.npy to `folder`: x, router_x, router_in, logits, ids, weights,
  // routed, y, as far as there are such. Throws std::runtime_error.
  void write(const std::string& folder) const;

 private:
  struct Matrix {
    uint64_t rows = 0, columns = 0;
    std::vector<float> numbers;
    std::vector<int32_t> ids;
  };

  bool see(const ggml_tensor& node, bool computed);
  void keep_input_of_norm(int block, const ggml_tensor& router_x);
  void print(const ggml_tensor& node) const;
  void keep(int block, const char* name, const ggml_tensor& tensor, int64_t columns);

  const LlamaLibrary& llama_;
  bool print_;
  std::map<int, std::map<std::string, Matrix>> layers_;
};

}  // namespace moevk::peers
