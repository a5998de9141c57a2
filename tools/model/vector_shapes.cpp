// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor.
// Out: the tensors, inputs and outputs that it has, by the names of moe_plugin.h.
// Why: a vector must not take them from the library that it judges.
#include "tools/model/vector_file.h"

namespace moevk::model {
namespace {

class Lister {
 public:
  explicit Lister(const moe_layer_desc& desc) : d_(desc) {}

  std::vector<ValueShape> list() {
    const uint64_t choices = uint64_t{d_.experts} + d_.identity_experts;
    const bool router = d_.route_source == MOE_ROUTE_FROM_ROUTER || d_.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
    if (router) add("router.weight", 0, choices, d_.hidden);
    if (has(MOE_LAYER_ROUTER_BIAS)) add("router.bias", 0, 1, choices);
    if (has(MOE_LAYER_SELECTION_BIAS)) add("router.selection_bias", 0, 1, choices);
    if (has(MOE_LAYER_ROUTER_INPUT_SCALE)) add("router.input_scale", 0, 1, d_.hidden);
    if (has(MOE_LAYER_PER_EXPERT_SCALE)) add("router.expert_scale", 0, 1, d_.experts);
    if (d_.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) {
      add("router.token_table", 0, d_.token_table_rows, d_.top_k);
      shapes_.back().integers = true;
    }
    if (has(MOE_LAYER_INPUT_NORM)) add("norm.weight", 0, 1, d_.hidden);
    const uint64_t width = d_.latent != 0 ? d_.latent : d_.hidden;
    network("experts", d_.experts, d_.intermediate, width);
    if (has(MOE_LAYER_EXPERT_BIAS)) biases(width);
    if (d_.shared_intermediate != 0) network("shared", 0, d_.shared_intermediate, d_.hidden);
    if (d_.shared_gate == MOE_SHARED_GATE_SIGMOID) add("shared.router", 0, 1, d_.hidden);
    if (d_.latent != 0) {
      add("latent.down", 0, d_.latent, d_.hidden);
      add("latent.up", 0, d_.hidden, d_.latent);
    }
    if (has(MOE_LAYER_LATENT_NORM)) add("latent.norm", 0, 1, d_.latent);
    return std::move(shapes_);
  }

 private:
  bool has(uint32_t flag) const { return (d_.flags & flag) != 0; }
  bool joined() const { return !has(MOE_LAYER_UNGATED) && d_.gate_up_layout != MOE_GATE_UP_SEPARATE; }

  void add(const std::string& name, uint64_t experts, uint64_t rows, uint64_t columns) {
    shapes_.push_back({name, experts, rows, columns});
  }
  void matrix(const std::string& name, uint64_t experts, uint64_t out, uint64_t in) {
    const bool transposed = d_.matrix_order == MOE_MATRIX_IN_OUT;
    add(name, experts, transposed ? in : out, transposed ? out : in);
  }
  void network(const std::string& prefix, uint64_t experts, uint64_t intermediate, uint64_t width) {
    if (joined()) {
      matrix(prefix + ".gate_up", experts, 2 * intermediate, width);
    } else {
      if (!has(MOE_LAYER_UNGATED)) matrix(prefix + ".gate", experts, intermediate, width);
      matrix(prefix + ".up", experts, intermediate, width);
    }
    matrix(prefix + ".down", experts, width, intermediate);
  }
  void biases(uint64_t width) {
    if (joined()) {
      add("experts.gate_up.bias", d_.experts, 1, 2 * uint64_t{d_.intermediate});
    } else {
      if (!has(MOE_LAYER_UNGATED)) add("experts.gate.bias", d_.experts, 1, d_.intermediate);
      add("experts.up.bias", d_.experts, 1, d_.intermediate);
    }
    add("experts.down.bias", d_.experts, 1, width);
  }

  const moe_layer_desc& d_;
  std::vector<ValueShape> shapes_;
};

}  // namespace

std::vector<ValueShape> tensor_shapes(const moe_layer_desc& desc) { return Lister(desc).list(); }

std::vector<ValueShape> input_shapes(const moe_layer_desc& d, uint64_t tokens) {
  const uint64_t choices = uint64_t{d.experts} + d.identity_experts;
  std::vector<ValueShape> shapes = {{"x", 0, tokens, d.hidden}};
  if ((d.flags & MOE_LAYER_SEPARATE_ROUTER_INPUT) != 0) shapes.push_back({"router_x", 0, tokens, d.hidden});
  switch (d.route_source) {
    case MOE_ROUTE_FROM_LOGITS: shapes.push_back({"logits_in", 0, tokens, choices}); break;
    case MOE_ROUTE_FROM_SCORES:
      shapes.push_back({"scores_in", 0, tokens, choices});
      shapes.push_back({"weights_in", 0, tokens, choices});
      break;
    case MOE_ROUTE_FROM_IDS:
      shapes.push_back({"ids_in", 0, tokens, d.top_k, true});
      shapes.push_back({"weights_in", 0, tokens, d.top_k});
      break;
    case MOE_ROUTE_FROM_TOKEN_TABLE: shapes.push_back({"token_ids", 0, tokens, 1, true}); break;
    default: break;
  }
  shapes.push_back({"residual", 0, tokens, d.hidden, false, false});
  shapes.push_back({"beta", 0, 1, 1, false, false});
  return shapes;
}

std::vector<ValueShape> output_shapes(const moe_layer_desc& d, uint64_t tokens) {
  const uint64_t choices = uint64_t{d.experts} + d.identity_experts;
  std::vector<ValueShape> shapes = {{"ids", 0, tokens, d.top_k, true, false},
                                    {"weights", 0, tokens, d.top_k, false, false},
                                    {"y", 0, tokens, d.hidden},
                                    {"counts", 0, 1, choices, true, false}};
  const bool router = d.route_source == MOE_ROUTE_FROM_ROUTER || d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  if (router) shapes.push_back({"logits", 0, tokens, choices, false, false});
  if (d.route_source <= MOE_ROUTE_FROM_SCORES) shapes.push_back({"scores", 0, tokens, choices, false, false});
  return shapes;
}

}  // namespace moevk::model
