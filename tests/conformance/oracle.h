// SPDX-License-Identifier: MIT
//
// The judge's judge: what a layer computes, written from docs/semantics.md in plain float64, with
// its own bound on what a float32 router may differ by. Shares no code with the library.
#ifndef MOE_TESTS_CONFORMANCE_ORACLE_H_
#define MOE_TESTS_CONFORMANCE_ORACLE_H_

#include <cstdint>
#include <vector>

#include "tests/conformance/layer_case.h"

namespace moe_conformance {

struct RouteOracle {
  std::vector<double> logits;       // [T, E + Z]; given or computed; empty without either
  std::vector<double> logit_bound;  // [T, E + Z]: how far a float32 logit may be away (0 where it is given)
  std::vector<double> p;            // [T, E + Z]: what weights are taken from
  std::vector<double> key;          // [T, E + Z]: what the selection compares
  std::vector<double> key_bound;    // [T, E + Z]
  std::vector<int32_t> ids;         // [T, k]; -1: skipped, or dropped
  std::vector<int32_t> chosen;      // [T, k]: before routes were dropped
  std::vector<uint8_t> decided;     // [T]: every deciding gap exceeds twice the bound
};

RouteOracle route_oracle(const LayerCase& layer_case);

// x [T, H], normalised if the layer says so: what the experts see.
std::vector<double> layer_input(const LayerCase& layer_case);

// Routing weights [T, k] of the experts in `ids` ([T, k], any choice, -1 skipped), as they are
// applied.
std::vector<double> weights_oracle(const LayerCase& layer_case, const RouteOracle& route,
                                   const std::vector<int32_t>& ids);

struct OutputOracle {
  std::vector<double> y;        // [T, H]
  std::vector<double> typical;  // [T, H]: size of a layer's output if its terms did not cancel
  std::vector<double> slack;    // [T, H]: how far activations that may be rounded either way can take y; 0: exact
};

// Of tokens whose activations may be rounded either way to an extent of more than `share` of the largest output.
uint64_t uncertain_tokens(const LayerCase& layer_case, const OutputOracle& output, double share);

OutputOracle output_oracle(const LayerCase& layer_case, const std::vector<int32_t>& ids,
                           const std::vector<double>& weights);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_ORACLE_H_
