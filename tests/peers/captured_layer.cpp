// SPDX-License-Identifier: MIT
//
// In:  see captured_layer.h.
// Out: see captured_layer.h.
// Why: see captured_layer.h.
#include "tests/peers/captured_layer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "tools/model/npy.h"

namespace moevk::peers {
namespace {

model::NpyArray read(const std::string& path, uint64_t rows, uint64_t columns) {
  auto array = model::read_npy(path);
  if (!array) throw std::runtime_error(path + ": " + array.error().text());
  if ((rows != 0 && array->rows != rows) || array->columns != columns) {
    throw std::runtime_error(path + " is " + std::to_string(array->rows) + " x " + std::to_string(array->columns));
  }
  return std::move(*array);
}

// Rounding of the router's own RMSNorm, where it has one, in terms of a sum.
constexpr double kTermsOfNorm = 8;

std::string token_text(uint64_t token) { return "token " + std::to_string(token); }

}  // namespace

bool read_captured_layer(const std::string& folder, uint32_t block, const moe_layer_desc& desc, CapturedLayer& layer) {
  const std::string stem = folder + "/l" + std::to_string(block) + ".";
  if (!std::filesystem::exists(stem + "router_x.npy")) return false;
  const model::NpyArray router_x = read(stem + "router_x.npy", 0, desc.hidden);
  const uint64_t tokens = router_x.rows;
  layer.inputs.tokens = tokens;
  layer.router_x = layer.inputs.x = router_x.to_f32();
  if ((desc.flags & MOE_LAYER_WEIGHT_ON_INPUT) == 0) {
    layer.inputs.x = read(stem + "x.npy", tokens, desc.hidden).to_f32();
    const bool apart = (desc.flags & MOE_LAYER_SEPARATE_ROUTER_INPUT) != 0;
    if (apart) layer.inputs.router_x = read(stem + "router_in.npy", tokens, desc.hidden).to_f32();
    if (!apart && layer.inputs.x != layer.router_x)
      throw std::runtime_error(stem + "x.npy is not what the router sees");
  }
  if (desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) {
    layer.inputs.token_ids = read(folder + "/tokens.npy", tokens, 1).to_i32();
  }
  layer.logits = read(stem + "logits.npy", tokens, desc.experts).to_f32();
  layer.ids = read(stem + "ids.npy", tokens, desc.top_k).to_i32();
  layer.weights = read(stem + "weights.npy", tokens, desc.top_k).to_f32();
  layer.y = read(stem + (desc.shared_intermediate > 0 ? "y.npy" : "routed.npy"), tokens, desc.hidden).to_f32();
  return true;
}

std::vector<double> logit_bounds_of(std::span<const float> x, std::span<const float> router, uint64_t hidden) {
  const double n = static_cast<double>(hidden) + kTermsOfNorm, u = std::ldexp(1.0, -24), gamma = n * u / (1 - n * u);
  std::vector<double> bounds(x.size() / hidden);
  for (size_t t = 0; t < bounds.size(); ++t) {
    for (size_t e = 0; e < router.size() / hidden; ++e) {
      double sum = 0;
      for (size_t i = 0; i < hidden; ++i) {
        sum += std::fabs(static_cast<double>(x[t * hidden + i]) * static_cast<double>(router[e * hidden + i]));
      }
      bounds[t] = std::max(bounds[t], 2 * gamma * sum);
    }
  }
  return bounds;
}

void compare(const CapturedLayer& theirs, const LayerOutputs& ours, const moe_layer_desc& desc,
             std::span<const double> logit_bounds, double output_bound, Comparison& comparison) {
  const uint64_t tokens = theirs.inputs.tokens, e = desc.experts, k = desc.top_k, h = desc.hidden;
  const auto complain = [&](std::string text) {
    if (comparison.problem.empty()) comparison.problem = std::move(text);
  };
  comparison.tokens += tokens;
  comparison.logits.add(ours.logits, theirs.logits);
  const std::span<const float> weights(ours.weights), y(ours.y), their_weights(theirs.weights), their_y(theirs.y);
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t i = t * e; i < (t + 1) * e; ++i) {
      const double difference = std::fabs(static_cast<double>(ours.logits[i]) - static_cast<double>(theirs.logits[i]));
      if (!(difference <= logit_bounds[t])) {
        complain(token_text(t) + ", logit of expert " + std::to_string(i - t * e) + ": " +
                 std::to_string(ours.logits[i]) + ", llama.cpp has " + std::to_string(theirs.logits[i]));
      }
    }
    bool same = true;
    for (uint64_t slot = t * k; slot < (t + 1) * k; ++slot) {
      const int32_t a = ours.ids[slot], b = theirs.ids[slot];
      if (a == b) continue;
      same = false;
      const bool known = !ours.scores.empty() && a >= 0 && b >= 0 && static_cast<uint64_t>(std::max(a, b)) < e;
      const auto score = [&](int32_t id) {
        return static_cast<double>(ours.scores[t * e + static_cast<uint64_t>(id)]);
      };
      // No score that is selected by is steeper than the logit itself.
      if (!known || !(std::fabs(score(a) - score(b)) <= 2 * logit_bounds[t])) {
        complain(token_text(t) + ", slot " + std::to_string(slot - t * k) + ": expert " + std::to_string(a) +
                 ", llama.cpp has " + std::to_string(b));
      }
    }
    if (!same) {
      ++comparison.close_tokens;
      continue;
    }
    comparison.weights.add(weights.subspan(t * k, k), their_weights.subspan(t * k, k));
    comparison.y.add(y.subspan(t * h, h), their_y.subspan(t * h, h));
  }
  if (!comparison.weights.is_within(kPeerBound)) complain("routing weights: " + comparison.weights.text());
  if (!comparison.y.is_within(output_bound)) complain("outputs: " + comparison.y.text());
}

}  // namespace moevk::peers
