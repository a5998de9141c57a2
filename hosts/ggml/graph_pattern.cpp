// SPDX-License-Identifier: MIT
//
// In:  see graph_pattern.h.
// Out: see graph_pattern.h.
// Why: a pattern is read while it is matched; the tables are short and a graph is matched once.
#include "hosts/ggml/graph_pattern.h"

namespace moevk::ggml {
namespace {

std::string_view word(std::string_view& rest) {
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == ',')) rest.remove_prefix(1);
  size_t end = 0;
  while (end < rest.size() && rest[end] != '(' && rest[end] != ')' && rest[end] != ',' && rest[end] != ' ') ++end;
  const std::string_view found = rest.substr(0, end);
  rest.remove_prefix(end);
  return found;
}

bool is_operation_name(std::string_view name) { return !name.empty() && name.front() >= 'A' && name.front() <= 'Z'; }

}  // namespace

bool PatternMatcher::is_operation(const Tensor& node, std::string_view name) const {
  struct Row {
    std::string_view name;
    int32_t op;
    int32_t second = Ops::kNone;
    bool has_second = false;
  };
  const Row rows[] = {
      {"ADD", ops_.add},
      {"ADD_ID", ops_.add_id},
      {"ARGSORT", ops_.argsort},
      {"CLAMP", ops_.clamp},
      {"CONT", ops_.cont},
      {"DIV", ops_.div},
      {"FILL", ops_.fill},
      {"GET_ROWS", ops_.get_rows},
      {"MUL", ops_.mul},
      {"MUL_MAT", ops_.mul_mat},
      {"MUL_MAT_ID", ops_.mul_mat_id},
      {"REPEAT", ops_.repeat},
      {"SCALE", ops_.scale},
      {"SET_ROWS", ops_.set_rows},
      {"SOFT_MAX", ops_.soft_max},
      {"SQR", ops_.sqr},
      {"SQRT", ops_.sqrt},
      {"SUM_ROWS", ops_.sum_rows},
      {"TOP_K", ops_.top_k},
      {"VIEW", ops_.view},
      {"GLU.REGLU", ops_.glu, ops_.reglu, true},
      {"GLU.GEGLU", ops_.glu, ops_.geglu, true},
      {"GLU.SWIGLU", ops_.glu, ops_.swiglu, true},
      {"GLU.SWIGLU_OAI", ops_.glu, ops_.swiglu_oai, true},
      {"GLU.GEGLU_ERF", ops_.glu, ops_.geglu_erf, true},
      {"GLU.SWIGLU_CLAMP", ops_.glu, ops_.swiglu_clamp, true},
      {"UNARY.SIGMOID", ops_.unary, ops_.sigmoid, true},
      {"UNARY.SILU", ops_.unary, ops_.silu, true},
      {"UNARY.GELU", ops_.unary, ops_.gelu, true},
      {"UNARY.GELU_ERF", ops_.unary, ops_.gelu_erf, true},
      {"UNARY.RELU", ops_.unary, ops_.relu, true},
      {"UNARY.SOFTPLUS", ops_.unary, ops_.softplus, true},
      {"UNARY.TANH", ops_.unary, ops_.tanh, true},
  };
  for (const Row& row : rows) {
    if (row.name != name) continue;
    if (row.op == Ops::kNone || node.op != row.op) return false;
    return !row.has_second || (row.second != Ops::kNone && node.op_params[0] == row.second);
  }
  return false;
}

Tensor* PatternMatcher::behind_reshapes(Tensor* node, std::vector<Tensor*>& nodes) const {
  while (node != nullptr && node->op == ops_.reshape) {
    nodes.push_back(node);
    node = node->src[0];
  }
  return node;
}

bool PatternMatcher::step(std::string_view& rest, Tensor* node, Found& found) const {
  const std::string_view name = word(rest);
  node = behind_reshapes(node, found.nodes);
  if (node == nullptr || name.empty()) return false;
  if (!is_operation_name(name)) {
    if (name.front() == '#' && node->op != ops_.none) return false;
    const std::string key(name.front() == '#' ? name.substr(1) : name);
    const auto [it, is_new] = found.names.emplace(key, node);
    return is_new || it->second == node;
  }
  if (!is_computed_here(node) || !is_operation(*node, name)) return false;
  found.nodes.push_back(node);
  std::string key(name);
  for (int again = 2; !found.ops.emplace(key, node).second; ++again) key = std::string(name) + std::to_string(again);
  if (rest.empty() || rest.front() != '(') return false;
  rest.remove_prefix(1);
  int sources = 0;
  while (!rest.empty() && rest.front() != ')') {
    if (sources == kMaxSources || !step(rest, node->src[sources], found)) return false;
    ++sources;
  }
  if (rest.empty()) return false;
  rest.remove_prefix(1);
  // A source that the pattern does not speak of would be ignored.
  for (int i = sources; i < kMaxSources; ++i) {
    if (node->src[i] != nullptr) return false;
  }
  return true;
}

bool PatternMatcher::match(std::string_view pattern, Tensor* node, Found& found) const {
  Found attempt = found;
  if (!step(pattern, node, attempt) || !pattern.empty()) return false;
  found = std::move(attempt);
  return true;
}

}  // namespace moevk::ggml
