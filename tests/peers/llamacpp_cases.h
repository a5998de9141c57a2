// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: the models that llama.cpp is asked to make and compute: one for each family that our reader knows and llama.cpp
//      has a graph for.
// Why: the program that captures and the one that compares share the list, so that neither leaves one out unseen.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/peers/judged_device.h"

namespace moevk::peers {

// A metadata key after "<architecture>.", as a converter would write it.
struct MetadataKey {
  const char* name;
  std::variant<uint32_t, float, bool, std::vector<bool>> value;
};

// What llama.cpp's graph does otherwise than the family's own code, by a known choice.
struct Divergence {
  const char* text = nullptr;
  void (*as_llamacpp)(moe_layer_desc& desc) = nullptr;
};

struct LlamaCase {
  const char* name;          // Of the case: a folder's name.
  const char* family;        // The name of its first preset.
  const char* architecture;  // general.architecture
  const char* base;          // The file test-llama-archs saves, whose metadata is changed by `keys`.
  uint32_t experts;
  uint32_t top_k;
  std::vector<MetadataKey> keys = {};
  // Tensors, by a part of their names, that llama.cpp may read and the family lacks.
  std::vector<const char*> without = {};
  Divergence divergence = {};
  std::vector<const char*> keeps = {};      // Scales (likewise) that are the family's own, and not of a weight format.
  uint32_t token_tables = 0;                // How many first blocks take their experts from a table by token.
  const char* base_architecture = nullptr;  // Where it is another's file: a name of the same length.
  double output_bound = kPeerBound;         // More where llama.cpp's activation is less than f32.
};

std::span<const LlamaCase> llama_cases();

// Families that llama.cpp cannot judge, and why.
struct Unjudged {
  const char* family;
  const char* reason;
};
std::span<const Unjudged> families_without_llamacpp();

}  // namespace moevk::peers
