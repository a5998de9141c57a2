// SPDX-License-Identifier: MIT
//
// In:  what a model's file says of its layers, and a device's memory.
// Out: which layers fit there, what is read for a token, how fast that can be at most, llama.cpp's flags to match.
// Why: plain arithmetic, apart from files and devices, so that it can be tested.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/model/moe_model.h"

namespace moevk::cli {

struct LayerFacts {
  uint32_t block = 0;
  uint64_t bytes = 0;                   // router, experts, shared experts
  uint64_t bytes_per_token = 0;         // of them, read for one token by itself
  uint64_t expert_bytes = 0;            // routed experts alone
  uint64_t expert_bytes_per_token = 0;  // of them
};

struct ModelFacts {
  std::vector<LayerFacts> layers;  // MoE layers, by block
  uint64_t bytes = 0;              // of the whole model
  uint64_t bytes_per_token = 0;    // of its weights, for one token by itself
  double activation_bytes = 0;     // of the MoE layers, for one token; negligible, but part of the formula
  double moe_flops = 0;            // of the MoE layers, for one token

  uint64_t expert_bytes() const;
};
ModelFacts model_facts(const model::MoeModel& model);

struct DeviceFacts {
  uint64_t free_bytes = 0;     // of its memory
  uint64_t reserve_bytes = 0;  // of those, kept for caches, buffers and workspaces
  double bandwidth = 0;        // bytes a second; 0: not known
  double host_bandwidth = 0;   // likewise of the memory that the other experts are read from
};

struct Advice {
  uint64_t budget_bytes = 0;  // free, less the reserve
  // moevk: MoE layers alone, from the first one on.
  uint32_t layers_that_fit = 0;
  // llama.cpp: everything that is no routed expert on the device, and experts from the last layer backwards.
  bool rest_fits = false;
  uint32_t layers_with_experts = 0;  // whose experts fit beside the rest
  uint32_t cpu_blocks = 0;           // N of --n-cpu-moe: the first N blocks' experts stay in the host's memory
  std::string flags;                 // "-ngl 99 --n-cpu-moe 12"; empty where the rest does not fit
  std::string override_flags;        // the same by -ot; empty where no experts stay
  double device_bytes_per_token = 0;
  double host_bytes_per_token = 0;
  // Where every bandwidth that is needed is known: bytes / bandwidth, of both one after the other.
  std::optional<double> tokens_per_second;
};
Advice advise(const ModelFacts& model, const DeviceFacts& device);

}  // namespace moevk::cli
