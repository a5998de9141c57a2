// SPDX-License-Identifier: MIT
//
// x -> h = act(x Wgate^T, x Wup^T) for many tokens. Grid: tiles (indirect), blocks of TILE_COLUMNS outputs;
// neighbouring workgroups share weights. Tokens are gathered while loading; h rows stand in sorted order.
// In a latent layer routed experts read the latent rows, which this kernel has made as a projection of x.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef MOE_WEIGHTS_BDA
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#endif
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { GateUpPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Table { uvec2 table[]; };
layout(set = 0, binding = 1, std430) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 2, std430) readonly buffer Order { uint order[]; };
layout(set = 0, binding = 3, std430) readonly buffer Tiles { uvec4 tiles[]; };
layout(set = 0, binding = 4, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 5, std430) readonly buffer Weights { float weights[]; };
layout(set = 0, binding = 6, std430) writeonly buffer H { float h[]; };
layout(set = 0, binding = 7, std430) readonly buffer Latent { vec4 latent_x[]; };

#include "numerics.glsl"
#include "activation.glsl"
#define USES_FORMAT(f) (GATE_FORMAT == (f) || UP_FORMAT == (f) || SHARED_GATE_FORMAT == (f) || SHARED_UP_FORMAT == (f))
const uint kGateRange = GATE_FORMAT / FORMAT_RANGE;
const uint kUpRange = UP_FORMAT / FORMAT_RANGE;
const uint kSharedGateRange = SHARED_GATE_FORMAT / FORMAT_RANGE;
const uint kSharedUpRange = SHARED_UP_FORMAT / FORMAT_RANGE;
#define USES_RANGE(r) (kGateRange == (r) || kUpRange == (r) || kSharedGateRange == (r) || kSharedUpRange == (r))
#include "weights.glsl"
#include "tile.glsl"

shared float up_tile[TILE_DEPTH * kColumnStride];  // [depth, column]
shared float gate_tile[GATED != 0u ? TILE_DEPTH * kColumnStride : 1u];

#define MULTIPLY_ROW(i)                                                                              \
  {                                                                                                  \
    float value = row_tile[depth * kRowStride + my_row + i];                                         \
    for (uint j = 0u; j < 4u; ++j) {                                                                 \
      ups[i * 4u + j] = fma(value, up_w[j], ups[i * 4u + j]);                                        \
      if (GATED != 0u) gates[i * 4u + j] = fma(value, gate_w[j], gates[i * 4u + j]);                 \
    }                                                                                                \
  }

#include "latent_input.glsl"

void main() {
  uvec4 tile = tile_of_workgroup();
  bool is_shared = tile.x >= p.segment_split;
  bool is_latent = LATENT == EXPERTS_IN_LATENT && !is_shared;
  GateUpSegment s = p.segment[is_shared ? 1 : 0];
  uint padded = (s.intermediate + PAD_COLUMNS - 1u) / PAD_COLUMNS * PAD_COLUMNS;
  uint first_column = gl_WorkGroupID.y * TILE_COLUMNS;
  if (first_column >= padded) return;
  uint gate_format = is_shared ? SHARED_GATE_FORMAT : GATE_FORMAT;
  uint up_format = is_shared ? SHARED_UP_FORMAT : UP_FORMAT;
  uint local_expert = tile.x - (is_shared ? p.segment_split : 0u);
  uint piece_index = min(first_column, s.intermediate - 1u) / s.rows_per_piece;
  uint entry = s.table + local_expert * s.pieces + piece_index;
  uvec2 up_piece = table[entry + s.entries];
  uvec2 gate_piece = GATED != 0u ? table[entry] : up_piece;
  if (!in_binding_pass(up_piece, p.binding_pass)) return;

  uint me = gl_LocalInvocationIndex;
  uint load_column = me % TILE_COLUMNS;
  uint load_chunk = me / TILE_COLUMNS;  // WORKGROUP / TILE_COLUMNS = kChunks
  uint stored_row = min(first_column + load_column, s.intermediate - 1u) - piece_index * s.rows_per_piece;
  uint gate_row = stored_row * row_units(gate_format, s.chunks);
  uint up_row = stored_row * row_units(up_format, s.chunks);
  uint per_invocation = rows_per_invocation(tile.z);
  uint my_row = me / 16u * per_invocation;
  uint my_column = me % 16u;

  float gates[16];
  float ups[16];
  for (uint i = 0u; i < 16u; ++i) {
    gates[i] = 0.0;
    ups[i] = 0.0;
  }
  for (uint chunk = 0u; chunk < s.chunks; chunk += kChunks) {
    barrier();
    for (uint i = me; i < 8u * per_invocation * kChunks; i += WORKGROUP) {
      uint row = i / kChunks;
      uint token = route_at(tile.y + min(row, tile.z - 1u)) / p.slots;
      uint x_row = is_latent ? token * s.chunks * 2u : p.x_offset4 + token * p.x_stride4;
      vec4 xa, xb;
      LOAD_ACTIVATIONS(x_row, chunk + i % kChunks, s.chunks, xa, xb)
      store_row_chunk(row, i % kChunks, xa, xb);
    }
    vec4 a, b;
    load_weights(up_format, up_piece, up_row, s.chunks, chunk + load_chunk, a, b);
    STORE_COLUMN_CHUNK(up_tile, load_column, load_chunk, a, b)
    if (GATED != 0u) {
      load_weights(gate_format, gate_piece, gate_row, s.chunks, chunk + load_chunk, a, b);
      STORE_COLUMN_CHUNK(gate_tile, load_column, load_chunk, a, b)
    }
    barrier();
    for (uint depth = 0u; depth < TILE_DEPTH; ++depth) {
      float up_w[4], gate_w[4];
      for (uint j = 0u; j < 4u; ++j) {
        up_w[j] = up_tile[depth * kColumnStride + my_column + 16u * j];
        gate_w[j] = GATED != 0u ? gate_tile[depth * kColumnStride + my_column + 16u * j] : 0.0;
      }
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
  for (uint j = 0u; j < 4u; ++j) {
    uint column = first_column + my_column + 16u * j;
    if (column >= padded) continue;
    bool real = column < s.intermediate;  // padding columns of h are read by the next matmul: zeros
    uint bias = local_expert * s.intermediate + column;
    for (uint i = 0u; i < per_invocation; ++i) {
      if (my_row + i >= tile.z) continue;
      float up = ups[i * 4u + j];
      float gate = GATED != 0u ? gates[i * 4u + j] : up;
      if (tile.x < p.input_weighted) {
        float weight = weights[route_at(tile.y + my_row + i)];
        up *= weight;
        gate *= weight;
      }
      if (real && s.up_bias != NONE) {
        up += aux[s.up_bias + bias];
        gate = GATED != 0u ? gate + aux[s.gate_bias + bias] : up;
      }
      float result = real ? activate(p.activation, gate, up, p.alpha, p.beta, p.limit) : 0.0;
      h[(tile.y + my_row + i) * p.h_stride + column] = result;
    }
  }
}
