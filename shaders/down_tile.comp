// SPDX-License-Identifier: MIT
//
// h in sorted order -> weighted expert outputs in route order, for many tokens. Grid: tiles (indirect),
// blocks of TILE_COLUMNS outputs. The routing weight is applied here; combine.comp only adds.
// The projection from the latent space reads the routed experts' sum as h and makes y.
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
layout(set = 0, binding = 5, std430) buffer Out { uint out_words[]; };  // expert_out as floats, or y
layout(set = 0, binding = 6, std430) readonly buffer Tiles { uvec4 tiles[]; };
layout(set = 0, binding = 7, std430) readonly buffer Residual { uint residual_words[]; };
layout(set = 0, binding = 8, std430) readonly buffer Beside { float beside[]; };  // [tokens, hidden]

#include "numerics.glsl"
#define Y_WORDS out_words
#define RESIDUAL_WORDS residual_words
#include "activations_out.glsl"
#define USES_FORMAT(f) (DOWN_FORMAT == (f) || SHARED_DOWN_FORMAT == (f))
const uint kDownRange = DOWN_FORMAT / FORMAT_RANGE;
const uint kSharedDownRange = SHARED_DOWN_FORMAT / FORMAT_RANGE;
#define USES_RANGE(r) (kDownRange == (r) || kSharedDownRange == (r))
#include "weights.glsl"
#include "tile.glsl"
#include "latent.glsl"
#define ACTIVATION(at) h[at]
#include "precision.glsl"

shared float down_tile[TILE_DEPTH * kColumnStride];  // [depth, column]
shared float row_squares[kProjects ? TILE_ROWS * kChunks : 1u];  // [row, chunk of a pair]

// Columns come in pairs, since y is stored two at a time.
uint column_of(uint lane, uint j) { return 2u * lane + j % 2u + 32u * (j / 2u); }

#define MULTIPLY_ROW(i)                                                                              \
  {                                                                                                  \
    float value = row_tile[depth * kRowStride + my_row + i];                                         \
    for (uint j = 0u; j < 4u; ++j) sums[i * 4u + j] = fma(value, w[j], sums[i * 4u + j]);            \
  }

void main() {
  uvec4 tile = tile_of_workgroup();
  bool is_shared = tile.x >= p.segment_split;
  DownSegment s = p.segment[is_shared ? 1 : 0];
  uint format = is_shared ? SHARED_DOWN_FORMAT : DOWN_FORMAT;
  uint first_column = gl_WorkGroupID.y * TILE_COLUMNS;
  if (first_column >= s.rows) return;
  uint local_expert = tile.x - (is_shared ? p.segment_split : 0u);
  uint piece_index = first_column / s.rows_per_piece;
  uvec2 piece = table[s.table + local_expert * s.pieces + piece_index];
  if (!in_binding_pass(piece, p.binding_pass)) return;

  uint me = gl_LocalInvocationIndex;
  uint load_column = me % TILE_COLUMNS;
  uint load_chunk = me / TILE_COLUMNS;  // WORKGROUP / TILE_COLUMNS = kChunks
  uint stored_row = min(first_column + load_column, s.rows - 1u) - piece_index * s.rows_per_piece;
  uint weight_row = stored_row * row_units(format, s.chunks);
  uint per_invocation = rows_per_invocation(tile.z);
  uint my_row = me / 16u * per_invocation;
  uint my_column = me % 16u;

  float squares = 0.0;
  float sums[16];
  for (uint i = 0u; i < 16u; ++i) sums[i] = 0.0;
  for (uint chunk = 0u; chunk < s.chunks; chunk += kChunks) {
    barrier();
    for (uint i = me; i < 8u * per_invocation * kChunks; i += WORKGROUP) {
      uint row = i / kChunks;
      vec4 ha, hb;
      LOAD_ACTIVATIONS((tile.y + min(row, tile.z - 1u)) * p.h_stride4, chunk + i % kChunks, s.chunks, ha, hb)
      store_row_chunk(row, i % kChunks, ha, hb);
      if (kProjects) squares = dot8(squares, ha, hb, ha, hb);  // an invocation has one row and chunk at most
    }
    vec4 a, b;
    load_weights(format, piece, weight_row, s.chunks, chunk + load_chunk, a, b);
    if (kProjects) scale_by_norm(chunk + load_chunk, a, b);
    STORE_COLUMN_CHUNK(down_tile, load_column, load_chunk, a, b)
    barrier();
    for (uint depth = 0u; depth < TILE_DEPTH; ++depth) {
      float w[4];
      for (uint j = 0u; j < 4u; ++j) w[j] = down_tile[depth * kColumnStride + column_of(my_column, j)];
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
  if (kProjects) {
    if (me < TILE_ROWS * kChunks) row_squares[me] = squares;
    barrier();
    for (uint i = 0u; i < per_invocation && my_row + i < tile.z; ++i) {
      uint token = tile.y + my_row + i;
      float scale = latent_scale(row_squares[(my_row + i) * kChunks] + row_squares[(my_row + i) * kChunks + 1u]);
      for (uint j = 0u; j < 4u; j += 2u) {
        uint column = first_column + column_of(my_column, j);
        if (column >= p.hidden) continue;
        uint at = token * p.hidden + column;
        precise vec2 z = vec2(sums[i * 4u + j], sums[i * 4u + j + 1u]) * scale;
        z = z + vec2(beside[at], column + 1u < p.hidden ? beside[at + 1u] : 0.0);
        store_pair(p.out_offset + token * p.out_stride, p.residual_offset + token * p.residual_stride, column, p.hidden,
                   z, p.out_scale, p.beta);
      }
    }
    return;
  }
  for (uint i = 0u; i < per_invocation; ++i) {
    if (my_row + i >= tile.z) continue;
    uint route = route_at(tile.y + my_row + i);
    float weight = weights[route];
    for (uint j = 0u; j < 4u; ++j) {
      uint column = first_column + column_of(my_column, j);
      if (column >= s.rows) continue;
      precise float value = sums[i * 4u + j];
      if (s.down_bias != NONE) value = value + aux[s.down_bias + local_expert * s.rows + column];
      if (tile.x >= p.input_weighted) value = value * weight;
      out_words[p.out_offset + route * p.out_stride + column] = floatBitsToUint(value);
    }
  }
}
