// SPDX-License-Identifier: MIT
//
// Push constants of every kernel, compiled by GLSL and by C++ (the kernel table asserts their sizes).
// In: what the plan knows and, where a comment says "view", what recording fills in from the host's views.
// Offsets and strides are in elements of the bound array: floats or words unless a name ends in 4 (vec4).
// kNone marks an absent tensor. At most 128 bytes each: the least a Vulkan device offers.
#ifdef __cplusplus
#pragma once
#include <cstdint>
namespace moevk {
using uint = uint32_t;
#endif

struct PreparePush {
  uint tokens;
  uint hidden;
  uint hidden_padded;  // columns of the output
  uint x_offset;       // view, words
  uint x_stride;       // view, words
  uint norm_offset;    // norm.weight in aux
  float norm_eps;
};

struct QuantisePush {
  uint quads;         // of 4 columns in a row
  uint from_offset4;  // the workspace's, or view
  uint from_stride4;
};

struct RoutePush {
  uint tokens;
  uint hidden;
  uint experts;         // that the router knows: routed ones, then identity experts
  uint routed_experts;  // without the identity experts
  uint experts_total;   // that have weights: routed and shared
  uint top_k;
  uint slots;
  uint x_offset;  // view, words
  uint x_stride;  // view, words
  uint a_offset;  // view: logits, scores or ids from the host, or the split kernel's logits
  uint a_stride;
  uint b_offset;  // view: weights or token ids from the host
  uint b_stride;
  uint router_stride;
  uint router_bias;     // in aux
  uint selection_bias;  // in aux
  uint norm_offset;     // in aux
  uint router_scale;    // in aux: factors of the router's input
  uint expert_scale;    // in aux: factors of the routing weights
  uint token_table;     // in aux: ids [token_rows, top_k]
  uint token_rows;
  float norm_eps;
  float router_multiplier;
  float soft_cap;         // 0: none
  float sparsemixer_eps;  // 2 eps; less than 0: no sparsemixer
  float normalize_eps;    // eps, floor or p
  float routed_scale;
  float shared_constant;
  // MOE_SCORE_* | MOE_WEIGHT_* << 4 | MOE_NORMALIZE_* << 8 | single << 12 | MOE_SHARED_GATE_* << 13
  // | write scores << 15 | write the histogram << 16
  uint modes;
  uint groups;  // 0: none, else groups | kept << 8 | n << 16; n = 0: a group's score is its largest, else the sum of n
  uint logit_stride;  // of the workspace's logits: experts, + 1 with a shared gate
};

// One run of experts with a width and formats of its own: the routed ones, and shared ones that do not join them.
struct GateUpSegment {
  uint chunks;  // of 8 elements in a padded row of its input
  uint intermediate;
  uint table;    // first gate entry; the up entries follow after experts * pieces
  uint entries;  // experts * pieces
  uint pieces;
  uint rows_per_piece;
  uint gate_bias;  // in aux, kNone: no biases
  uint up_bias;
};

struct GateUpPush {
  uint slots;
  uint routes;
  uint experts_total;
  uint x_offset4;
  uint x_stride4;
  uint h_stride;  // floats
  uint binding_pass;
  uint segment_split;  // first expert of segment 1
  uint activation;     // MOE_ACTIVATION_*, or LINEAR
  float alpha;
  float beta;
  float limit;
  uint input_weighted;  // experts below this have the routing weight on their input
  GateUpSegment segment[2];
};

struct DownSegment {
  uint rows;    // of its output
  uint chunks;  // of 8 elements in a padded row of h
  uint table;
  uint pieces;
  uint rows_per_piece;
  uint down_bias;  // in aux, kNone: none
};

struct DownPush {
  uint slots;
  uint routes;
  uint experts_total;
  uint hidden;
  uint h_stride4;
  uint out_offset;  // floats of expert_out, or view: words of y
  uint out_stride;
  uint residual_offset;  // view, words
  uint residual_stride;  // view, words
  uint binding_pass;
  uint segment_split;
  float out_scale;
  float beta;
  uint dtypes;          // MOE_DTYPE_* of y | of the residual << 4, NO_RESIDUAL: there is none
  uint input_weighted;  // experts below this have had their routing weight
  uint x_offset;        // prepared x or view, floats
  uint x_stride;
  uint latent;       // of a projection from the latent space: its width
  uint norm_offset;  // in aux: latent.norm, NONE: no norm
  float norm_eps;
  DownSegment segment[2];
};

struct CombinePush {
  uint slots;
  uint hidden;
  uint in_offset;  // the workspace's, or view: words of expert_out
  uint in_stride;
  uint y_offset;  // view, words
  uint y_stride;
  uint residual_offset;  // view, words
  uint residual_stride;
  float out_scale;
  float beta;
  uint dtypes;          // MOE_DTYPE_* of y | of the residual << 4, NO_RESIDUAL: there is none
  uint identity_first;  // ids from here on add weight * x; NONE: they are in expert_out like the others
  uint x_offset;        // prepared x or view, floats
  uint x_stride;
  uint token_slots;     // slots of a token in x: `slots`, but where each row is a route of its own
  uint routed_experts;  // their outputs have
  uint routed_width;    // so many columns, then nothing
  uint latent_stride;   // of the sum in the latent space: padded columns, which become zeros
};

struct SortPush {
  uint routes;
  uint experts_total;
  uint blocks;  // rows of the histogram
  uint routes_per_block;
  uint gate_up_blocks;  // column blocks of each matmul: second dimension of its grid
  uint down_blocks;
};

struct CountsPush {
  uint routes;
  uint experts;         // to count: routed ones, then identity experts
  uint routed_experts;  // the others' ids stand shared_slots higher
  uint shared_slots;
  uint out_offset;  // view, words
  uint accumulate;  // 0 in the first chunk of tokens
};

struct CapacityPush {
  uint tokens;
  uint slots;
  uint experts_total;
  uint limited_experts;  // the first, routed ones
  uint capacity;         // routes that each of them serves
  uint blocks;           // rows of the histogram, 0: there is none
  uint block_tokens;
};

struct CopyRowsPush {
  uint rows;
  uint columns;
  uint from_offset;
  uint from_stride;
  uint to_offset;
  uint to_stride;
  uint id_limit;  // not 0: the words are expert ids, and those that reach the limit become -1
  // Ids from id_first on turn by id_shift: the host has identity experts before shared ones, the workspace after them.
  uint id_first;
  uint id_shift;
};

// A field of a block format (runtime/block_format.h), 8 bits each.
struct PackRowsField {
  uint shape;  // first byte in a block | bits of a number << 8 | stride << 16 | bytes that it takes in its plane << 24
  uint place;  // of a block's bytes: those in earlier planes | in this plane before the field << 8 | in it << 16
};

struct PackRowsPush {
  uint rows;
  uint row_words;   // of a packed row
  uint host_bytes;  // of a host's row; what a packed row has beyond them is zeros
  uint blocks;      // of a row
  uint block_bytes;
  uint from_offset;  // bytes
  uint to_offset;    // words
  uint fields;
  PackRowsField field[6];
};

#ifdef __cplusplus
}  // namespace moevk
#endif
