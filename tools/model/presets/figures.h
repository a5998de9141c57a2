// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor, and the sizes of what stands around it in a model.
// Out: how many weights they have, and how many of them one token meets.
// Why: attention of a kind is counted in one place, whatever family uses it. Sums were checked against what the models'
//      makers publish (tests/model/preset_figures_test.cpp).
#pragma once

#include <cstdint>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

// Of one MoE layer: router, experts, shared experts, and what else the descriptor asks for.
struct LayerFigures {
  uint64_t parameters = 0;
  uint64_t active_parameters = 0;  // With identity experts: of a token whose choices are spread evenly over all.
};
LayerFigures count_layer_figures(const moe_layer_desc& desc);

// What a model has beside its MoE layers.
struct ModelParts {
  uint32_t layers = 0;      // As the family's config counts them.
  uint32_t moe_layers = 0;  // How many MoE layers there are.
  uint64_t mixers = 0;      // Attention, linear attention, state space blocks.
  uint64_t dense = 0;       // Feed-forward networks that are not MoE, beside or instead of it.
  uint64_t norms = 0;
  uint64_t embedding = 0;  // The table of input embeddings.
  uint64_t output = 0;     // The output matrix; 0: it is the embedding table.
  uint64_t vision = 0;     // What text does not meet.
};

struct ModelFigures {
  uint64_t parameters = 0;
  uint64_t active_parameters = 0;  // Without vision; embedding and output in full.
  uint64_t moe_parameters = 0;     // Of all MoE layers.
  uint64_t moe_active_parameters = 0;
};
ModelFigures count_model_figures(const LayerFigures& layer, const ModelParts& parts);

// Query, key, value and output matrices.
struct GroupedQueryAttention {
  uint64_t hidden = 0;
  uint64_t heads = 0;
  uint64_t kv_heads = 0;
  uint64_t head_dim = 0;
  bool qkv_bias = false;
  bool output_bias = false;
  bool norms_of_heads = false;  // A weight of head_dim for queries, another for keys.
};
uint64_t count(const GroupedQueryAttention& attention);

// Multi-head latent attention (DeepSeek), with the norms of both ranks. Without q_lora_rank queries have one matrix.
struct LatentAttention {
  uint64_t hidden = 0;
  uint64_t heads = 0;
  uint64_t q_lora_rank = 0;
  uint64_t kv_lora_rank = 0;
  uint64_t qk_nope_head_dim = 0;
  uint64_t qk_rope_head_dim = 0;
  uint64_t v_head_dim = 0;
};
uint64_t count(const LatentAttention& attention);

// Gated delta net (Qwen3-Next).
struct GatedDeltaNet {
  uint64_t hidden = 0;
  uint64_t key_heads = 0;
  uint64_t value_heads = 0;
  uint64_t key_head_dim = 0;
  uint64_t value_head_dim = 0;
  uint64_t conv_kernel = 0;
};
uint64_t count(const GatedDeltaNet& net);

// State space block of Jamba: Mamba, with norms of dt, B and C.
struct Mamba {
  uint64_t hidden = 0;
  uint64_t inner = 0;
  uint64_t state = 0;
  uint64_t conv_kernel = 0;
  uint64_t dt_rank = 0;
};
uint64_t count(const Mamba& block);

// State space block of Nemotron-H: Mamba 2.
struct Mamba2 {
  uint64_t hidden = 0;
  uint64_t heads = 0;
  uint64_t head_dim = 0;
  uint64_t groups = 0;
  uint64_t state = 0;
  uint64_t conv_kernel = 0;
};
uint64_t count(const Mamba2& block);

// Gate, up and down.
inline uint64_t count_gated_ffn(uint64_t hidden, uint64_t width) { return 3 * hidden * width; }

// Two RMSNorms a layer and one at the end.
inline uint64_t count_norms(uint64_t hidden, uint64_t layers) { return (2 * layers + 1) * hidden; }

}  // namespace moevk::model
