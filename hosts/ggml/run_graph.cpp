// SPDX-License-Identifier: MIT
//
// In:  see run_graph.h.
// Out: see run_graph.h.
// Why: a block runs at the place of its last node, when all that it reads has been computed.
#include "hosts/ggml/run_graph.h"

#include <algorithm>
#include <deque>

namespace moevk::ggml {
namespace {

using SetThreads = void (*)(Backend*, int);

struct Range {
  uintptr_t begin, end;
};

// Stand-ins for nodes that read matrices which lie on the device: the CPU backend reads copies of these.
class HostCopies {
 public:
  HostCopies(const Ops& ops, const DeviceTensors& tensors) : ops_(ops), tensors_(tensors) {}

  // The node itself where the CPU can read all its sources. Others see a stand-in's result where the node's is.
  Tensor* readable(Tensor* node) {
    if (node->op == ops_.view || node->op == ops_.reshape) return node;  // reads nothing
    Tensor* stand_in = node;
    for (size_t i = 0; i < kMaxSources; ++i) {
      if (node->src[i] == nullptr || node->src[i]->data == nullptr || !tensors_.has(node->src[i]->data)) continue;
      if (stand_in == node) stand_in = &made_.emplace_back(*node);
      Tensor& leaf = made_.emplace_back(*node->src[i]);
      const char* begin = nullptr;
      const std::vector<char>& bytes = bytes_.emplace_back(tensors_.copy(leaf.data, begin));
      leaf.data = const_cast<char*>(bytes.data()) + (static_cast<const char*>(leaf.data) - begin);
      stand_in->src[i] = &leaf;
    }
    return stand_in;
  }

 private:
  const Ops& ops_;
  const DeviceTensors& tensors_;
  std::deque<Tensor> made_;  // addresses stay
  std::deque<std::vector<char>> bytes_;
};

// Memory from a tensor's first byte to its last.
Range range_of(const HostGgml& host, const Tensor& tensor) {
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data);
  for (const int64_t extent : tensor.ne) {
    if (extent == 0) return {begin, begin};
  }
  size_t bytes = host.type_bytes(tensor.type) * static_cast<size_t>(tensor.ne[0] / host.block_columns(tensor.type));
  for (int axis = 1; axis < kMaxDims; ++axis) bytes += static_cast<size_t>(tensor.ne[axis] - 1) * tensor.nb[axis];
  return {begin, begin + bytes};
}

}  // namespace

GraphRunner::~GraphRunner() {
  if (cpu_ != nullptr) host_.backend_free(cpu_);
}

void GraphRunner::set_threads(int threads) {
  threads_ = threads;
  if (cpu_ == nullptr || threads <= 0) return;
  Registry* registry = host_.dev_backend_reg(host_.backend_get_device(cpu_));
  const auto set = reinterpret_cast<SetThreads>(host_.reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
  if (set != nullptr) set(cpu_, threads);
}

void GraphRunner::say_once(const std::string& what) {
  if (said_.insert(what).second) log_line(kLogWarn, what);
}

// No other node that runs before the block's last one may write what the block reads.
bool GraphRunner::is_safe(const LayerMatch& match, const std::vector<Tensor*>& nodes) const {
  const std::unordered_set<int> inside(match.nodes.begin(), match.nodes.end());
  for (int index = match.nodes.front(); index < match.nodes.back(); ++index) {
    const Tensor& node = *nodes[static_cast<size_t>(index)];
    if (inside.count(index) != 0 || node.op == host_.ops.view || node.op == host_.ops.reshape) continue;
    const Range written = range_of(host_, node);
    for (const Tensor* read : {match.x, match.router_x, match.ids, match.route_weights}) {
      if (read == nullptr) continue;
      const Range range = range_of(host_, *read);
      if (written.begin < range.end && range.begin < written.end) return false;
    }
  }
  return true;
}

bool GraphRunner::weights_stay(const LayerMatch& match) const {
  return std::all_of(match.weights.begin(), match.weights.end(), [&](const auto& weight) {
    return weight.second->buffer != nullptr && host_.buffer_get_usage(weight.second->buffer) == kUsageWeights;
  });
}

int32_t GraphRunner::run_on_cpu(const std::vector<Tensor*>& nodes) {
  const Ops& ops = host_.ops;
  const bool only_views = std::all_of(nodes.begin(), nodes.end(), [&](const Tensor* node) {
    return node->op == ops.view || node->op == ops.reshape || node->op == ops.none;
  });
  if (only_views) return kStatusSuccess;
  if (cpu_ == nullptr) {
    cpu_ = host_.init_by_type(kDeviceCpu, nullptr);
    if (cpu_ == nullptr) {
      log_line(kLogError, "ggml has no CPU backend to run " + std::string(nodes.front()->name));
      return kStatusFailed;
    }
    set_threads(threads_);
  }
  HostCopies copies(host_.ops, accelerator_.device_tensors());
  std::vector<Tensor*> readable;
  for (Tensor* node : nodes) readable.push_back(copies.readable(node));
  graph_memory_.resize(host_.graph_overhead_custom(nodes.size(), false) + 1024);
  Context* context = host_.init({graph_memory_.size(), graph_memory_.data(), true});
  if (context == nullptr) return kStatusFailed;
  Graph* graph = host_.new_graph_custom(context, nodes.size(), false);
  for (Tensor* node : readable) host_.graph_add_node(graph, node);
  const int32_t status = host_.graph_compute(cpu_, graph);
  host_.free(context);
  return status;
}

// llama.cpp warms up with all experts of each token at once: uploading them twice for that would be a waste.
bool GraphRunner::is_for_device(const Tensor& product) {
  const bool model =
      product.src[0]->buffer != nullptr && host_.buffer_get_usage(product.src[0]->buffer) == kUsageWeights;
  std::string why;
  if (model && product.src[2]->ne[0] == product.src[0]->ne[2]) return false;
  if ((product.flags & kFlagCompute) == 0) return false;
  if (accelerator_.supports_product(product, why)) return too_large_.count(product.src[0]->data) == 0;
  say_once(std::string(product.name) + " runs on the CPU: " + why);
  return false;
}

// False where the device has no memory for it.
bool GraphRunner::multiply(const Tensor& product) {
  const Tensor* matrix = product.src[0];
  try {
    accelerator_.multiply(stream_, product,
                          matrix->buffer != nullptr && host_.buffer_get_usage(matrix->buffer) == kUsageWeights);
    return true;
  } catch (const moe::Error& error) {
    if (error.code() != MOE_ERROR_OUT_OF_DEVICE_MEMORY) throw;
    say_once(std::string(product.name) + " runs on the CPU: " + error.what());
    too_large_.insert(matrix->data);
    return false;
  }
}

int32_t GraphRunner::run(Graph* graph) {
  std::vector<Tensor*> nodes;
  const int count = host_.graph_n_nodes(graph);
  for (int i = 0; i < count; ++i) nodes.push_back(host_.graph_node(graph, i));
  std::vector<std::string> why;
  std::vector<LayerMatch> layers = match_layers(host_.ops, nodes, why);
  for (const std::string& reason : why) say_once("a MoE block is not known and runs operation by operation: " + reason);

  std::vector<const LayerMatch*> layer_of(nodes.size(), nullptr);
  for (LayerMatch& layer : layers) {
    std::string reason;
    if (!accelerator_.supports(layer, reason)) {
      say_once("a MoE block runs on the CPU: " + reason);
    } else if (!is_safe(layer, nodes)) {
      say_once("a MoE block runs on the CPU: its input's memory is used again before its end");
    } else if (too_large_.count(layer.weights.front().second->data) == 0) {
      for (const int index : layer.nodes) layer_of[static_cast<size_t>(index)] = &layer;
    }
  }
  std::vector<Tensor*> rest;
  const auto run_rest = [&] {
    const int32_t status = rest.empty() ? kStatusSuccess : run_on_cpu(rest);
    rest.clear();
    return status;
  };
  for (size_t i = 0; i < nodes.size(); ++i) {
    const LayerMatch* layer = layer_of[i];
    if (layer == nullptr) {
      if (nodes[i]->op == host_.ops.mul_mat_id && is_for_device(*nodes[i])) {
        if (const int32_t status = run_rest(); status != kStatusSuccess) return status;
        if (multiply(*nodes[i])) continue;
      }
      rest.push_back(nodes[i]);
      continue;
    }
    // Where no token of a batch is asked for, the last block has none.
    if (nodes[i] != layer->y || layer->tokens == 0) continue;
    if (const int32_t status = run_rest(); status != kStatusSuccess) return status;
    try {
      accelerator_.run(stream_, *layer, weights_stay(*layer));
      if (tracing()) {
        log_line(kLogDebug, std::string(layer->y->name) + ": " + std::to_string(layer->nodes.size()) + " nodes, " +
                                std::to_string(layer->tokens) + " tokens, " +
                                (layer->ids != nullptr ? "given routes" : "routed here"));
      }
    } catch (const moe::Error& error) {
      if (error.code() != MOE_ERROR_OUT_OF_DEVICE_MEMORY && error.code() != MOE_ERROR_UNSUPPORTED) throw;
      say_once(std::string(layer->y->name) + " and its like run on the CPU: " + error.what());
      too_large_.insert(layer->weights.front().second->data);
      for (const int index : layer->nodes) rest.push_back(nodes[static_cast<size_t>(index)]);
    }
  }
  return run_rest();
}

}  // namespace moevk::ggml
