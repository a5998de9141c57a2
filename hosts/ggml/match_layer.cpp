// SPDX-License-Identifier: MIT
//
// In:  see match_layer.h.
// Out: see match_layer.h.
// Why: a block is read from the product with the experts' down matrices, both ways: down to the sum of the routes, and
//      up through activation and routing. Each step is one row of a table of what llama.cpp builds there.
#include "hosts/ggml/match_layer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "hosts/ggml/block_steps.h"

namespace moevk::ggml {
namespace {

// A matrix product with the experts' matrices `name`, with or without a bias.
struct Product {
  const Tensor* weights = nullptr;
  const Tensor* bias = nullptr;
  const Tensor* node = nullptr;
  Tensor* x = nullptr;
  Tensor* ids = nullptr;
};

class BlockReader {
 public:
  BlockReader(const Ops& ops, const std::vector<Tensor*>& nodes) : ops_(ops), nodes_(nodes), matcher_(ops, graph_) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      graph_.insert(nodes[i]);
      index_.emplace(nodes[i], static_cast<int>(i));
      for (const Tensor* source : nodes[i]->src) {
        if (source != nullptr) readers_[source].push_back(nodes[i]);
      }
    }
  }

  std::optional<LayerMatch> read(Tensor* down, std::string& why);

 private:
  template <size_t N>
  bool any(const Way (&ways)[N], Tensor* node, Found& found, moe_layer_desc& desc) const {
    for (const Way& way : ways) {
      Found attempt = found;
      attempt.ops.clear();  // parameters of this step alone
      moe_layer_desc changed = desc;
      if (matcher_.match(way.pattern, node, attempt) && way.apply(changed, attempt)) {
        found = std::move(attempt);
        desc = changed;
        return true;
      }
    }
    return false;
  }
  bool product(Tensor* node, Found& found, Product& out) const;
  Tensor* only_reader(const Tensor* node) const {
    const auto it = readers_.find(node);
    return it == readers_.end() || it->second.size() != 1 ? nullptr : it->second.front();
  }
  Tensor* sum_of_routes(Tensor* experts, uint32_t routes, Found& found) const;
  bool read_gate_and_up(Tensor* h, LayerMatch& match, Found& found, Tensor*& ids, Tensor*& x, Tensor*& weights) const;
  bool read_routing(Tensor* weights, Tensor* ids, LayerMatch& match, Found& found) const;
  size_t row_bytes(const Tensor* x, const LayerMatch& match) const;
  bool is_closed(const LayerMatch& match, std::string& why) const;
  void set_nodes(LayerMatch& match, const Found& found) const;

  const Ops& ops_;
  const std::vector<Tensor*>& nodes_;
  std::unordered_set<const Tensor*> graph_;
  std::unordered_map<const Tensor*, int> index_;
  std::unordered_map<const Tensor*, std::vector<Tensor*>> readers_;
  PatternMatcher matcher_;
};

bool BlockReader::product(Tensor* node, Found& found, Product& out) const {
  Found part;
  const bool biased = matcher_.match("ADD_ID(MUL_MAT_ID(#w, x, ids), #b, ids)", node, part);
  if (!biased && !matcher_.match("MUL_MAT_ID(#w, x, ids)", node, part)) return false;
  out = {part.at("w"), biased ? part.at("b") : nullptr, part.ops.at("MUL_MAT_ID"), part.at("x"), part.at("ids")};
  found.nodes.insert(found.nodes.end(), part.nodes.begin(), part.nodes.end());
  return true;
}

// The node that has the sum over a token's routes of `experts` [H, k, T]: views of each route, added in order.
Tensor* BlockReader::sum_of_routes(Tensor* experts, uint32_t routes, Found& found) const {
  const auto it = readers_.find(experts);
  if (it == readers_.end()) return nullptr;
  std::vector<Tensor*> views(routes);
  for (Tensor* reader : it->second) {
    if (reader->op != ops_.view || reader->view_src == nullptr || experts->nb[1] == 0) return nullptr;
    const size_t route = (reader->view_offs - experts->view_offs) / experts->nb[1];
    if (route >= routes || views[route] != nullptr ||
        reader->view_offs != experts->view_offs + route * experts->nb[1] || reader->ne[0] != experts->ne[0] ||
        reader->ne[1] != experts->ne[2] || reader->nb[1] != experts->nb[2]) {
      return nullptr;
    }
    views[route] = reader;
    found.nodes.push_back(reader);
  }
  if (std::count(views.begin(), views.end(), nullptr) != 0) return nullptr;
  Tensor* sum = views[0];
  if (routes == 1) {
    sum = only_reader(sum);
    if (sum == nullptr || sum->op != ops_.cont) return nullptr;
    found.nodes.push_back(sum);
    return sum;
  }
  for (uint32_t route = 1; route < routes; ++route) {
    Tensor* next = only_reader(sum);
    if (next == nullptr || next->op != ops_.add || next->src[0] != sum || next->src[1] != views[route]) return nullptr;
    found.nodes.push_back(next);
    sum = next;
  }
  return sum;
}

bool BlockReader::read_gate_and_up(Tensor* h, LayerMatch& match, Found& found, Tensor*& ids, Tensor*& x,
                                   Tensor*& weights) const {
  Found part;
  if (!any(kActivations, h, part, match.desc)) return false;
  const bool gated = (match.desc.flags & MOE_LAYER_UNGATED) == 0;
  Product up, gate;
  Found gate_view, up_view;
  const auto add = [&](const char* name, const Product& one) {
    match.weights.emplace_back(name, one.weights);
    if (one.bias != nullptr) match.weights.emplace_back(std::string(name) + ".bias", one.bias);
  };
  if (product(part.at("up"), part, up)) {
    if (gated && (!product(part.at("gate"), part, gate) || gate.x != up.x || gate.ids != up.ids ||
                  (gate.bias == nullptr) != (up.bias == nullptr))) {
      return false;
    }
    if (gated) add("experts.gate", gate);
    add("experts.up", up);
  } else if (gated && matcher_.match("VIEW(both)", part.at("gate"), gate_view) &&
             matcher_.match("VIEW(both)", part.at("up"), up_view) && gate_view.at("both") == up_view.at("both")) {
    // One product with gate and up, then views of its halves.
    Tensor* both = gate_view.at("both");
    const Tensor* first = part.at("gate");
    const Tensor* second = part.at("up");
    if (!product(both, part, up) || both->ne[0] != 2 * first->ne[0] || first->view_offs != both->view_offs ||
        second->view_offs != both->view_offs + static_cast<size_t>(first->ne[0]) * both->nb[0]) {
      return false;
    }
    part.nodes.push_back(part.at("gate"));
    part.nodes.push_back(part.at("up"));
    match.desc.gate_up_layout = MOE_GATE_UP_CONCATENATED;
    add("experts.gate_up", up);
  } else {
    return false;
  }
  if (up.bias != nullptr) match.desc.flags |= MOE_LAYER_EXPERT_BIAS;
  ids = up.ids;
  x = up.x;
  Found weighted;
  if (matcher_.match("MUL(REPEAT(x), weights)", up.x, weighted)) {
    x = weighted.at("x");
    weights = weighted.at("weights");
    match.desc.flags |= MOE_LAYER_WEIGHT_ON_INPUT;
    part.nodes.insert(part.nodes.end(), weighted.nodes.begin(), weighted.nodes.end());
  } else if (up.node->src[1]->ne[1] != 1) {
    return false;  // a row for each route
  }
  found.nodes.insert(found.nodes.end(), part.nodes.begin(), part.nodes.end());
  return true;
}

// From the weights [1, k, T] and ids [k, T] of the routes to the router's matrix.
bool BlockReader::read_routing(Tensor* weights, Tensor* ids, LayerMatch& match, Found& found) const {
  Found part;
  moe_layer_desc desc = match.desc;
  desc.route_source = MOE_ROUTE_FROM_ROUTER;
  Tensor* w = weights;
  for (const auto* ways : {&kScale, &kNormalize}) {
    Found one;
    if (any(*ways, w, one, desc)) {
      w = one.at("w");
      part.nodes.insert(part.nodes.end(), one.nodes.begin(), one.nodes.end());
    }
  }
  if (!any(kWeights, w, part, desc) || part.at("ids") != ids) return false;
  if (!any(kSelection, ids, part, desc)) return false;
  if (Found one; any(kGroups, part.at("selection"), one, desc)) {
    if (!any(kKeptGroups, one.at("kept"), one, desc)) return false;
    part.names["selection"] = one.at("scores");
    part.nodes.insert(part.nodes.end(), one.nodes.begin(), one.nodes.end());
  }
  if (any(kChosenByLogits, part.at("probs"), part, desc)) {
    part.names["logits"] = part.at("selection");
  } else if (!any(kBiased, part.at("selection"), part, desc) || !any(kScores, part.at("probs"), part, desc)) {
    return false;
  }
  if (!any(kLogits, part.at("logits"), part, desc)) return false;
  for (const char* name : {"router.weight", "router.bias", "router.selection_bias"}) {
    if (part.at(name) != nullptr) match.weights.emplace_back(name, part.at(name));
  }
  if (part.at("router_x") != match.x) {
    match.router_x = part.at("router_x");
    match.router_x_row_bytes = row_bytes(match.router_x, match);
    if (match.router_x_row_bytes == 0) return false;
    desc.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT;
  }
  match.desc = desc;
  found.nodes.insert(found.nodes.end(), part.nodes.begin(), part.nodes.end());
  return true;
}

// Bytes from one token's row of f32 to the next, in [H, T] or [H, 1, T]; else 0.
size_t BlockReader::row_bytes(const Tensor* x, const LayerMatch& match) const {
  const int64_t t = match.tokens;
  if (x->type != ops_.f32 || x->nb[0] != sizeof(float) || x->ne[0] != match.desc.hidden || x->ne[3] != 1) return 0;
  if (x->ne[1] == t && x->ne[2] == 1) return x->nb[1];
  return x->ne[1] == 1 && x->ne[2] == t ? x->nb[2] : 0;
}

// Nobody but the block itself may read what it no longer writes.
bool BlockReader::is_closed(const LayerMatch& match, std::string& why) const {
  const std::unordered_set<int> inside(match.nodes.begin(), match.nodes.end());
  for (const int index : match.nodes) {
    const Tensor* node = nodes_[static_cast<size_t>(index)];
    if (node == match.y) continue;
    // Another view of what comes in stays valid.
    if (node->view_src != nullptr &&
        (index_.count(node->view_src) == 0 || inside.count(index_.at(node->view_src)) == 0)) {
      continue;
    }
    if ((node->flags & kFlagOutput) != 0) {
      why = std::string(node->name) + " is an output of the graph";
      return false;
    }
    const auto it = readers_.find(node);
    if (it == readers_.end()) continue;
    for (const Tensor* reader : it->second) {
      if (inside.count(index_.at(reader)) == 0) {
        why = std::string(node->name) + " is read by " + reader->name + ", which is not of the block";
        return false;
      }
    }
  }
  return true;
}

void BlockReader::set_nodes(LayerMatch& match, const Found& found) const {
  std::unordered_set<int> all;
  for (const Tensor* node : found.nodes) {
    if (matcher_.is_computed_here(node)) all.insert(index_.at(node));
  }
  match.nodes.assign(all.begin(), all.end());
  std::sort(match.nodes.begin(), match.nodes.end());
}

std::optional<LayerMatch> BlockReader::read(Tensor* down, std::string& why) {
  LayerMatch match;
  match.desc = MOE_INIT(moe_layer_desc);
  Found found;
  const auto refuse = [&](const char* what) {
    why = std::string(down->name) + ": " + what;
    return std::nullopt;
  };
  Tensor* experts = down;
  Tensor* reader = only_reader(down);
  if (reader != nullptr && reader->op == ops_.add_id && reader->src[0] == down) experts = reader;
  Product out;
  if (!product(experts, found, out)) return refuse("is no product with weights");
  Tensor *ids = nullptr, *x = nullptr, *weights = nullptr;
  if (!read_gate_and_up(out.x, match, found, ids, x, weights))
    return refuse("no known activation of gate and up leads to it");
  if (ids != out.ids) return refuse("gate and up have other routes");
  if ((out.bias != nullptr) != ((match.desc.flags & MOE_LAYER_EXPERT_BIAS) != 0)) {
    return refuse("some of gate, up and down have a bias, and some have not");
  }
  match.weights.emplace_back("experts.down", out.weights);
  if (out.bias != nullptr) match.weights.emplace_back("experts.down.bias", out.bias);

  // A scale for each expert, which may as well be on the routes' weights.
  Tensor* next = only_reader(experts);
  Found scale;
  if (next != nullptr && matcher_.match("MUL(o, GET_ROWS(REPEAT(#scale), ids))", next, scale) &&
      scale.at("o") == experts && scale.at("ids") == ids) {
    match.desc.flags |= MOE_LAYER_PER_EXPERT_SCALE;
    match.weights.emplace_back("router.expert_scale", scale.at("scale"));
    found.nodes.insert(found.nodes.end(), scale.nodes.begin(), scale.nodes.end());
    experts = next;
    next = only_reader(experts);
  }
  Tensor* weighted = experts;
  if (weights == nullptr) {
    if (next == nullptr || next->op != ops_.mul || next->src[0] != experts) {
      return refuse("the routes are not weighted behind it");
    }
    weighted = next;
    weights = next->src[1];
    found.nodes.push_back(weighted);
  }
  match.desc.top_k = static_cast<uint32_t>(ids->ne[0]);
  match.y = sum_of_routes(weighted, match.desc.top_k, found);
  if (match.y == nullptr) return refuse("the routes are not summed as llama.cpp does");

  match.x = x;
  match.tokens = ids->ne[1];
  match.desc.hidden = static_cast<uint32_t>(out.weights->ne[1]);
  match.desc.intermediate = static_cast<uint32_t>(out.weights->ne[0]);
  match.desc.experts = static_cast<uint32_t>(out.weights->ne[2]);
  match.x_row_bytes = row_bytes(x, match);
  if (match.x_row_bytes == 0) return refuse("its tokens are no matrix of f32 with a row each");
  if (match.y->type != ops_.f32 || match.y->nb[0] != sizeof(float) || match.y->ne[1] != match.tokens ||
      match.y->ne[2] != 1) {
    return refuse("its result is no matrix of f32 with a row for each token");
  }

  // The whole block where the routing is known and computed here, else from the given routes on.
  std::string open;
  LayerMatch whole = match;
  Found all = found;
  if (read_routing(weights, ids, whole, all)) {
    set_nodes(whole, all);
    if (is_closed(whole, open)) return whole;
  }
  const Tensor* given = weights;
  const auto k = static_cast<int64_t>(match.desc.top_k);
  if (ids->type != ops_.i32 || ids->nb[0] != sizeof(int32_t)) return refuse("its ids are no rows of i32");
  if (given->type != ops_.f32 || given->ne[0] != 1 || given->ne[1] != k || given->ne[2] != match.tokens ||
      given->nb[1] != sizeof(float)) {
    return refuse("its weights are no rows of f32");
  }
  match.desc.route_source = MOE_ROUTE_FROM_IDS;
  match.ids = ids;
  match.route_weights = given;
  set_nodes(match, found);
  if (!is_closed(match, open)) return refuse(open.c_str());
  return match;
}

}  // namespace

std::vector<LayerMatch> match_layers(const Ops& ops, const std::vector<Tensor*>& nodes, std::vector<std::string>& why) {
  std::vector<LayerMatch> found;
  BlockReader reader(ops, nodes);
  std::unordered_set<const Tensor*> taken;
  std::vector<std::pair<Tensor*, std::string>> refused;
  for (Tensor* node : nodes) {
    if (node->op != ops.mul_mat_id) continue;
    std::string reason;
    std::optional<LayerMatch> match = reader.read(node, reason);
    if (!match) {
      refused.emplace_back(node, reason);
      continue;
    }
    for (const int index : match->nodes) taken.insert(nodes[static_cast<size_t>(index)]);
    found.push_back(std::move(*match));
  }
  for (const auto& [node, reason] : refused) {
    if (taken.count(node) == 0) why.push_back(reason);
  }
  std::sort(found.begin(), found.end(),
            [](const LayerMatch& a, const LayerMatch& b) { return a.nodes.back() < b.nodes.back(); });
  return found;
}

}  // namespace moevk::ggml
