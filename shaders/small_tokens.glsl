// SPDX-License-Identifier: MIT
//
// What the kernels for few tokens share: finding the routes of one expert, and sums over LANES invocations.
// Columns are dealt to lanes in chunks of 8 (lane, lane + LANES, ...), lanes are added in order: a token's result
// does not depend on the tokens that are served in the same pass. A projection to or from the latent space is one
// expert that serves every token: ids are not read.

// Rows that a group of LANES makes at a time, so that x is read once for several: as many as registers and shared
// memory allow beside the tokens. runtime/plan_experts.cpp has the same rule.
const uint kRowsPerGroup = TOKENS_PER_GROUP <= 2u ? 4u : TOKENS_PER_GROUP == 4u ? 2u : 1u;
const uint kRows = kRowsPerGroup * GROUPS;  // of a workgroup
const uint kSums = kRowsPerGroup * TOKENS_PER_GROUP;
const uint kStride = WORKGROUP + 1u;
const bool kProjects = LATENT == LATENT_PROJECTION;

shared uint members[TOKENS_PER_GROUP];  // routes served together
shared uint member_count;
shared uint next_route;

// The next routes of `expert` from `from` on, at most TOKENS_PER_GROUP. Called by the whole workgroup.
void find_members(int expert, uint from, uint routes) {
  barrier();
  if (gl_LocalInvocationIndex == 0u) {
    uint count = 0u, route = from;
    for (; route < routes && count < TOKENS_PER_GROUP; ++route) {
      if (kProjects || ids[route] == expert) members[count++] = route;
    }
    for (uint i = count; i < TOKENS_PER_GROUP; ++i) members[i] = members[0];
    member_count = count;
    next_route = route;
  }
  barrier();
}
