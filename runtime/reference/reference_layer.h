// SPDX-License-Identifier: MIT
//
// A layer on the CPU, written to be read aloud: plain loops, every sum in float64, each result rounded once. It
// judges the device kernels; it is not meant to be fast.
#pragma once

#include <vector>

#include "runtime/device.h"

namespace moevk {

// One expert matrix set as rows of packed elements or blocks, exactly as the host gave them.
struct ReferenceMatrix {
  WeightFormat format = WeightFormat::kF32;
  uint32_t rows = 0;
  uint32_t columns = 0;
  HostMemory data;  // [experts, rows, columns]

  uint64_t row_bytes() const { return moevk::row_bytes(format, columns); }
  const std::byte* row(uint32_t expert, uint32_t index) const {
    return data.data() + (uint64_t{expert} * rows + index) * row_bytes();
  }
};

struct ReferenceWeights {
  ReferenceMatrix matrix[3][3];      // [segment][MatrixKind]
  HostMemory vectors[kVectorKinds];  // f32, by VectorKind; empty where the layer has none
  const float* vector(VectorKind kind) const {
    return reinterpret_cast<const float*>(vectors[static_cast<size_t>(kind)].data());
  }
};

// Executes one call on host memory: views have host pointers, whatever they were made from.
void run_reference(const LayerSpec& spec, const ReferenceWeights& weights, const Call& call);

}  // namespace moevk
