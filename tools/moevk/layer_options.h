// SPDX-License-Identifier: MIT
//
// In:  --shape, --activation and the other options that describe a layer by hand.
// Out: its moe_layer_desc.
// Why: `plan` and `bench` describe layers in the same words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moevk::cli {

struct LayerOptions {
  std::string shape;  // "H,F,E,k"
  uint32_t shared = 0;
  uint32_t latent = 0;
  std::string route = "router";
  std::string score = "softmax";
  std::string normalize = "sum";
  std::string activation = "silu";
  std::string gate_up = "separate";
  std::string precision = "exact";
  bool ungated = false;
  bool expert_bias = false;
};

// An option that takes one of a few words.
struct LayerChoice {
  const char* option;
  std::string LayerOptions::*value;
  std::vector<std::string> words;
  const char* help;
};
std::vector<LayerChoice> layer_choices();

// The descriptor with all matrices in `format` (see format_names). Throws UsageError for a bad
// shape.
moe_layer_desc describe_layer(const LayerOptions& options, const std::string& format);

std::vector<std::string> format_names();         // "f32", "f16", "bf16", "Q4_0", ...
double bits_of_format(const std::string& name);  // Of a weight, scales included.
uint32_t dtype_bytes(uint32_t dtype);

// "H=512 F=256 E=32 k=4, shared 512, softmax, sum, silu"
std::string layer_text(const moe_layer_desc& desc);

}  // namespace moevk::cli
