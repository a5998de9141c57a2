// SPDX-License-Identifier: MIT
//
// x -> h = act(x Wgate^T, x Wup^T) for at most MAX_SMALL_TOKENS tokens, without a sort. Grid: blocks of kRows rows,
// routes. The first route of an expert serves all routes of that expert, TOKENS_PER_GROUP a pass, so each
// weight is read once a pass; the workgroups of later routes leave at once. h rows stand in route order.
// In a latent layer routed experts read the latent rows, which this kernel has made as a projection of x.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#ifdef MOE_WEIGHTS_BDA
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#endif
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x_id = 18) in;  // INVOCATIONS
layout(push_constant) uniform Push { GateUpPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Table { uvec2 table[]; };
layout(set = 0, binding = 1, std430) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 2, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 3, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 4, std430) readonly buffer Weights { float weights[]; };
layout(set = 0, binding = 5, std430) writeonly buffer H { float h[]; };
layout(set = 0, binding = 6, std430) readonly buffer Latent { vec4 latent_x[]; };
layout(set = 0, binding = 7, std430) readonly buffer CodeUnits { uvec4 code_units[]; };  // of x, with INTEGER_DOT
layout(set = 0, binding = 7, std430) readonly buffer CodePairs { uvec2 code_pairs[]; };

#include "numerics.glsl"
#include "activation.glsl"
#define USES_FORMAT(f) (GATE_FORMAT == (f) || UP_FORMAT == (f) || SHARED_GATE_FORMAT == (f) || SHARED_UP_FORMAT == (f))
const uint kGateRange = GATE_FORMAT / FORMAT_RANGE;
const uint kUpRange = UP_FORMAT / FORMAT_RANGE;
const uint kSharedGateRange = SHARED_GATE_FORMAT / FORMAT_RANGE;
const uint kSharedUpRange = SHARED_UP_FORMAT / FORMAT_RANGE;
#define USES_RANGE(r) (kGateRange == (r) || kUpRange == (r) || kSharedGateRange == (r) || kSharedUpRange == (r))
#include "weights.glsl"
#include "small_tokens.glsl"
#include "integer_dots.glsl"

shared float lane_sums[2u * kSums * kStride];  // [up or gate, row, token][invocation]
shared uint routes_of_expert[MAX_SMALL_TOKENS * MAX_SLOTS / 32u];  // bit per route

// Each invocation looks at 32 routes.
void find_routes(int expert) {
  uint first = 32u * gl_LocalInvocationIndex;
  if (first < p.routes) {
    uint bits = 0u;
    uint end = min(p.routes - first, 32u);
    for (uint i = 0u; i < end; ++i) bits |= ids[first + i] == expert ? 1u << i : 0u;
    routes_of_expert[gl_LocalInvocationIndex] = bits;
  }
  barrier();
}

uint next_member(uint route) {
  ++route;
  if (kProjects || route >= p.routes) return route;
  uint word = route / 32u;
  uint bits = routes_of_expert[word] & 0xFFFFFFFFu << route % 32u;
  while (bits == 0u) {
    if (++word * 32u >= p.routes) return p.routes;
    bits = routes_of_expert[word];
  }
  return word * 32u + uint(findLSB(bits));
}

bool is_first_route(uint route) {
  for (uint word = 0u; word < route / 32u; ++word) {
    if (routes_of_expert[word] != 0u) return false;
  }
  return (routes_of_expert[route / 32u] & (1u << route % 32u) - 1u) == 0u;
}

#include "add_lanes.glsl"
#include "latent_input.glsl"
#include "gate_up_dots.glsl"

void main() {
  int expert = kProjects ? 0 : ids[gl_WorkGroupID.y];
  if (uint(expert) >= p.experts_total) return;  // skipped, or an identity expert
  if (!kProjects) {
    find_routes(expert);
    if (!is_first_route(gl_WorkGroupID.y)) return;  // served by an earlier route's workgroup
  }
  bool is_shared = uint(expert) >= p.segment_split;
  bool is_latent = LATENT == EXPERTS_IN_LATENT && !is_shared;
  GateUpSegment s = p.segment[is_shared ? 1 : 0];
  uint padded = (s.intermediate + PAD_COLUMNS - 1u) / PAD_COLUMNS * PAD_COLUMNS;
  uint first_row = gl_WorkGroupID.x * kRows;
  if (first_row >= padded) return;

  uint gate_format = is_shared ? SHARED_GATE_FORMAT : GATE_FORMAT;
  uint up_format = is_shared ? SHARED_UP_FORMAT : UP_FORMAT;
  uint lane = gl_LocalInvocationIndex % kLanes;
  uint group_row = first_row + gl_LocalInvocationIndex / kLanes * kRowsPerGroup;
  uint local_expert = uint(expert) - (is_shared ? p.segment_split : 0u);
  uint piece_index = min(first_row, s.intermediate - 1u) / s.rows_per_piece;
  uint entry = s.table + local_expert * s.pieces + piece_index;
  uvec2 up_piece = table[entry + s.entries];
  uvec2 gate_piece = GATED != 0u ? table[entry] : up_piece;
  if (!in_binding_pass(up_piece, p.binding_pass)) return;
  uint gate_rows[kRowsPerGroup];
  uint up_rows[kRowsPerGroup];
  for (uint r = 0u; r < kRowsPerGroup; ++r) {
    uint stored_row = min(group_row + r, s.intermediate - 1u) - piece_index * s.rows_per_piece;
    gate_rows[r] = stored_row * row_units(gate_format, s.chunks);
    up_rows[r] = stored_row * row_units(up_format, s.chunks);
  }

  bool holds = holds_beside(up_format) && holds_beside(gate_format);
  uint route = gl_WorkGroupID.y;
  while (route < p.routes) {
    uint members[TOKENS_PER_GROUP];
    uint count = take_members(route, members);
    uint x_rows[TOKENS_PER_GROUP];
    float gates[kSums];
    float ups[kSums];
    for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
      uint token = members[i] / p.slots;
      x_rows[i] = is_latent ? token * s.chunks * 2u : p.x_offset4 + token * p.x_stride4;
    }
    for (uint i = 0u; i < kSums; ++i) {
      gates[i] = 0.0;
      ups[i] = 0.0;
    }
    if (INTEGER_DOT != 0u) {
      add_dots(ups, gates, up_format, gate_format, up_piece, gate_piece, up_rows, gate_rows, s.chunks, members, count,
               lane);
    } else {
      for (uint chunk = lane; chunk < s.chunks; chunk += kLanes) {
        vec4 xa[kHeld], xb[kHeld];
        uvec4 up_fetched[kRowsPerGroup], gate_fetched[kRowsPerGroup];
        for (uint r = 0u; r < kRowsPerGroup; ++r) {
          up_fetched[r] = fetch_weights(up_format, up_piece, up_rows[r], chunk);
          if (GATED != 0u) gate_fetched[r] = fetch_weights(gate_format, gate_piece, gate_rows[r], chunk);
        }
        for (uint r = 0u; r < kRowsPerGroup; ++r) {
          vec4 gate_a, gate_b, up_a, up_b;
          load_weights(up_format, up_fetched[r], up_piece, up_rows[r], s.chunks, chunk, up_a, up_b);
          if (GATED != 0u) {
            load_weights(gate_format, gate_fetched[r], gate_piece, gate_rows[r], s.chunks, chunk, gate_a, gate_b);
          }
          for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
            if (i >= (holds ? max(count, 1u) : count)) break;  // uniform: most experts have fewer tokens
            uint held = holds ? i : 0u;
            if (r == 0u || !holds) LOAD_ACTIVATIONS(x_rows[i], chunk, s.chunks, xa[held], xb[held])
            uint at = r * TOKENS_PER_GROUP + i;
            ups[at] = dot8(ups[at], up_a, up_b, xa[held], xb[held]);
            if (GATED != 0u) gates[at] = dot8(gates[at], gate_a, gate_b, xa[held], xb[held]);
          }
        }
      }
    }
    for (uint i = 0u; i < kSums; ++i) {
      lane_sums[i * kStride + gl_LocalInvocationIndex] = ups[i];
      if (GATED != 0u) lane_sums[(kSums + i) * kStride + gl_LocalInvocationIndex] = gates[i];
    }
    if (INTEGER_DOT != 0u) {
      repair_sums(up_format, gate_format, up_piece, gate_piece, s, group_row, piece_index, members, lane);
    }
    barrier();
    uint member = lane % TOKENS_PER_GROUP;
    uint of_route = pick(members, member);
    uint row = group_row + lane / TOKENS_PER_GROUP;
    if (lane < kSums && member < count && row < padded) {
      float result = 0.0;  // padding columns of h are read by the next matmul
      if (row < s.intermediate) {
        uint first = lane * kStride + gl_LocalInvocationIndex - lane;
        float up = add_lanes(first);
        float gate = GATED != 0u ? add_lanes(first + kSums * kStride) : up;
        if (uint(expert) < p.input_weighted) {
          up *= weights[of_route];
          gate *= weights[of_route];
        }
        if (s.up_bias != NONE) {
          up += aux[s.up_bias + local_expert * s.intermediate + row];
          gate = GATED != 0u ? gate + aux[s.gate_bias + local_expert * s.intermediate + row] : up;
        }
        result = activate(p.activation, gate, up, p.alpha, p.beta, p.limit);
      }
      h[of_route * p.h_stride + row] = result;
    }
    if (route < p.routes) barrier();  // lane_sums are read before the next pass writes them
  }
}
