// SPDX-License-Identifier: MIT
//
// Selection: the top_k largest keys of a token, ties to the lowest id. Needs keys[], chosen[], best_key[], best_id[].

bool better(uint key, uint id, uint other_key, uint other_id) {
  if (id == kNoCandidate) return false;
  return other_id == kNoCandidate || key > other_key || (key == other_key && id < other_id);
}

// Whether an expert comes later in the order of selection.
bool behind(uint key, uint id, uint other_key, uint other_id) {
  return key < other_key || (key == other_key && id > other_id);
}

// top_k rounds: each lane offers its best expert behind the last winner, all lanes find the winner.
void select_top_k(uint first_slot, uint key_row, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  uint last_key = 0xFFFFFFFFu, last_id = 0u;
  for (uint slot = 0u; slot < p.top_k; ++slot) {
    uint key = 0u, id = kNoCandidate;
    for (uint e = lane; serves && e < p.experts; e += LANES) {
      uint candidate = keys[key_row + e];
      if (candidate != 0u && behind(candidate, e, last_key, last_id) && better(candidate, e, key, id)) {
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
    last_key = key;
    last_id = id;
    if (serves && lane == 0u) chosen[first_slot + slot] = int(id);
    barrier();
  }
}
