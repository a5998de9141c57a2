// SPDX-License-Identifier: MIT
//
// In:  calls like those by which llama.cpp builds a graph.
// Out: ggml tensors without memory, in the order of a graph.
// Why: the matcher sees tensors alone, so its tests need no ggml. Numbers of operations are this builder's own: the
//      adapter must not know any.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "hosts/ggml/host_ggml.h"

namespace moevk::hosts {

ggml::Ops test_ops();

struct GraphBuilder {
  using Tensor = ggml::Tensor;
  ggml::Ops ops = test_ops();
  std::deque<Tensor> tensors;
  std::vector<Tensor*> nodes;

  Tensor* leaf(const std::string& name, int64_t n0, int64_t n1 = 1, int64_t n2 = 1);
  // A node of the shape of its first source.
  Tensor* node(int32_t op, std::vector<Tensor*> sources, const std::string& name = "node");
  Tensor* shaped(int32_t op, std::vector<Tensor*> sources, int64_t n0, int64_t n1 = 1, int64_t n2 = 1,
                 const std::string& name = "node");
  Tensor* view(Tensor* of, int64_t n0, int64_t n1, int64_t n2, size_t nb1, size_t nb2, size_t offset);
  Tensor* reshape(Tensor* of, int64_t n0, int64_t n1, int64_t n2 = 1);
  static void set_param(Tensor* node, size_t index, float value);
};

// What varies between the MoE blocks of llama.cpp's models.
struct BlockOptions {
  bool softmax = true, softmax_of_chosen = false, normalize = true, selection_bias = false, router_bias = false;
  bool expert_bias = false, joined = false, ungated = false, oai = false, clamp = false, situ = false;
  bool weight_on_input = false, expert_scale = false;
  int64_t groups = 0;  // two of them are kept, by the sum of their best two
  float scale = 0;
  int64_t hidden = 64, intermediate = 32, experts = 8, tokens = 5, top_k = 2;
  bool given_routes = false;  // ids and weights are leaves
};

// The block as llama.cpp's build_moe_ffn lays it out; returns its result.
ggml::Tensor* add_moe_block(GraphBuilder& graph, ggml::Tensor* x, const BlockOptions& options);

}  // namespace moevk::hosts
