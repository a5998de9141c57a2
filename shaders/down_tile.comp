// SPDX-License-Identifier: MIT
//
// h in sorted order -> weighted expert outputs in route order, for many tokens. Grid: tiles (indirect),
// blocks of TILE_COLUMNS outputs. The routing weight is applied here; combine.comp only adds.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef MOE_WEIGHTS_BDA
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#endif
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { DownPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Table { uvec2 table[]; };
layout(set = 0, binding = 1, std430) readonly buffer H { vec4 h[]; };
layout(set = 0, binding = 2, std430) readonly buffer Order { uint order[]; };
layout(set = 0, binding = 3, std430) readonly buffer Weights { float weights[]; };
layout(set = 0, binding = 4, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Out { float expert_out[]; };
layout(set = 0, binding = 6, std430) readonly buffer Tiles { uvec4 tiles[]; };

#include "numerics.glsl"
#include "weights.glsl"
#include "tile.glsl"

shared float down_tile[TILE_DEPTH * kColumnStride];  // [depth, column]

#define MULTIPLY_ROW(i)                                                                              \
  {                                                                                                  \
    float value = row_tile[depth * kRowStride + my_row + i];                                         \
    for (uint j = 0u; j < 4u; ++j) sums[i * 4u + j] = fma(value, w[j], sums[i * 4u + j]);            \
  }

void main() {
  uvec4 tile = tiles[gl_WorkGroupID.x];  // expert, first sorted route, rows
  bool is_shared = tile.x >= p.segment_split;
  DownSegment s = p.segment[is_shared ? 1 : 0];
  uint format = is_shared ? SHARED_DOWN_FORMAT : DOWN_FORMAT;
  uint first_column = gl_WorkGroupID.y * TILE_COLUMNS;
  uint local_expert = tile.x - s.first_expert;
  uint piece_index = first_column / s.rows_per_piece;
  uvec2 piece = table[s.table + local_expert * s.pieces + piece_index];
  if (!in_binding_pass(piece, p.binding_pass)) return;

  uint me = gl_LocalInvocationIndex;
  uint load_column = me % TILE_COLUMNS;
  uint load_chunk = me / TILE_COLUMNS;  // WORKGROUP / TILE_COLUMNS = kChunks
  uint stored_row = min(first_column + load_column, p.hidden - 1u) - piece_index * s.rows_per_piece;
  uint weight_row = stored_row * row_units(format, s.chunks);
  uint per_invocation = rows_per_invocation(tile.z);
  uint my_row = me / 16u * per_invocation;
  uint my_column = me % 16u;

  float sums[16];
  for (uint i = 0u; i < 16u; ++i) sums[i] = 0.0;
  for (uint chunk = 0u; chunk < s.chunks; chunk += kChunks) {
    barrier();
    for (uint i = me; i < 8u * per_invocation * kChunks; i += WORKGROUP) {
      uint row = i / kChunks;
      uint at = (tile.y + min(row, tile.z - 1u)) * p.h_stride4 + 2u * (chunk + i % kChunks);
      store_row_chunk(row, i % kChunks, h[at], h[at + 1u]);
    }
    vec4 a, b;
    load_weights(format, piece, weight_row, chunk + load_chunk, a, b);
    STORE_COLUMN_CHUNK(down_tile, load_column, load_chunk, a, b)
    barrier();
    for (uint depth = 0u; depth < TILE_DEPTH; ++depth) {
      float w[4];
      for (uint j = 0u; j < 4u; ++j) w[j] = down_tile[depth * kColumnStride + my_column + 16u * j];
      MULTIPLY_ROW(0u)
      if (per_invocation > 1u) {
        MULTIPLY_ROW(1u)
        if (per_invocation > 2u) {
          MULTIPLY_ROW(2u)
          MULTIPLY_ROW(3u)
        }
      }
    }
  }
  for (uint i = 0u; i < per_invocation; ++i) {
    if (my_row + i >= tile.z) continue;
    uint route = min(order[tile.y + my_row + i], p.routes - 1u);
    float weight = weights[route];
    for (uint j = 0u; j < 4u; ++j) {
      uint column = first_column + my_column + 16u * j;
      if (column >= p.hidden) continue;
      precise float value = sums[i * 4u + j];
      if (s.down_bias != NONE) value = value + aux[s.down_bias + local_expert * p.hidden + column];
      if (tile.x >= p.input_weighted) value = value * weight;
      expert_out[p.out_offset + route * p.out_stride + column] = value;
    }
  }
}
