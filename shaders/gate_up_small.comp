// SPDX-License-Identifier: MIT
//
// x -> h = act(x Wgate^T, x Wup^T) for at most MAX_SMALL_TOKENS tokens, without a sort. Grid: blocks of SMALL_ROWS
// rows, routes. The first route of an expert serves all routes of that expert, TOKENS_PER_GROUP a pass, so each
// weight is read once; the workgroups of later routes leave at once. h rows stand in route order.
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
layout(set = 0, binding = 2, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 3, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 4, std430) writeonly buffer H { float h[]; };

const uint kStride = WORKGROUP + 1u;
shared float lane_sums[2u * TOKENS_PER_GROUP * kStride];

#include "numerics.glsl"
#include "activation.glsl"
#include "weights.glsl"
#include "small_tokens.glsl"

void main() {
  int expert = ids[gl_WorkGroupID.y];
  if (expert < 0) return;
  for (uint i = 0u; i < gl_WorkGroupID.y; ++i) {
    if (ids[i] == expert) return;  // served by an earlier route's workgroup
  }
  bool is_shared = uint(expert) >= p.segment_split;
  GateUpSegment s = p.segment[is_shared ? 1 : 0];
  uint padded = (s.intermediate + PAD_COLUMNS - 1u) / PAD_COLUMNS * PAD_COLUMNS;
  uint first_row = gl_WorkGroupID.x * SMALL_ROWS;
  if (first_row >= padded) return;

  uint gate_format = is_shared ? SHARED_GATE_FORMAT : GATE_FORMAT;
  uint up_format = is_shared ? SHARED_UP_FORMAT : UP_FORMAT;
  uint lane = gl_LocalInvocationIndex % LANES;
  uint row = first_row + gl_LocalInvocationIndex / LANES;
  uint stored_row = min(row, s.intermediate - 1u);
  uint local_expert = uint(expert) - s.first_expert;
  uint entry = s.table + local_expert * s.pieces + min(first_row, s.intermediate - 1u) / s.rows_per_piece;
  uint row_in_piece = stored_row - min(first_row, s.intermediate - 1u) / s.rows_per_piece * s.rows_per_piece;
  uvec2 up_piece = table[entry + s.entries];
  uvec2 gate_piece = GATED != 0u ? table[entry] : up_piece;
  if (!in_binding_pass(up_piece, p.binding_pass)) return;
  uint gate_row = row_in_piece * row_units(gate_format, p.chunks);
  uint up_row = row_in_piece * row_units(up_format, p.chunks);

  uint from = gl_WorkGroupID.y;
  while (from < p.routes) {
    find_members(expert, from, p.routes);
    uint count = member_count;
    from = next_route;
    if (count == 0u) break;
    uint x_rows[TOKENS_PER_GROUP];
    float gates[TOKENS_PER_GROUP];
    float ups[TOKENS_PER_GROUP];
    for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
      x_rows[i] = p.x_offset4 + members[i] / p.slots * p.x_stride4;
      gates[i] = 0.0;
      ups[i] = 0.0;
    }
    for (uint chunk = lane; chunk < p.chunks; chunk += LANES) {
      vec4 gate_a, gate_b, up_a, up_b;
      load_weights(up_format, up_piece, up_row, chunk, up_a, up_b);
      if (GATED != 0u) load_weights(gate_format, gate_piece, gate_row, chunk, gate_a, gate_b);
      for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
        vec4 xa = x[x_rows[i] + 2u * chunk];
        vec4 xb = x[x_rows[i] + 2u * chunk + 1u];
        ups[i] = dot8(ups[i], up_a, up_b, xa, xb);
        if (GATED != 0u) gates[i] = dot8(gates[i], gate_a, gate_b, xa, xb);
      }
    }
    for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
      lane_sums[i * kStride + gl_LocalInvocationIndex] = ups[i];
      if (GATED != 0u) lane_sums[(TOKENS_PER_GROUP + i) * kStride + gl_LocalInvocationIndex] = gates[i];
    }
    barrier();
    if (lane < count && row < padded) {
      float result = 0.0;  // padding columns of h are read by the next matmul
      if (row < s.intermediate) {
        uint first = lane * kStride + gl_LocalInvocationIndex - lane;
        float up = add_lanes(first);
        float gate = GATED != 0u ? add_lanes(first + TOKENS_PER_GROUP * kStride) : up;
        if (s.up_bias != NONE) {
          up += aux[s.up_bias + local_expert * s.intermediate + row];
          gate = GATED != 0u ? gate + aux[s.gate_bias + local_expert * s.intermediate + row] : up;
        }
        result = activate(p.activation, gate, up, p.alpha, p.beta, p.limit);
      }
      h[members[lane] * p.h_stride + row] = result;
    }
  }
}
