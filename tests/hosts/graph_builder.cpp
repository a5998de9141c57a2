// SPDX-License-Identifier: MIT
//
// In:  see graph_builder.h.
// Out: see graph_builder.h.
// Why: see graph_builder.h.
#include "tests/hosts/graph_builder.h"

#include <cstring>
#include <limits>

namespace moevk::hosts {
namespace {

using ggml::Tensor;

void set_shape(Tensor& tensor, int64_t n0, int64_t n1, int64_t n2) {
  tensor.ne[0] = n0, tensor.ne[1] = n1, tensor.ne[2] = n2, tensor.ne[3] = 1;
  tensor.nb[0] = sizeof(float);
  for (int axis = 1; axis < ggml::kMaxDims; ++axis) {
    tensor.nb[axis] = tensor.nb[axis - 1] * static_cast<size_t>(tensor.ne[axis - 1]);
  }
}

}  // namespace

ggml::Ops test_ops() {
  ggml::Ops ops;
  int32_t next = 100;
  for (int32_t* op :
       {&ops.none,     &ops.add,          &ops.add_id,   &ops.argsort, &ops.clamp,      &ops.cont,      &ops.div,
        &ops.get_rows, &ops.glu,          &ops.mul,      &ops.mul_mat, &ops.mul_mat_id, &ops.repeat,    &ops.reshape,
        &ops.scale,    &ops.soft_max,     &ops.sqr,      &ops.sqrt,    &ops.sum_rows,   &ops.top_k,     &ops.unary,
        &ops.view,     &ops.reglu,        &ops.geglu,    &ops.swiglu,  &ops.swiglu_oai, &ops.geglu_erf, &ops.sigmoid,
        &ops.silu,     &ops.gelu,         &ops.gelu_erf, &ops.relu,    &ops.softplus,   &ops.tanh,      &ops.fill,
        &ops.set_rows, &ops.swiglu_clamp, &ops.f32,      &ops.f16,     &ops.bf16,       &ops.i32}) {
    *op = next++;
  }
  return ops;
}

Tensor* GraphBuilder::leaf(const std::string& name, int64_t n0, int64_t n1, int64_t n2) {
  Tensor& tensor = tensors.emplace_back();
  tensor = {};
  tensor.type = ops.f32;
  tensor.op = ops.none;
  set_shape(tensor, n0, n1, n2);
  std::strncpy(tensor.name, name.c_str(), ggml::kMaxName - 1);
  return &tensor;
}

Tensor* GraphBuilder::shaped(int32_t op, std::vector<Tensor*> sources, int64_t n0, int64_t n1, int64_t n2,
                             const std::string& name) {
  Tensor* tensor = leaf(name, n0, n1, n2);
  tensor->op = op;
  tensor->flags = ggml::kFlagCompute;
  for (size_t i = 0; i < sources.size(); ++i) tensor->src[i] = sources[i];
  nodes.push_back(tensor);
  return tensor;
}

Tensor* GraphBuilder::node(int32_t op, std::vector<Tensor*> sources, const std::string& name) {
  const Tensor* first = sources.front();
  return shaped(op, sources, first->ne[0], first->ne[1], first->ne[2], name);
}

Tensor* GraphBuilder::view(Tensor* of, int64_t n0, int64_t n1, int64_t n2, size_t nb1, size_t nb2, size_t offset) {
  Tensor* tensor = shaped(ops.view, {of}, n0, n1, n2, "view");
  tensor->type = of->type;
  tensor->nb[1] = nb1, tensor->nb[2] = nb2, tensor->nb[3] = nb2 * static_cast<size_t>(n2);
  tensor->view_src = of->view_src != nullptr ? of->view_src : of;
  tensor->view_offs = of->view_offs + offset;
  return tensor;
}

Tensor* GraphBuilder::reshape(Tensor* of, int64_t n0, int64_t n1, int64_t n2) {
  Tensor* tensor = shaped(ops.reshape, {of}, n0, n1, n2, "reshape");
  tensor->type = of->type;
  tensor->view_src = of->view_src != nullptr ? of->view_src : of;
  tensor->view_offs = of->view_offs;
  return tensor;
}

void GraphBuilder::set_param(Tensor* node, size_t index, float value) {
  std::memcpy(node->op_params + index, &value, sizeof value);
}

Tensor* add_moe_block(GraphBuilder& graph, Tensor* x, const BlockOptions& o) {
  const ggml::Ops& ops = graph.ops;
  const int64_t H = o.hidden, F = o.intermediate, E = o.experts, T = o.tokens, k = o.top_k;
  Tensor *ids = nullptr, *weights = nullptr;
  if (o.given_routes) {
    ids = graph.leaf("ids", k, T);
    ids->type = ops.i32;
    weights = graph.leaf("weights", 1, k, T);
  } else {
    Tensor* logits =
        graph.shaped(ops.mul_mat, {graph.leaf("blk.0.ffn_gate_inp.weight", H, E), x}, E, T, 1, "ffn_moe_logits");
    if (o.router_bias) logits = graph.node(ops.add, {logits, graph.leaf("blk.0.ffn_gate_inp.bias", E)});
    Tensor* probs = logits;
    if (o.softmax) {
      probs = graph.node(ops.soft_max, {logits});
      GraphBuilder::set_param(probs, 0, 1);
    } else if (!o.softmax_of_chosen) {
      probs = graph.node(ops.unary, {logits});
      probs->op_params[0] = ops.sigmoid;
    }
    Tensor* selection = probs;
    if (o.selection_bias) selection = graph.node(ops.add, {probs, graph.leaf("blk.0.exp_probs_b.bias", E)});
    if (o.weight_on_input) selection = logits;
    if (o.groups != 0) {
      Tensor* scores = graph.reshape(selection, E / o.groups, o.groups, T);
      Tensor* best = graph.node(ops.argsort, {scores});
      best->op_params[0] = 1;
      best = graph.view(best, 2, o.groups, T, best->nb[1], best->nb[2], 0);
      Tensor* two =
          graph.shaped(ops.get_rows, {graph.reshape(scores, 1, E / o.groups, o.groups), best}, 1, 2, o.groups);
      Tensor* sums = graph.shaped(ops.sum_rows, {graph.reshape(two, 2, o.groups, T)}, 1, o.groups, T);
      Tensor* order = graph.node(ops.argsort, {graph.reshape(sums, o.groups, T)});
      order->op_params[0] = 1;
      Tensor* kept = graph.view(order, 2, T, 1, order->nb[1], order->nb[2], 0);
      Tensor* rows = graph.shaped(ops.get_rows, {scores, kept}, E / o.groups, 2, T);
      Tensor* minus = graph.node(ops.fill, {scores});
      GraphBuilder::set_param(minus, 0, -std::numeric_limits<float>::infinity());
      Tensor* masked = graph.shaped(ops.set_rows, {rows, kept, minus}, E / o.groups, o.groups, T);
      selection = graph.reshape(masked, E, T);
    }
    Tensor* sorted = graph.node(ops.argsort, {selection});
    sorted->type = ops.i32;
    sorted->op_params[0] = 1;
    ids = graph.view(sorted, k, T, 1, sorted->nb[1], sorted->nb[2], 0);
    weights = graph.shaped(ops.get_rows, {graph.reshape(probs, 1, E, T), ids}, 1, k, T);
    if (o.softmax_of_chosen) {
      Tensor* chosen = graph.node(ops.soft_max, {graph.reshape(weights, k, T)});
      GraphBuilder::set_param(chosen, 0, 1);
      weights = graph.reshape(chosen, 1, k, T);
    }
    if (o.normalize) {
      Tensor* rows = graph.reshape(weights, k, T);
      Tensor* sum = graph.node(ops.clamp, {graph.shaped(ops.sum_rows, {rows}, 1, T)});
      GraphBuilder::set_param(sum, 0, 6.103515625e-5f);
      GraphBuilder::set_param(sum, 1, 3e38f);
      weights = graph.reshape(graph.node(ops.div, {rows, sum}), 1, k, T);
    }
    if (o.scale != 0) {
      weights = graph.node(ops.scale, {weights});
      GraphBuilder::set_param(weights, 0, o.scale);
    }
  }
  Tensor* rows = graph.reshape(x, H, 1, T);
  if (o.weight_on_input) rows = graph.node(ops.mul, {graph.shaped(ops.repeat, {rows}, H, k, T), weights});
  const auto product = [&](const std::string& what, int64_t n, int64_t m, Tensor* input) {
    Tensor* out = graph.shaped(ops.mul_mat_id, {graph.leaf("blk.0." + what + ".weight", n, m, E), input, ids}, m, k, T,
                               "product " + what);
    return o.expert_bias ? graph.node(ops.add_id, {out, graph.leaf("blk.0." + what + ".bias", m, E), ids}) : out;
  };
  Tensor* h = nullptr;
  if (o.joined) {
    Tensor* both = product("ffn_gate_up_exps", H, 2 * F, rows);
    Tensor* gate = graph.view(both, F, k, T, both->nb[1], both->nb[2], 0);
    Tensor* up = graph.view(both, F, k, T, both->nb[1], both->nb[2], static_cast<size_t>(F) * sizeof(float));
    h = graph.node(ops.glu, {gate, up});
    h->op_params[0] = ops.swiglu;
  } else if (o.ungated) {
    h = graph.node(ops.unary, {product("ffn_up_exps", H, F, rows)});
    h->op_params[0] = ops.relu;
    h = graph.node(ops.sqr, {h});
  } else {
    Tensor* up = product("ffn_up_exps", H, F, rows);
    Tensor* gate = product("ffn_gate_exps", H, F, rows);
    const auto capped = [&](Tensor* a, float cap) {
      Tensor* inner = graph.node(ops.scale, {a});
      Tensor* tanh = graph.node(ops.unary, {inner});
      tanh->op_params[0] = ops.tanh;
      Tensor* outer = graph.node(ops.scale, {tanh});
      GraphBuilder::set_param(inner, 0, 1 / cap);
      GraphBuilder::set_param(outer, 0, cap);
      return outer;
    };
    if (o.situ) {
      Tensor* sigmoid = graph.node(ops.unary, {gate});
      sigmoid->op_params[0] = ops.sigmoid;
      h = graph.node(ops.mul, {graph.node(ops.mul, {capped(gate, 2.5f), sigmoid}), capped(up, 3.5f)});
    } else {
      h = graph.node(ops.glu, {gate, up});
      h->op_params[0] = o.oai ? ops.swiglu_oai : o.clamp ? ops.swiglu_clamp : ops.swiglu;
      if (o.clamp) GraphBuilder::set_param(h, 3, 10);
    }
    if (o.oai) {
      GraphBuilder::set_param(h, 2, 1.702f);
      GraphBuilder::set_param(h, 3, 7);
    }
  }
  Tensor* experts = product("ffn_down_exps", F, H, h);
  if (o.expert_scale) {
    Tensor* scale = graph.reshape(graph.leaf("blk.0.ffn_down_exps.scale", E), 1, E);
    Tensor* each = graph.shaped(ops.get_rows, {graph.shaped(ops.repeat, {scale}, 1, E, T), ids}, 1, k, T);
    experts = graph.node(ops.mul, {experts, each});
  }
  if (!o.weight_on_input) experts = graph.node(ops.mul, {experts, weights});
  std::vector<Tensor*> views;
  for (int64_t i = 0; i < k; ++i) {
    views.push_back(
        graph.view(experts, H, T, 1, experts->nb[2], experts->nb[3], static_cast<size_t>(i) * experts->nb[1]));
  }
  Tensor* sum = views[0];
  for (size_t i = 1; i < views.size(); ++i) sum = graph.node(ops.add, {sum, views[i]}, "ffn_moe_out");
  return k == 1 ? graph.node(ops.cont, {sum}, "ffn_moe_out") : sum;
}

}  // namespace moevk::hosts
