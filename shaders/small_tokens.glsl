// SPDX-License-Identifier: MIT
//
// What the kernels for few tokens share: finding the routes of one expert, and sums over kLanes invocations.
// Columns are dealt to lanes in chunks of 8 (lane, lane + kLanes, ...), lanes are added in order: a token's result
// does not depend on the tokens that are served in the same pass. A projection to or from the latent space is one
// expert that serves every token: ids are not read.

// A group that makes rows together: as many lanes as run together anyway, which the plan says by INVOCATIONS.
const uint kLanes = INVOCATIONS / GROUPS;
// Rows that a group makes at a time, so that x is read once for several: as many as registers and shared
// memory allow beside the tokens. runtime/plan_builder.cpp has the same rule.
const uint kRowsPerGroup = TOKENS_PER_GROUP <= 2u ? 4u : TOKENS_PER_GROUP == 4u ? 2u : 1u;
const uint kRows = kRowsPerGroup * GROUPS;  // of a workgroup
const uint kSums = kRowsPerGroup * TOKENS_PER_GROUP;
const uint kStride = INVOCATIONS + 1u;
const bool kProjects = LATENT == LATENT_PROJECTION;

// Whether a token's columns are read once for all rows of a group. They are not where registers run out: in int8
// precision, whose rounding would be unrolled for each token, and beside codebooks.
const bool kHolds = kRowsPerGroup > 1u && PRECISION != 2u;
bool holds_beside(uint format) { return kHolds && !is_codebook_format(format); }
const uint kHeld = kHolds ? TOKENS_PER_GROUP : 1u;
const uint kCodesHeld = kRowsPerGroup > 1u ? TOKENS_PER_GROUP : 1u;  // blocks of codes are small enough always

uint next_member(uint route);  // the next route of the same expert; p.routes or more: there is none

// Routes of one expert from `route` on, at most TOKENS_PER_GROUP, and where the next pass begins. What is over in
// `members` repeats the first. The same for the whole workgroup.
uint take_members(inout uint route, out uint members[TOKENS_PER_GROUP]) {
  uint count = 0u;
  members[0] = route;
  for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
    bool found = route < p.routes;
    members[i] = found ? route : members[0];
    count += found ? 1u : 0u;
    if (found) route = next_member(route);
  }
  return count;
}

// members[i], without an array that is indexed by what differs between invocations.
uint pick(uint members[TOKENS_PER_GROUP], uint i) {
  uint route = members[0];
  for (uint j = 1u; j < TOKENS_PER_GROUP; ++j) route = i == j ? members[j] : route;
  return route;
}
