// SPDX-License-Identifier: MIT
//
// Group-limited selection: experts stand in groups of neighbours; only the groups with the largest scores are kept,
// ties to the lowest group. A group's score is its largest key or the sum of its n largest. At most MAX_GROUPS groups:
// lane j has group j. Needs keys[], best_key[], best_id[], top_k.glsl.

uint group_key(uint key_row, uint first, uint size, uint n) {
  uint last_key = 0xFFFFFFFFu, last_id = 0u;
  precise float sum = 0.0;
  for (uint i = 0u; i < max(n, 1u); ++i) {
    uint key = 0u, id = kNoCandidate;
    for (uint e = first; e < first + size; ++e) {
      uint candidate = keys[key_row + e];
      if (behind(candidate, e, last_key, last_id) && better(candidate, e, key, id)) {
        key = candidate;
        id = e;
      }
    }
    last_key = key;
    last_id = id;
    sum = sum + key_value(key);
  }
  return n == 0u ? last_key : sortable_key(sum);
}

// Called by the whole workgroup. Keys of experts in other groups become 0.
void keep_groups(uint key_row, bool serves) {
  uint lane = gl_LocalInvocationIndex % LANES;
  uint group_first = gl_LocalInvocationIndex - lane;
  uint groups = p.groups & 0xFFu, kept = (p.groups >> 8) & 0xFFu, size = p.experts / groups;
  barrier();  // the keys are there
  uint mine = serves && lane < groups ? group_key(key_row, lane * size, size, p.groups >> 16) : 0u;
  best_key[gl_LocalInvocationIndex] = mine;
  barrier();
  uint ahead = 0u;
  for (uint i = 0u; i < groups; ++i) ahead += better(best_key[group_first + i], i, mine, lane) ? 1u : 0u;
  best_id[gl_LocalInvocationIndex] = lane < groups && ahead < kept ? 1u : 0u;
  barrier();
  for (uint e = lane; serves && e < p.experts; e += LANES) {
    if (best_id[group_first + e / size] == 0u) keys[key_row + e] = 0u;
  }
  barrier();
}
