// SPDX-License-Identifier: MIT
//
// In:  a shape, how tokens shall spread over experts, a seed.
// Out: a router and tokens that two implementations route alike.
// Why: the routing of both follows from logits. The first number of every token is 1, so that the router's first column
//      is a bias without an operation of its own; and a token whose last chosen and first refused expert are so close
//      that rounding could swap them is drawn anew: what is compared then is arithmetic, not a tie.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moevk::bench {

// Between the logits of the k-th and the next expert, whose spread over experts is 1. A router computed in f16 is off
// by about 2^-11 of that.
constexpr double kLeastGap = 1.0 / 128;

// `routing`: "uniform", "zipf" (probabilities as 1 / (expert + 1)), "onehot" (all tokens on the first k experts).
// Writes the first column of `router` [experts, hidden].
void bias_router(std::vector<float>& router, uint64_t hidden, uint64_t top_k, const std::string& routing);

// [tokens, hidden]; rows of RMS about 1, whose routes do not hang on rounding.
std::vector<float> routed_tokens(uint64_t tokens, const std::vector<float>& router, uint64_t hidden, uint64_t top_k,
                                 uint64_t seed);

// How many experts have at least one of the tokens.
uint64_t distinct_experts(const std::vector<float>& x, const std::vector<float>& router, uint64_t hidden,
                          uint64_t top_k);

}  // namespace moevk::bench
