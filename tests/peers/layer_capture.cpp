// SPDX-License-Identifier: MIT
//
// In:  see layer_capture.h.
// Out: see layer_capture.h.
// Why: the CPU backend's tensors lie in host memory, and a node's inputs are still there when it has been computed.
#include "tests/peers/layer_capture.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "tests/model/npy_writer.h"

namespace moevk::peers {
namespace {

// "ffn_moe_out-3" is `stem` "ffn_moe_out" of block 3.
bool is_named(const ggml_tensor& node, std::string_view stem, int& block) {
  const std::string_view name = node.name;
  return name.starts_with(stem) && name.size() > stem.size() && name[stem.size()] == '-' &&
         std::sscanf(node.name + stem.size() + 1, "%d", &block) == 1;
}

// Block of "blk.N.<suffix>", or -1.
int block_of(const ggml_tensor* tensor, std::string_view suffix) {
  int block = -1, used = 0;
  if (tensor == nullptr || std::sscanf(tensor->name, "blk.%d.%n", &block, &used) != 1) return -1;
  return std::string_view(tensor->name + used) == suffix ? block : -1;
}

// The ways into a latent space and out of it, as Kimi-K3 and Nemotron-H name them.
int block_of_way_in(const ggml_tensor* tensor) {
  return std::max(block_of(tensor, "ffn_routed_down.weight"), block_of(tensor, "ffn_latent_down.weight"));
}
int block_of_way_out(const ggml_tensor* tensor) {
  return std::max(block_of(tensor, "ffn_routed_up.weight"), block_of(tensor, "ffn_latent_up.weight"));
}

// The block whose routed experts' sum, at the model's width, is this node; or -1.
int block_of_routed_sum(const ggml_tensor& node) {
  int block = -1;
  if (node.op == GGML_OP_MUL_MAT && (block = block_of_way_out(node.src[0])) >= 0) return block;
  return is_named(node, "ffn_moe_out", block) ? block : -1;
}

}  // namespace

bool LayerCapture::on_node(ggml_tensor* node, bool ask, void* user) {
  auto& self = *static_cast<LayerCapture*>(user);
  if (ask) return self.print_ || self.see(*node, false);
  if (self.print_) self.print(*node);
  self.see(*node, true);
  return true;
}

void LayerCapture::keep(int block, const char* name, const ggml_tensor& tensor, int64_t columns) {
  int64_t count = 1;
  for (const int64_t extent : tensor.ne) count *= extent;
  Matrix matrix;
  matrix.columns = static_cast<uint64_t>(columns);
  matrix.rows = static_cast<uint64_t>(count / columns);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    size_t offset = 0;
    for (size_t axis = 0; axis < GGML_MAX_DIMS; ++axis) {
      offset += static_cast<size_t>(rest % tensor.ne[axis]) * tensor.nb[axis];
      rest /= tensor.ne[axis];
    }
    const char* at = static_cast<const char*>(tensor.data) + offset;
    if (tensor.type == GGML_TYPE_F32) {
      float number;
      std::memcpy(&number, at, sizeof number);
      matrix.numbers.push_back(number);
    } else if (tensor.type == GGML_TYPE_I32) {
      int32_t id;
      std::memcpy(&id, at, sizeof id);
      matrix.ids.push_back(id);
    } else {
      throw std::runtime_error(std::string(tensor.name) + " is neither f32 nor i32");
    }
  }
  layers_[block][name] = std::move(matrix);
}

// True if the node says something of a layer, which is kept if `computed`.
bool LayerCapture::see(const ggml_tensor& node, bool computed) {
  int block = -1;
  const auto keep_if_computed = [&](const char* name, const ggml_tensor& tensor, int64_t columns) {
    if (computed) keep(block, name, tensor, columns);
    return true;
  };
  if (is_named(node, "ffn_moe_logits", block)) {
    if (computed) {
      keep(block, "router_x", *node.src[1], node.src[1]->ne[0]);
      keep_input_of_norm(block, *node.src[1]);
    }
    return keep_if_computed("logits", node, node.ne[0]);
  }
  // A router's bias makes them anew, under another name.
  if (node.op == GGML_OP_ADD && (block = block_of(node.src[1], "ffn_gate_inp.bias")) >= 0) {
    return keep_if_computed("logits", node, node.ne[0]);
  }
  if (is_named(node, "ffn_moe_topk", block)) return keep_if_computed("ids", node, node.ne[0]);
  // In a layer with a latent space there are two, and the second is kept.
  if ((block = block_of_routed_sum(node)) >= 0) return keep_if_computed("routed", node, node.ne[0]);
  if (node.op == GGML_OP_MUL_MAT && (block = block_of_way_in(node.src[0])) >= 0) {
    return keep_if_computed("x", *node.src[1], node.src[1]->ne[0]);
  }
  if (node.op == GGML_OP_MUL_MAT_ID && (block = block_of(node.src[0], "ffn_up_exps.weight")) >= 0) {
    // Behind a way in, what the experts read is not what the layer does.
    const ggml_tensor* read = node.src[1];
    while (read->op == GGML_OP_RESHAPE) read = read->src[0];
    const bool latent = read->op == GGML_OP_MUL_MAT && block_of_way_in(read->src[0]) == block;
    return latent || keep_if_computed("x", *node.src[1], node.src[1]->ne[0]);
  }
  // The weights multiply what the experts gave, or (Llama 4) their input.
  if (node.op == GGML_OP_MUL && is_named(node, "ffn_moe_weighted", block)) {
    return keep_if_computed("weights", *node.src[1], node.src[1]->ne[1]);
  }
  // What is added first is the shared experts', where there are some.
  if (node.op == GGML_OP_ADD && (block = block_of_routed_sum(*node.src[0])) >= 0) {
    return keep_if_computed("y", node, node.ne[0]);
  }
  return false;
}

// A router with an RMSNorm and a scale of its own (Gemma 4) is given what goes into the norm.
void LayerCapture::keep_input_of_norm(int block, const ggml_tensor& router_x) {
  if (router_x.op != GGML_OP_MUL || block_of(router_x.src[1], "ffn_gate_inp.scale") != block) return;
  const ggml_tensor* tensor = &router_x;
  while (tensor != nullptr && tensor->op != GGML_OP_RMS_NORM) tensor = tensor->src[0];
  if (tensor == nullptr) throw std::runtime_error("the router's input has a scale and no norm");
  keep(block, "router_in", *tensor->src[0], tensor->src[0]->ne[0]);
}

void LayerCapture::print(const ggml_tensor& node) const {
  std::printf("%s = %s", node.name, llama_.op_name(node.op));
  for (const ggml_tensor* source : node.src) {
    if (source != nullptr) std::printf(" %s", source->name);
  }
  std::printf(" [%lld %lld %lld]\n", static_cast<long long>(node.ne[0]), static_cast<long long>(node.ne[1]),
              static_cast<long long>(node.ne[2]));
}

void LayerCapture::write(const std::string& folder) const {
  for (const auto& [block, matrices] : layers_) {
    for (const auto& [name, matrix] : matrices) {
      const std::string path = folder + "/l" + std::to_string(block) + "." + name + ".npy";
      const bool written = matrix.ids.empty() ? model::write_npy(path, matrix.numbers, matrix.rows, matrix.columns)
                                              : model::write_npy(path, matrix.ids, matrix.rows, matrix.columns);
      if (!written) throw std::runtime_error(path + " cannot be written");
    }
  }
}

}  // namespace moevk::peers
