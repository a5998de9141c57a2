// SPDX-License-Identifier: MIT
//
// In:  a pattern as text, and a node of a ggml graph.
// Out: whether the node is computed that way, which tensors stand where the pattern has names, which nodes it took.
// Why: what llama.cpp builds for one step of a MoE block can then be a line in a table (match_layer.cpp), with a test.
//
//   OP(a, b)   a node of that operation; UNARY.SILU and GLU.SWIGLU name the second number, too
//   name       any tensor; the same name twice must be the same tensor
//   #name      a leaf with weights
// Reshapes between nodes are stepped over, and so is CONT of what is contiguous already.
#ifndef MOEVK_HOSTS_GGML_GRAPH_PATTERN_H_
#define MOEVK_HOSTS_GGML_GRAPH_PATTERN_H_

#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "hosts/ggml/ggml_types.h"
#include "hosts/ggml/host_ggml.h"

namespace moevk::ggml {

// What a pattern found. Reshapes that were stepped over are among `nodes`.
struct Found {
  std::map<std::string, Tensor*, std::less<>> names;
  std::map<std::string, Tensor*, std::less<>> ops;  // by operation, for parameters; the next ones as the
                                                    // pattern is read are "SCALE2", "SCALE3", ...
  std::vector<Tensor*> nodes;

  Tensor* at(std::string_view name) const {
    const auto it = names.find(name);
    return it == names.end() ? nullptr : it->second;
  }
};

class PatternMatcher {
 public:
  // Nodes outside of `graph` are leaves: they were computed elsewhere.
  PatternMatcher(const Ops& ops, const std::unordered_set<const Tensor*>& graph) : ops_(ops), graph_(graph) {}

  // Adds to `found` on success alone.
  bool match(std::string_view pattern, Tensor* node, Found& found) const;
  // The tensor behind reshapes; they are added to `nodes`.
  Tensor* behind_reshapes(Tensor* node, std::vector<Tensor*>& nodes) const;
  bool is_computed_here(const Tensor* tensor) const { return graph_.count(tensor) != 0; }

 private:
  bool step(std::string_view& rest, Tensor* node, Found& found) const;
  bool is_operation(const Tensor& node, std::string_view name) const;

  const Ops& ops_;
  const std::unordered_set<const Tensor*>& graph_;
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_GRAPH_PATTERN_H_
