// SPDX-License-Identifier: MIT
//
// Selection: the top_k largest keys of a token, ties to the lowest id. Needs keys[], chosen[], best_key[], best_id[].

bool better(uint key, uint id, uint other_key, uint other_id) {
  if (id == kNoCandidate) return false;
  return other_id == kNoCandidate || key > other_key || (key == other_key && id < other_id);
}

// top_k rounds: each lane offers its best expert that is not taken, all lanes find the winner.
void select_top_k(uint block_token, uint key_row, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  uint taken = 0u;  // bit i: expert lane + LANES i
  for (uint slot = 0u; slot < p.top_k; ++slot) {
    uint key = 0u, id = kNoCandidate;
    for (uint e = lane, bit = 1u; serves && e < p.experts; e += LANES, bit <<= 1) {
      uint candidate = keys[key_row + e];
      if ((taken & bit) == 0u && better(candidate, e, key, id)) {
        key = candidate;
        id = e;
      }
    }
    best_key[gl_LocalInvocationIndex] = key;
    best_id[gl_LocalInvocationIndex] = id;
    barrier();
    for (uint i = group_first; i < group_first + LANES; ++i) {
      if (better(best_key[i], best_id[i], key, id)) {
        key = best_key[i];
        id = best_id[i];
      }
    }
    if (id % LANES == lane) taken |= 1u << (id / LANES);
    if (serves && lane == 0u) chosen[block_token * MAX_SLOTS + slot] = int(id);
    barrier();
  }
}
