// SPDX-License-Identifier: MIT
//
// Routing of TOKENS_PER_GROUP tokens by one workgroup: router logits (or what the host gave instead), scores, groups,
// top-k with ties to the lowest id, routing weights, and the block's histogram of routes per expert.
// LANES invocations serve a token; lane j owns the experts j, j + LANES, ... Writes ids and weights [tokens, slots].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "spec_constants.glsl"
#include "push_constants.h"

layout(local_size_x = WORKGROUP) in;
layout(push_constant) uniform Push { RoutePush p; };
layout(set = 0, binding = 0, std430) readonly buffer X { uint x_words[]; };
layout(set = 0, binding = 1, std430) readonly buffer Router { float router[]; };
layout(set = 0, binding = 2, std430) readonly buffer Aux { float aux[]; };
layout(set = 0, binding = 3, std430) readonly buffer InputA { uint input_a[]; };
layout(set = 0, binding = 4, std430) readonly buffer InputB { uint input_b[]; };
layout(set = 0, binding = 5, std430) coherent buffer Logits { float logits[]; };
layout(set = 0, binding = 6, std430) writeonly buffer Scores { float scores[]; };
layout(set = 0, binding = 7, std430) writeonly buffer Ids { int ids[]; };
layout(set = 0, binding = 8, std430) writeonly buffer Weights { float weights[]; };
layout(set = 0, binding = 9, std430) writeonly buffer Histogram { uint histogram[]; };

#include "numerics.glsl"
#define X_WORDS x_words
#include "activations_in.glsl"
#include "input_norm.glsl"
#include "router_dot.glsl"

// ROUTE_SOURCE: MOE_ROUTE_*, or TABLE_AND_LOGITS: ids from a table, and the logits from router_logits.comp.
const uint kRouter = 0u, kLogits = 1u, kScores = 2u, kIds = 3u, kDense = 4u, kTable = 5u;
const bool kComputesLogits = ROUTE_SOURCE == kRouter || ROUTE_SOURCE == kTable;
const bool kSelects = ROUTE_SOURCE <= kScores;
const bool kHasLogits = ROUTE_SOURCE <= kLogits || ROUTE_SOURCE >= kTable;
const uint kNoCandidate = 0xFFFFFFFFu;

shared uint keys[LOGIT_CAPACITY];  // [token of the block, expert], 0: of a group that is not kept
shared int chosen[TOKENS_PER_GROUP * MAX_SLOTS];
shared uint best_key[WORKGROUP];
shared uint best_id[WORKGROUP];
shared float lane_value[WORKGROUP];

uint mode(uint shift, uint bits) { return bitfieldExtract(p.modes, int(shift), int(bits)); }

float logit_of(uint token, uint expert) {
  if (kComputesLogits) return logits[token * p.logit_stride + expert];
  return uintBitsToFloat(input_a[p.a_offset + token * p.a_stride + expert]);
}

// The cap is monotone: only where values count, and not their order, is it applied.
float capped(float logit) { return p.soft_cap > 0.0 ? p.soft_cap * accurate_tanh(logit / p.soft_cap) : logit; }

float key_value(uint key) { return uintBitsToFloat((key & 0x80000000u) != 0u ? key & 0x7FFFFFFFu : ~key); }

// largest and exp_sum are of the softmax over all experts.
float score_of(float logit, float largest, float exp_sum) {
  logit = capped(logit);
  switch (mode(0u, 4u)) {
    case 1u: return accurate_exp(logit - largest) / exp_sum;
    case 2u: return sigmoid(logit);
    case 3u: return sqrt_softplus(logit);
    default: return logit;
  }
}

void compute_logits(uint first_token) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group = gl_LocalInvocationIndex / LANES;
  uint rows[TOKENS_PER_GROUP];
  float scales[TOKENS_PER_GROUP];
  for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
    rows[i] = p.x_offset + min(first_token + i, p.tokens - 1u) * p.x_stride;
    scales[i] = router_row_scale(rows[i]);
  }
  uint token = first_token + lane;
  for (uint first = 0u; first < p.logit_stride; first += GROUPS) {
    uint expert = first + group;
    float logit = router_logit(min(expert, p.logit_stride - 1u) * p.router_stride, rows, scales);
    if (lane < TOKENS_PER_GROUP && token < p.tokens && expert < p.logit_stride) {
      if (p.router_bias != NONE && expert < p.experts) logit += aux[p.router_bias + expert];
      logits[token * p.logit_stride + expert] = canonical(logit);
    }
  }
  memoryBarrierBuffer();
  barrier();
}

// Largest capped logit that is a number, and the sum of exp(logit - largest): one value for all lanes of a token.
void softmax_over_experts(uint token, bool serves, out float largest, out float exp_sum) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  uint key = 0u;
  for (uint e = lane; serves && e < p.experts; e += LANES) key = max(key, sortable_key(logit_of(token, e)));
  best_key[gl_LocalInvocationIndex] = key;
  barrier();
  for (uint i = 0u; i < LANES; ++i) key = max(key, best_key[group_first + i]);
  largest = capped(key_value(key));
  float sum = 0.0;
  for (uint e = lane; serves && e < p.experts; e += LANES) sum += accurate_exp(capped(logit_of(token, e)) - largest);
  lane_value[gl_LocalInvocationIndex] = sum;
  barrier();
  exp_sum = 0.0;
  for (uint i = 0u; i < LANES; ++i) exp_sum += lane_value[group_first + i];
  barrier();
}

void make_keys(uint token, uint key_row, bool serves, float largest, float exp_sum) {
  uint lane = gl_LocalInvocationIndex % LANES;
  for (uint e = lane; serves && e < p.experts; e += LANES) {
    precise float value = logit_of(token, e);  // the host's scores, if ROUTE_SOURCE is kScores
    if (ROUTE_SOURCE != kScores && (p.selection_bias != NONE || p.groups != 0u)) {
      value = score_of(value, largest, exp_sum);
      if (p.selection_bias != NONE) value = value + aux[p.selection_bias + e];
    }
    keys[key_row + e] = sortable_key(value);
    if (mode(15u, 1u) != 0u) scores[token * p.experts + e] = canonical(value);
  }
}

#include "top_k.glsl"
#include "groups.glsl"
#include "sparsemixer.glsl"
#include "routing_weight.glsl"

float shared_weight(uint token) {
  switch (mode(13u, 2u)) {
    case 1u: return sigmoid(logits[token * p.logit_stride + p.logit_stride - 1u]);
    case 2u: return p.shared_constant;
    default: return 1.0;
  }
}

// The expert of slot `lane` as the host or the table names it, -1 where it names none.
int given_expert(uint token) {
  uint lane = gl_LocalInvocationIndex % LANES;
  int id = 0;
  if (ROUTE_SOURCE == kIds) id = int(input_a[p.a_offset + token * p.a_stride + lane]);
  if (ROUTE_SOURCE >= kTable) {
    uint token_id = input_b[p.b_offset + token * p.b_stride];
    id = token_id < p.token_rows ? int(aux[p.token_table + token_id * p.top_k + lane]) : -1;
  }
  return uint(id) < p.experts ? id : -1;
}

void route_token(uint token, uint block_token, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint key_row = block_token * p.experts;
  uint first_slot = block_token * MAX_SLOTS;
  float largest = 0.0, exp_sum = 1.0;
  if (kHasLogits && mode(0u, 4u) == 1u) softmax_over_experts(token, serves, largest, exp_sum);
  if (kSelects) {
    make_keys(token, key_row, serves, largest, exp_sum);
    if (p.groups != 0u) keep_groups(key_row, serves);
    select_top_k(first_slot, key_row, serves);
  } else {
    if (serves && lane < p.top_k) chosen[first_slot + lane] = given_expert(token);
    barrier();
  }
  int id = serves && lane < p.top_k ? chosen[first_slot + lane] : -1;
  float weight = routing_weight(token, first_slot, id, largest, exp_sum, serves);
  if (!serves) return;
  int shared_slots = int(p.slots - p.top_k);
  if (lane < p.top_k) {  // identity experts stand behind the shared ones, since they have no weights
    if (id >= int(p.routed_experts)) id += shared_slots;
    chosen[first_slot + lane] = id;
    ids[token * p.slots + lane] = id;
    weights[token * p.slots + lane] = canonical(weight);
  }
  for (uint slot = p.top_k + lane; slot < p.slots; slot += LANES) {
    int shared_id = int(p.routed_experts + slot - p.top_k);
    chosen[first_slot + slot] = shared_id;
    ids[token * p.slots + slot] = shared_id;
    weights[token * p.slots + slot] = canonical(shared_weight(token));
  }
}

void main() {
  uint group = gl_LocalInvocationIndex / LANES;
  uint first_token = gl_WorkGroupID.x * TOKENS_PER_GROUP;
  if (kComputesLogits) compute_logits(first_token);
  for (uint first = 0u; first < TOKENS_PER_GROUP; first += GROUPS) {
    uint block_token = first + group;
    uint token = first_token + block_token;
    bool serves = block_token < TOKENS_PER_GROUP && token < p.tokens;
    route_token(serves ? token : first_token, serves ? block_token : 0u, serves);
  }
  if (mode(16u, 1u) == 0u) return;
  barrier();
  uint block_tokens = min(TOKENS_PER_GROUP, p.tokens - first_token);
  for (uint e = gl_LocalInvocationIndex; e < p.experts_total; e += WORKGROUP) {
    uint count = 0u;
    for (uint t = 0u; t < block_tokens; ++t) {
      for (uint slot = 0u; slot < p.slots; ++slot) count += chosen[t * MAX_SLOTS + slot] == int(e) ? 1u : 0u;
    }
    histogram[gl_WorkGroupID.x * p.experts_total + e] = count;
  }
}
