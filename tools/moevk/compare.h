// SPDX-License-Identifier: MIT
//
// In:  two answers to the same question: the device's, and the reference's or an oracle's.
// Out: how far the outputs are apart, and whether the same experts were chosen.
// Why: the rules of "the same experts" and of the errors stand in one place, in plain loops.
#pragma once

#include <cstdint>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moevk::cli {

constexpr double kMaxRelativeError = 1e-5;  // of the RMS error to the RMS of the expected values

// Errors of y over the tokens that were compared.
struct OutputError {
  double max_abs = 0;
  double rms = 0;
  double relative_rms = 0;
  bool finite = true;  // false: the device gave NaN or infinity where finite values were expected
  bool ok() const { return finite && relative_rms <= kMaxRelativeError; }
};

struct RouteComparison {
  uint64_t tokens = 0;
  uint64_t same = 0;           // tokens with the same experts in the same order
  uint64_t near_ties = 0;      // tokens that differ where rounding alone decides
  uint64_t wrong = 0;          // all others
  std::vector<bool> excluded;  // per token: its y is not compared, since its experts differ
  double max_logit_error = 0;
  bool ok() const { return wrong == 0; }
};

// `skip` (or empty): tokens to leave out.
OutputError compare_outputs(const std::vector<float>& actual, const std::vector<float>& expected, uint64_t columns,
                            const std::vector<bool>& skip);

// A token whose experts differ is a near-tie if two logits that decide (a chosen one and the next
// in the order) lie within the sum of their rounding bounds, H * 2^-24 * sum |x w| for a sum in any
// order. It needs expected logits and the router's weights; without them, or with a bias or groups
// in the selection, every difference is wrong.
struct RouteQuestion {
  const moe_layer_desc* desc = nullptr;
  const std::vector<float>* x = nullptr;                // [tokens, hidden]
  const std::vector<float>* router = nullptr;           // [experts, hidden]; may be empty
  const std::vector<float>* expected_logits = nullptr;  // [tokens, experts]; may be empty
};
RouteComparison compare_routes(const std::vector<int32_t>& actual, const std::vector<int32_t>& expected,
                               const RouteQuestion& question);

double max_difference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace moevk::cli
