// SPDX-License-Identifier: MIT
//
// In:  general.architecture of a GGUF file, and what its metadata say of its MoE layers.
// Out: which preset describes them, which keys are read for it, and which tensors it may lack or have besides.
// Why: one row for each architecture. What differs between files of one architecture is in the metadata, and becomes a
//      field of the family's config; what does not is the preset's.
#pragma once

#include <cstdint>
#include <span>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

// llama.cpp's numbers of expert_gating_func.
constexpr uint32_t kGatingSoftmax = 1;
constexpr uint32_t kGatingSigmoid = 2;
constexpr uint32_t kGatingSoftmaxOfChosen = 3;
constexpr uint32_t kGatingSqrtSoftplus = 4;

// What metadata say of every MoE layer of a file.
struct MoeMetadata {
  uint32_t hidden = 0;
  uint32_t experts = 0;
  uint32_t top_k = 0;
  uint32_t intermediate = 0;         // Of one expert.
  uint32_t shared_intermediate = 0;  // Of all shared experts together.
  uint32_t shared_count = 0;         // expert_shared_count
  uint32_t groups = 0;               // expert_group_count; 0 or 1: none
  uint32_t groups_kept = 0;          // expert_group_used_count
  uint32_t gating = 0;               // expert_gating_func
  bool weights_norm = false;         // expert_weights_norm
  float weights_scale = 1;           // expert_weights_scale; 0 is written as 1
  float norm_eps = 0;                // attention.layer_norm_rms_epsilon
  float swiglu_clamp = 0;            // swiglu_clamp_exp, swiglu_clamp_shexp; 0: none
  uint32_t token_table_rows = 0;     // Of one block: of its table from tokens to experts; 0: it has none.
  uint32_t latent = 0;               // Width of the routed experts' latent space; 0: there is none.
  bool latent_norm = false;          // Of one block: an RMSNorm before the way back.
  float situ_beta = 0;               // activation.situ_beta; above 0 where it is read
  float situ_linear_beta = 0;        // activation.situ_linear_beta; 0 or less: up is not capped
};

// Where the width of an expert stands, if not in expert_feed_forward_length.
enum class ExpertWidth { required, total, total_over_k };  // feed_forward_length, or that / k
// Where the width of the shared experts stands: expert_shared_feed_forward_length, or ...
enum class SharedWidth {
  none,             // there are none
  key,              // ... there are none
  key_or_total,     // ... feed_forward_length
  count_of_experts  // ... expert_shared_count experts of the routed ones' width
};

// Routing keys that are read; others must say what the family does anyway.
constexpr uint32_t kReadsNorm = 1u << 0;
constexpr uint32_t kReadsScale = 1u << 1;
constexpr uint32_t kReadsGroups = 1u << 2;
constexpr uint32_t kReadsClamp = 1u << 3;
constexpr uint32_t kReadsSitu = 1u << 4;  // Both keys of SiTU must be there.

// Where a file has a latent space. Its key says whether there is one; tensors that say otherwise are refused.
struct LatentNames {
  const char* key;   // Its width, after "<architecture>."; absent or 0: there is none.
  const char* down;  // After "blk.N.", as the others.
  const char* up;
  const char* norm;  // A block may lack it; null: the family has none.
};

struct GgufArchitecture {
  const char* name;
  moe_layer_desc (*describe)(const MoeMetadata& metadata);  // Storage is taken from the tensors afterwards.
  ExpertWidth expert_width = ExpertWidth::required;
  SharedWidth shared_width = SharedWidth::none;
  uint32_t gating = kGatingSoftmax;  // Where the key is absent.
  uint32_t other_gating = 0;         // Also read; 0: no other.
  bool normalizes = false;           // Where the key is absent.
  uint32_t reads = 0;                // kReads*
  uint32_t optional_flags = 0;       // MOE_LAYER_* that a layer has only where their tensor is there.
  bool dense_beside = false;         // MoE blocks also have a dense network, which is the host's.
  bool mixed_blocks = false;         // A block may have neither a router nor a feed-forward network.
  bool token_table = false;          // A block may have a table from tokens to experts.
  bool residual_score = false;       // Blocks also have the scores of attention over residuals, which are the host's.
  const LatentNames* latent = nullptr;  // Null: experts work at the model's width.
};

std::span<const GgufArchitecture> gguf_architectures();

}  // namespace moevk::model
