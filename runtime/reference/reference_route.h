// SPDX-License-Identifier: MIT
//
// One token's way through the router, on the CPU, and the small things that routing and experts share.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "runtime/reference/reference_layer.h"

namespace moevk {

struct ReferenceRoutes {
  std::vector<int32_t> ids;     // [slots] as the host sees them, -1: skipped
  std::vector<double> weights;  // [slots]
};

// Stores logits and scores where the call asks for them.
ReferenceRoutes route_token(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call, uint64_t token);

// x / sqrt(mean(x^2) + eps) * weight
void rms_normalise(const float* weight, double eps, std::vector<double>* x);
// RMSNorm of the layer, if it has one.
void normalise_input(const LayerSpec& spec, const ReferenceWeights& weights, std::vector<double>* x);

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline double element(const View& v, uint64_t row, uint64_t column) {
  return load_element(v.dtype, v.host + row * v.stride_bytes, column);
}
inline int32_t integer(const View& v, uint64_t row, uint64_t column) {
  int32_t value;
  std::memcpy(&value, v.host + row * v.stride_bytes + column * 4, 4);
  return value;
}
inline void store(const View& v, uint64_t row, uint64_t column, double value) {
  store_element(v.dtype, v.host + row * v.stride_bytes, column, static_cast<float>(value));
}
inline void store_integer(const View& v, uint64_t row, uint64_t column, int32_t value) {
  std::memcpy(v.host + row * v.stride_bytes + column * 4, &value, 4);
}

}  // namespace moevk
