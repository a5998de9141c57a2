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

struct RoutePush {
  uint tokens;
  uint hidden;
  uint experts;
  uint experts_total;
  uint top_k;
  uint slots;
  uint x_offset;  // view, words
  uint x_stride;  // view, words
  uint a_offset;  // view: logits, scores or ids from the host, or the split kernel's logits
  uint a_stride;
  uint b_offset;  // view: weights from the host
  uint b_stride;
  uint router_stride;
  uint router_bias;     // in aux
  uint selection_bias;  // in aux
  uint norm_offset;     // in aux
  float norm_eps;
  float normalize_eps;
  float routed_scale;
  float shared_constant;
  uint modes;         // MOE_SCORE_* | MOE_WEIGHT_* << 4 | MOE_NORMALIZE_* << 8 | single << 12 | MOE_SHARED_GATE_* << 13
  uint logit_stride;  // of the workspace's logits: experts, + 1 with a shared gate
};

// One run of experts with a width and formats of its own: the routed ones, and shared ones that do not join them.
struct GateUpSegment {
  uint first_expert;
  uint intermediate;
  uint table;  // first gate entry; the up entries follow after experts * pieces
  uint entries;  // experts * pieces
  uint pieces;
  uint rows_per_piece;
  uint gate_bias;  // in aux, kNone: no biases
  uint up_bias;
};

struct GateUpPush {
  uint slots;
  uint routes;
  uint x_offset4;
  uint x_stride4;
  uint chunks;    // of 8 elements in a padded row of x
  uint h_stride;  // floats
  uint binding_pass;
  uint segment_split;  // first expert of segment 1
  uint activation;     // MOE_ACTIVATION_*
  float alpha;
  float beta;
  float limit;
  GateUpSegment segment[2];
};

struct DownSegment {
  uint first_expert;
  uint chunks;  // of 8 elements in a padded row of h
  uint table;
  uint pieces;
  uint rows_per_piece;
  uint down_bias;  // in aux, kNone: none
};

struct DownPush {
  uint slots;
  uint routes;
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
  uint y_dtype;         // MOE_DTYPE_*
  uint residual_dtype;  // MOE_DTYPE_*, NONE: there is none
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
  uint y_dtype;         // MOE_DTYPE_*
  uint residual_dtype;  // MOE_DTYPE_*, NONE: there is none
};

struct SortPush {
  uint routes;
  uint experts_total;
  uint blocks;           // rows of the histogram
  uint routes_per_block;
  uint gate_up_blocks;   // column blocks of each matmul: second dimension of its grid
  uint down_blocks;
};

struct CountsPush {
  uint routes;
  uint experts;
  uint out_offset;  // view, words
  uint accumulate;  // 0 in the first chunk of tokens
};

struct CopyRowsPush {
  uint rows;
  uint columns;
  uint from_offset;
  uint from_stride;
  uint to_offset;
  uint to_stride;
  uint id_limit;  // not 0: the words are expert ids, and those that reach the limit become -1
};

#ifdef __cplusplus
}  // namespace moevk
#endif
