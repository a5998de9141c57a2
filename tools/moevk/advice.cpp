// SPDX-License-Identifier: MIT
//
// In:  facts of a model and of a device.
// Out: Advice.
// Why: a token by itself reads k of E experts and computes little, so that the floor is bytes / bandwidth (roofline.h has
//      the formulas). --n-cpu-moe counts blocks from the first one on, those without experts included.
#include "tools/moevk/advice.h"

#include <algorithm>

#include "tools/moevk/roofline.h"

namespace moevk::cli {

uint64_t ModelFacts::expert_bytes() const {
  uint64_t sum = 0;
  for (const LayerFacts& layer : layers) sum += layer.expert_bytes;
  return sum;
}

ModelFacts model_facts(const model::MoeModel& model) {
  ModelFacts facts;
  facts.bytes = model.totals.bytes;
  facts.bytes_per_token = model.totals.bytes_per_token;
  for (const model::MoeLayer& layer : model.layers) {
    LayerFacts one;
    one.block = layer.block;
    one.bytes = layer.bytes;
    one.bytes_per_token = layer.bytes_per_token;
    for (const model::TensorSource& source : layer.tensors) {
      if (source.expert_count > 0) one.expert_bytes += source.tensor->bytes;
    }
    one.expert_bytes_per_token = one.expert_bytes / layer.desc.experts * layer.desc.top_k;
    facts.layers.push_back(one);
    // At 0 bits a weight the router and activations are left.
    const Roofline work = roofline(layer.desc, 1, 0);
    const bool router = layer.desc.route_source == MOE_ROUTE_FROM_ROUTER;
    facts.activation_bytes += work.bytes - (router ? 4.0 * layer.desc.experts * layer.desc.hidden : 0);
    facts.moe_flops += work.flops;
  }
  return facts;
}

Advice advise(const ModelFacts& model, const DeviceFacts& device) {
  Advice advice;
  advice.budget_bytes = device.free_bytes - std::min(device.free_bytes, device.reserve_bytes);

  uint64_t used = 0;
  for (const LayerFacts& layer : model.layers) {
    if (layer.bytes > advice.budget_bytes - used) break;
    used += layer.bytes;
    ++advice.layers_that_fit;
  }

  const uint64_t rest = model.bytes - model.expert_bytes();
  advice.rest_fits = rest <= advice.budget_bytes;
  advice.device_bytes_per_token = static_cast<double>(model.bytes_per_token) + model.activation_bytes;
  if (!advice.rest_fits) return advice;
  used = rest;
  size_t first = model.layers.size();  // of those whose experts are on the device
  while (first > 0 && model.layers[first - 1].expert_bytes <= advice.budget_bytes - used) {
    used += model.layers[--first].expert_bytes;
  }
  advice.layers_with_experts = static_cast<uint32_t>(model.layers.size() - first);
  for (size_t i = 0; i < first; ++i) {
    advice.host_bytes_per_token += static_cast<double>(model.layers[i].expert_bytes_per_token);
  }
  advice.device_bytes_per_token -= advice.host_bytes_per_token;
  advice.flags = "-ngl 99";
  if (first > 0 && first == model.layers.size()) {
    advice.cpu_blocks = model.layers.back().block + 1;
    advice.flags += " --cpu-moe";
    advice.override_flags = "-ngl 99 -ot exps=CPU";
  } else if (first > 0) {
    advice.cpu_blocks = model.layers[first - 1].block + 1;
    advice.flags += " --n-cpu-moe " + std::to_string(advice.cpu_blocks);
    std::string blocks;
    for (size_t i = 0; i < first; ++i) blocks += (i == 0 ? "" : "|") + std::to_string(model.layers[i].block);
    advice.override_flags = "-ngl 99 -ot \"blk\\.(" + blocks + ")\\.ffn_.*_exps=CPU\"";
  }
  if (device.bandwidth > 0 && (first == 0 || device.host_bandwidth > 0)) {
    const double seconds = advice.device_bytes_per_token / device.bandwidth +
                           (first == 0 ? 0 : advice.host_bytes_per_token / device.host_bandwidth);
    advice.tokens_per_second = 1 / seconds;
  }
  return advice;
}

}  // namespace moevk::cli
