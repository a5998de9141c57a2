// SPDX-License-Identifier: MIT
//
// In:  see claims.h.
// Out: see claims.h.
// Why: see claims.h.
#include "hosts/ggml/claims.h"

#include <string_view>

namespace moevk::ggml {
namespace {

bool is_weight_leaf(const Ops& ops, const Tensor& tensor) {
  const std::string_view name = tensor.name;
  return tensor.op == ops.none && (name.ends_with(".weight") || name.ends_with(".bias"));
}

bool is_our_weight(const ClaimRules& rules, const Tensor* tensor) {
  return tensor != nullptr && tensor->op == rules.ops.none && is_moe_weight(*tensor) && rules.is_ours(*tensor);
}

// Only experts are multiplied by ids, whatever their name.
bool is_our_matrix(const ClaimRules& rules, const Tensor& product) {
  const Tensor* matrix = product.src[0];
  if (product.op == rules.ops.mul_mat) return is_our_weight(rules, matrix);
  return matrix != nullptr && matrix->op == rules.ops.none && rules.is_ours(*matrix);
}

bool is_step(const Ops& ops, int32_t op) {
  for (const int32_t known :
       {ops.argsort, ops.clamp, ops.cont, ops.div, ops.fill, ops.get_rows, ops.glu, ops.mul, ops.reshape, ops.scale,
        ops.set_rows, ops.soft_max, ops.sqr, ops.sqrt, ops.sum_rows, ops.top_k, ops.unary, ops.view}) {
    if (op == known) return true;
  }
  return false;
}

const Tensor* behind_reshape(const Ops& ops, const Tensor* tensor) {
  return tensor != nullptr && tensor->op == ops.reshape ? tensor->src[0] : tensor;
}

// A scale for each expert, once for each token.
bool is_repeated_scale(const Ops& ops, const Tensor& repeat) {
  const Tensor* leaf = behind_reshape(ops, repeat.src[0]);
  return leaf != nullptr && leaf->op == ops.none && is_moe_weight(*leaf);
}

// Whether this was computed of a router's or the experts' products, by steps of a MoE block alone.
bool is_of_block(const ClaimRules& rules, const Tensor* tensor) {
  const Ops& ops = rules.ops;
  while (tensor != nullptr) {
    if (tensor->op == ops.mul_mat || tensor->op == ops.mul_mat_id) return is_our_matrix(rules, *tensor);
    if (tensor->op == ops.add || tensor->op == ops.add_id) {
      if (!is_our_weight(rules, tensor->src[1]) && (tensor->op == ops.add_id || !is_of_block(rules, tensor->src[1]))) {
        return false;
      }
    } else if (tensor->op == ops.repeat) {
      return is_repeated_scale(ops, *tensor);
    } else if (tensor->op == ops.mul && tensor->src[0]->op == ops.repeat) {
      tensor = tensor->src[1];  // the experts' input, times the weights
      continue;
    } else if (!is_step(ops, tensor->op)) {
      return false;
    }
    tensor = tensor->src[0];
  }
  return false;
}

}  // namespace

bool is_moe_weight(const Tensor& tensor) {
  const std::string_view name = tensor.name;
  for (const std::string_view part : {"_exps.", "ffn_gate_inp.", "exp_probs_b."}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  return false;
}

bool is_expert_matrix(const Ops& ops, const Tensor& tensor) {
  const std::string_view name = tensor.name;
  return tensor.op == ops.none && tensor.view_src == nullptr && tensor.ne[2] > 1 && tensor.ne[3] == 1 &&
         name.find("_exps.") != std::string_view::npos && name.ends_with(".weight") &&
         name.find('#') == std::string_view::npos;
}

bool claims(const ClaimRules& rules, const Tensor& op, std::string& why) {
  const Ops& ops = rules.ops;
  for (const Tensor* source : op.src) {
    if (source == nullptr || !is_weight_leaf(ops, *source)) continue;
    if (!is_our_weight(rules, source)) {
      why = std::string(source->name) +
            (is_moe_weight(*source) ? " lies in another backend's memory" : " is no MoE weight");
      return false;
    }
  }
  const Tensor* a = op.src[0];
  const Tensor* b = op.src[1];
  // What computes nothing, where it lies here.
  const bool is_view = (op.op == ops.view || op.op == ops.reshape) && op.view_src != nullptr;
  if (op.op == ops.none || (is_view && op.view_src->op == ops.none)) {
    if (rules.is_ours(op)) return true;
    why = "lies in another backend's memory";
    return false;
  }
  if (op.op == ops.mul_mat || op.op == ops.mul_mat_id) {
    if (!is_our_matrix(rules, op)) {
      why = "is no product with a router or experts";
      return false;
    }
    if (b == nullptr || b->type != ops.f32 || op.type != ops.f32) {
      why = "its activations are not f32";
      return false;
    }
    return op.op == ops.mul_mat || rules.is_supported(op, why);
  }
  // A bias, as the loader asks for it: of something that is not computed yet.
  if ((op.op == ops.add || op.op == ops.add_id) && is_our_weight(rules, b)) {
    if (a != nullptr && (a->op == ops.none || is_of_block(rules, a))) return true;
  }
  if (is_of_block(rules, &op)) return true;
  // A row for each of a token's routes, to be weighted before the experts.
  if (op.op == ops.repeat && a != nullptr && a->op == ops.reshape && a->ne[1] == 1 && op.ne[0] == a->ne[0] &&
      op.ne[2] == a->ne[2] && op.ne[3] == 1 && op.type == ops.f32) {
    return true;
  }
  why = "is no step of a MoE block whose weights lie here";
  return false;
}

}  // namespace moevk::ggml
