// SPDX-License-Identifier: MIT
//
// In:  a matrix's size, and a format of integers with scales in f32.
// Out: random codes, scales and zero points as com.microsoft::QMoE has them, which is as our tensors have them.
// Why: what the operator reads and what add_tensor reads are then the same bytes.
#pragma once

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/numbers.h"
#include "tests/peers/onnx_model.h"

namespace moevk::peers {

struct QuantisedMatrix {
  OnnxTensor codes;   // [E, rows, columns * bits / 8]
  OnnxTensor scales;  // [E, rows], or [E, rows, groups]
  OnnxTensor zeros;   // as packed along a row's groups, or along the rows; without a name where there are none
};

// `name`: of the input, "fc1". Weights of an RMS near `spread`.
QuantisedMatrix random_quantised(const std::string& name, int64_t experts, int64_t rows, int64_t columns,
                                 const moe_weight_format& format, float spread, moe_conformance::Random& random);

}  // namespace moevk::peers
