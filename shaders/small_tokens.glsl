// SPDX-License-Identifier: MIT
//
// What the kernels for few tokens share: finding the routes of one expert, and sums over LANES invocations.
// Columns are dealt to lanes in chunks of 8 (lane, lane + LANES, ...), lanes are added in order: a token's result
// does not depend on the tokens that are served in the same pass.

shared uint members[TOKENS_PER_GROUP];  // routes served together
shared uint member_count;
shared uint next_route;

// The next routes of `expert` from `from` on, at most TOKENS_PER_GROUP. Called by the whole workgroup.
void find_members(int expert, uint from, uint routes) {
  barrier();
  if (gl_LocalInvocationIndex == 0u) {
    uint count = 0u, route = from;
    for (; route < routes && count < TOKENS_PER_GROUP; ++route) {
      if (ids[route] == expert) members[count++] = route;
    }
    for (uint i = count; i < TOKENS_PER_GROUP; ++i) members[i] = members[0];
    member_count = count;
    next_route = route;
  }
  barrier();
}

float add_lanes(uint first) {
  float sum = 0.0;
  for (uint i = 0u; i < LANES; ++i) sum += lane_sums[first + i];
  return sum;
}
