// SPDX-License-Identifier: MIT
//
// In:  the nodes of a ggml graph.
// Out: the MoE blocks among them, each as a layer descriptor with the tensors that it reads and writes.
// Why: a block that is one layer runs as one forward, instead of some twenty operations.
#ifndef MOEVK_HOSTS_GGML_MATCH_LAYER_H_
#define MOEVK_HOSTS_GGML_MATCH_LAYER_H_

#include <string>
#include <utility>
#include <vector>

#include "hosts/ggml/graph_pattern.h"
#include "hosts/ggml/host_ggml.h"
#include "plugin_api/moe_plugin.h"

namespace moevk::ggml {

struct LayerMatch {
  moe_layer_desc desc;  // all but the weights' formats
  // The ABI's names of tensors, and what stands for them. Leaves with data, all of them.
  std::vector<std::pair<std::string, const Tensor*>> weights;
  const Tensor* x = nullptr;         // [H, T]
  const Tensor* router_x = nullptr;  // [H, T]; NULL where the router reads x
  size_t x_row_bytes = 0, router_x_row_bytes = 0;
  const Tensor* ids = nullptr;            // [k, T], where routes are given
  const Tensor* route_weights = nullptr;  // [1, k, T] likewise
  const Tensor* y = nullptr;              // [H, T]
  int64_t tokens = 0;
  std::vector<int> nodes;  // indices of the nodes that the layer takes the place of, rising; the last one is y
};

// The blocks in `nodes`, in order. `why` gets a sentence for every MUL_MAT_ID that is in none.
std::vector<LayerMatch> match_layers(const Ops& ops, const std::vector<Tensor*>& nodes, std::vector<std::string>& why);

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_MATCH_LAYER_H_
