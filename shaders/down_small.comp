// SPDX-License-Identifier: MIT
//
// h -> weighted expert outputs for at most MAX_SMALL_TOKENS tokens; with COMBINE straight to y. One workgroup makes
// kRows columns of the output for all routes: expert by expert (each weight is read once a pass), results kept in
// shared memory, then added per token in slot order - the same sum, in the same order, as combine.comp.
// In a latent layer the routed experts' sum stays in the latent space, what stands beside it (shared and identity
// experts) goes to a buffer of its own, and this kernel then makes y of both: a projection of the normalised sum.
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
layout(push_constant) uniform Push { DownPush p; };
layout(set = 0, binding = 0, std430) readonly buffer Table { uvec2 table[]; };
layout(set = 0, binding = 1, std430) readonly buffer H { vec4 h[]; };
layout(set = 0, binding = 2, std430) readonly buffer Ids { int ids[]; };
layout(set = 0, binding = 3, std430) readonly buffer Weights { float weights[]; };
layout(set = 0, binding = 4, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 5, std430) buffer Out { uint out_words[]; };  // floats (expert_out, the latent sum), or y
layout(set = 0, binding = 6, std430) readonly buffer Residual { uint residual_words[]; };
layout(set = 0, binding = 7, std430) readonly buffer X { float x[]; };  // of a projection: what stands beside
layout(set = 0, binding = 8, std430) writeonly buffer Beside { float beside[]; };
layout(set = 0, binding = 9, std430) readonly buffer CodeUnits { uvec4 code_units[]; };  // of h, with INTEGER_DOT
layout(set = 0, binding = 9, std430) readonly buffer CodePairs { uvec2 code_pairs[]; };

#include "numerics.glsl"
#define Y_WORDS out_words
#define RESIDUAL_WORDS residual_words
#include "activations_out.glsl"
#define USES_FORMAT(f) (DOWN_FORMAT == (f) || SHARED_DOWN_FORMAT == (f))
const uint kDownRange = DOWN_FORMAT / FORMAT_RANGE;
const uint kSharedDownRange = SHARED_DOWN_FORMAT / FORMAT_RANGE;
#define USES_RANGE(r) (kDownRange == (r) || kSharedDownRange == (r))
#include "weights.glsl"
#include "small_tokens.glsl"
#include "integer_dots.glsl"
#include "identity.glsl"
#include "latent.glsl"
#define ACTIVATION(at) h[at]
#include "precision.glsl"

// With 8 tokens a pass any call that is small enough may come, with fewer only calls of so many routes.
const uint kFusedRoutes = TOKENS_PER_GROUP == 8u ? MAX_FUSED_ROUTES : TOKENS_PER_GROUP * MAX_SLOTS;
const uint kMaxRoutes = kProjects ? MAX_SMALL_TOKENS : kFusedRoutes;
const uint kSquares = kProjects ? TOKENS_PER_GROUP : 0u;
const uint kAllSums = kSums + kSquares;
shared float lane_sums[(kSums + kSquares) * kStride];  // [row, token | token's squares][invocation]
shared float route_out[COMBINE != 0u ? kMaxRoutes * kRows : 1u];
// Of each route: the next one of its expert, or p.routes; and above kLeader, whether it is the expert's first.
shared uint links[kProjects ? 1u : kFusedRoutes == MAX_FUSED_ROUTES ? MAX_SMALL_TOKENS * MAX_SLOTS : kFusedRoutes];
const uint kLeader = 0x10000u;

void link_routes() {
  for (uint route = gl_LocalInvocationIndex; route < p.routes; route += INVOCATIONS) {
    int expert = ids[route];
    uint earlier = 0u;
    if (uint(expert) < p.experts_total) {
      while (earlier < route && ids[earlier] != expert) ++earlier;
    }
    uint next = route + 1u;
    while (next < p.routes && ids[next] != expert) ++next;
    links[route] = next | (earlier == route && uint(expert) < p.experts_total ? kLeader : 0u);
  }
  barrier();
}

uint next_member(uint route) { return kProjects ? route + 1u : links[route] & (kLeader - 1u); }

#include "add_lanes.glsl"
#include "down_dots.glsl"

// All routes of one expert, from its first route on.
void serve_expert(uint leader, uint first_row) {
  int expert = kProjects ? 0 : ids[leader];
  bool is_shared = uint(expert) >= p.segment_split;
  DownSegment s = p.segment[is_shared ? 1 : 0];
  uint format = is_shared ? SHARED_DOWN_FORMAT : DOWN_FORMAT;
  uint lane = gl_LocalInvocationIndex % kLanes;
  uint group_row = first_row + gl_LocalInvocationIndex / kLanes * kRowsPerGroup;
  if (first_row >= s.rows) return;
  uint local_expert = uint(expert) - (is_shared ? p.segment_split : 0u);
  uint piece_index = first_row / s.rows_per_piece;
  uvec2 piece = table[s.table + local_expert * s.pieces + piece_index];
  if (!in_binding_pass(piece, p.binding_pass)) return;
  uint weight_rows[kRowsPerGroup];
  for (uint r = 0u; r < kRowsPerGroup; ++r) {
    uint stored_row = min(group_row + r, s.rows - 1u) - piece_index * s.rows_per_piece;
    weight_rows[r] = stored_row * row_units(format, s.chunks);
  }

  bool holds = holds_beside(format);
  uint from = leader;
  while (from < p.routes) {
    uint members[TOKENS_PER_GROUP];
    uint count = take_members(from, members);
    uint h_rows[TOKENS_PER_GROUP];
    float sums[kAllSums];
    for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) h_rows[i] = members[i] * p.h_stride4;
    for (uint i = 0u; i < kSums + kSquares; ++i) sums[i] = 0.0;
    if (INTEGER_DOT != 0u) {
      add_dots(sums, format, piece, weight_rows, s.chunks, members, count, lane);
    } else {
      for (uint chunk = lane; chunk < s.chunks; chunk += kLanes) {
        vec4 ha[kHeld], hb[kHeld];
        uvec4 fetched[kRowsPerGroup];
        for (uint r = 0u; r < kRowsPerGroup; ++r) fetched[r] = fetch_weights(format, piece, weight_rows[r], chunk);
        for (uint r = 0u; r < kRowsPerGroup; ++r) {
          vec4 wa, wb;
          load_weights(format, fetched[r], piece, weight_rows[r], s.chunks, chunk, wa, wb);
          if (kProjects) scale_by_norm(chunk, wa, wb);
          for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
            if (i >= (holds ? max(count, 1u) : count)) break;  // uniform: most experts have fewer tokens
            uint held = holds ? i : 0u;
            if (r == 0u || !holds) LOAD_ACTIVATIONS(h_rows[i], chunk, s.chunks, ha[held], hb[held])
            uint at = r * TOKENS_PER_GROUP + i;
            sums[at] = dot8(sums[at], wa, wb, ha[held], hb[held]);
            if (kProjects && r == 0u) sums[kSums + i] = dot8(sums[kSums + i], ha[held], hb[held], ha[held], hb[held]);
          }
        }
      }
    }
    for (uint i = 0u; i < kSums + kSquares; ++i) lane_sums[i * kStride + gl_LocalInvocationIndex] = sums[i];
    if (INTEGER_DOT != 0u) repair_sums(format, piece, s, group_row, piece_index, members, lane);
    barrier();
    uint member = lane % TOKENS_PER_GROUP;
    uint row = group_row + lane / TOKENS_PER_GROUP;
    if (lane < kSums && member < count && row < s.rows) {
      uint first = lane * kStride + gl_LocalInvocationIndex - lane;
      precise float value = add_lanes(first);
      if (kProjects) value = value * latent_scale(add_lanes(first + (kSums + member - lane) * kStride));
      if (s.down_bias != NONE) value = value + aux[s.down_bias + local_expert * s.rows + row];
      uint route = pick(members, member);
      if (!kProjects && uint(expert) >= p.input_weighted) value = value * weights[route];
      if (COMBINE != 0u) {
        route_out[route * kRows + row - first_row] = value;
      } else {
        out_words[p.out_offset + route * p.out_stride + row] = floatBitsToUint(value);
      }
    }
    barrier();  // lane_sums are read before the next pass writes them
  }
}

void main() {
  uint first_row = gl_WorkGroupID.x * kRows;
  if (kProjects) {
    serve_expert(0u, first_row);
  } else {
    link_routes();
    for (uint route = 0u; route < p.routes; ++route) {
      if (links[route] >= kLeader) serve_expert(route, first_row);
    }
  }
  if (COMBINE == 0u) return;
  uint tokens = p.routes / p.slots;
  for (uint i = gl_LocalInvocationIndex; i < tokens * kRows / 2u; i += INVOCATIONS) {
    uint token = i / (kRows / 2u);
    uint pair = i % (kRows / 2u) * 2u;
    uint column = first_row + pair;
    bool second = column + 1u < p.hidden;
    precise vec2 z = vec2(0.0);
    precise vec2 others = vec2(0.0);  // shared and identity experts, where they do not add to z
    if (kProjects && column < p.hidden) z = identity_output(p.x_offset + token * p.x_stride + column, second, 1.0);
    for (uint route = token * p.slots; route < (token + 1u) * p.slots; ++route) {
      int id = kProjects ? 0 : ids[route];
      if (id < 0) continue;
      precise vec2 value = vec2(0.0);
      if (uint(id) < p.experts_total) {
        uint rows = p.segment[uint(id) < p.segment_split ? 0 : 1].rows;
        uint at = route * kRows + pair;
        value = vec2(column < rows ? route_out[at] : 0.0, column + 1u < rows ? route_out[at + 1u] : 0.0);
      } else if (column < p.hidden) {
        value = identity_output(p.x_offset + token * p.x_stride + column, second, weights[route]);
      }
      if (LATENT == EXPERTS_IN_LATENT && uint(id) >= p.segment_split) {
        others = others + value;
      } else {
        z = z + value;
      }
    }
    if (LATENT == EXPERTS_IN_LATENT) {
      for (uint j = 0u; j < 2u; ++j) {
        if (column + j < p.out_stride) out_words[token * p.out_stride + column + j] = floatBitsToUint(z[j]);
        if (column + j < p.hidden) beside[token * p.hidden + column + j] = others[j];
      }
      continue;
    }
    if (column >= p.hidden) continue;
    store_pair(p.out_offset + token * p.out_stride, p.residual_offset + token * p.residual_stride, column, p.hidden, z,
               p.out_scale, p.beta);
  }
}
