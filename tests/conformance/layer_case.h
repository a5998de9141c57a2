// SPDX-License-Identifier: MIT
//
// One case of the suite: a layer's descriptor, its weights and inputs as plain numbers (already
// rounded to the types they are stored in), and how memory is arranged for the calls. Also packs
// the weights into the tensors of the ABI, in the layout and order that the descriptor names.
#ifndef MOE_TESTS_CONFORMANCE_LAYER_CASE_H_
#define MOE_TESTS_CONFORMANCE_LAYER_CASE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/affine_codec.h"

namespace moe_conformance {

// Canonical weights: row-major [experts, out, in], whatever the descriptor's order and layout are.
struct LayerWeights {
  uint32_t router_dtype = MOE_DTYPE_F32;      // of the router and of every vector
  moe_weight_format router_format{};          // of router.weight, if it comes in blocks; else zero
  std::vector<float> router;                  // [E + Z, H]
  std::vector<float> router_bias;             // [E + Z]
  std::vector<float> selection_bias;          // [E + Z]
  std::vector<float> router_scale;            // [H]
  std::vector<float> expert_scale;            // [E]
  std::vector<int32_t> token_table;           // [token_table_rows, k]
  std::vector<float> norm;                    // [H]
  std::vector<float> gate, up;                // [E, F, H]; of a latent layer L in the place of H
  std::vector<float> gate_bias, up_bias;      // [E, F]
  std::vector<float> down;                    // [E, H, F]
  std::vector<float> down_bias;               // [E, H]
  std::vector<float> shared_gate, shared_up;  // [Fs, H]
  std::vector<float> shared_down;             // [H, Fs]
  std::vector<float> shared_router;           // [H]
  std::vector<float> latent_down;             // [L, H]
  std::vector<float> latent_norm;             // [L]
  std::vector<float> latent_up;               // [H, L]
  // What the matrices above are the values of, where their format is one of blocks or affine (its codes); else empty.
  struct Blocks {
    std::vector<std::byte> router, gate, up, down, shared_gate, shared_up, shared_down, latent_down, latent_up;
  } blocks;
  // Scales and zero points of affine matrices.
  struct Parts {
    AffineParts gate, up, down, shared_gate, shared_up, shared_down, latent_down, latent_up;
  } parts;
};

// Inputs of one call; empty where the layer does not take them.
struct LayerInputs {
  uint32_t x_dtype = MOE_DTYPE_F32;
  uint32_t router_x_dtype = MOE_DTYPE_F32;
  uint32_t residual_dtype = MOE_DTYPE_F32;
  uint32_t y_dtype = MOE_DTYPE_F32;
  float beta = 0;
  std::vector<float> x;            // [T, H]
  std::vector<float> router_x;     // [T, H]
  std::vector<float> residual;     // [T, H]
  std::vector<float> logits;       // [T, E + Z]
  std::vector<float> scores;       // [T, E + Z]
  std::vector<float> weights;      // [T, E + Z] or [T, k]
  std::vector<int32_t> ids;        // [T, k]
  std::vector<int32_t> token_ids;  // [T, 1]
};

// Where a view lives: in host memory or a device buffer, and how far apart its rows are.
struct Placement {
  bool device = false;
  uint32_t offset_bytes = 0;   // before the first row
  uint32_t padding_bytes = 0;  // after each row; 0: packed
};

enum class Alias { kNone, kX, kResidual };

struct Arrangement {
  Placement x, router_x, residual, y, route_in, route_out;
  Alias y_alias = Alias::kNone;   // y lies on x or on the residual
  bool wide_routes = false;       // forward returns [T, slots] instead of [T, k]
  bool staged_on_device = false;  // stages chain through device buffers in one flush, else through the host
  bool upload_by_callback = false;
  uint32_t upload_parts = 1;  // expert ranges a stacked tensor is handed over in
};

struct LayerCase {
  std::string name;
  moe_layer_desc desc{};
  uint64_t tokens = 0;
  LayerWeights weights;
  LayerInputs inputs;
  Arrangement arrangement;
  bool exact_logits = false;  // small integers: any order of summation gives the same logit
};

// A tensor as add_tensor takes it.
struct PackedTensor {
  std::string name;
  uint32_t experts = 0;  // 0: no expert axis
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t dtype = 0;
  std::vector<std::byte> bytes;
  moe_weight_format format{};  // of a router in blocks
};

std::vector<PackedTensor> pack_tensors(const LayerCase& layer_case);

inline bool has_flag(const moe_layer_desc& desc, uint32_t flag) { return (desc.flags & flag) != 0; }
// What a field that is zero by default stands for.
inline float or_one(float value) { return value == 0.0f ? 1.0f : value; }
// The matrix format of a MOE_DTYPE_*: the first three elements have the dtypes' numbers.
inline moe_weight_format plain_format(uint32_t dtype) {
  moe_weight_format format{};
  format.element = dtype;
  return format;
}
// What a router chooses from: experts, then identity experts.
inline size_t candidates(const moe_layer_desc& desc) { return size_t{desc.experts} + desc.identity_experts; }
// Columns that routed experts read, and make.
inline size_t expert_hidden(const moe_layer_desc& desc) { return desc.latent != 0 ? desc.latent : desc.hidden; }
inline bool computes_logits(const moe_layer_desc& desc) {
  return desc.route_source == MOE_ROUTE_FROM_ROUTER || desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
}
// Does the layer compute ids from per-expert values (and not take them as given)?
inline bool selects(const moe_layer_desc& desc) {
  return desc.route_source == MOE_ROUTE_FROM_ROUTER || desc.route_source == MOE_ROUTE_FROM_LOGITS ||
         desc.route_source == MOE_ROUTE_FROM_SCORES;
}

// "E=8 k=2 H=64 F=32 T=5 router softmax ...": enough to recognise a layer in a bug report.
std::string describe(const LayerCase& layer_case);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_LAYER_CASE_H_
