// SPDX-License-Identifier: MIT
//
// In:  see onnx_quantised.h.
// Out: see onnx_quantised.h.
// Why: zero points near the centre, as a quantiser would choose them, but each value now and then.
#include "tests/peers/onnx_quantised.h"

#include <cmath>

namespace moevk::peers {

QuantisedMatrix random_quantised(const std::string& name, int64_t experts, int64_t rows, int64_t columns,
                                 const moe_weight_format& format, float spread, moe_conformance::Random& random) {
  const auto bits = int64_t{format.bits}, per = 8 / bits;
  const int64_t groups = format.block_columns == 0 ? 1 : columns / int64_t{format.block_columns};
  const auto bytes = [&](OnnxTensor& tensor) {
    size_t count = 1;
    for (const int64_t extent : tensor.shape) count *= static_cast<size_t>(extent);
    tensor.bytes.resize(count);
    for (uint8_t& byte : tensor.bytes) byte = static_cast<uint8_t>(random.next() >> 40);
  };
  QuantisedMatrix m;
  m.codes = {name, {experts, rows, columns / per}, {}, {}};
  bytes(m.codes);
  m.scales = {name + "_scales", {experts, rows}, {}, {}};
  if (format.block_columns != 0) m.scales.shape.push_back(groups);
  // Codes of n bits are uniform over 2^n values: an RMS of 2^n / sqrt(12) about their middle.
  const float size = spread * std::sqrt(12.0f) / static_cast<float>(1 << bits);
  m.scales.data.resize(static_cast<size_t>(experts * rows * groups));
  for (float& scale : m.scales.data) scale = size * static_cast<float>(0.5 + random.uniform());
  if (format.zero_point != MOE_ZERO_POINT_STORED) return m;
  m.zeros = {name + "_zero_points", {experts, (rows + per - 1) / per}, {}, {}};
  if (format.block_columns != 0) m.zeros.shape = {experts, rows, (groups + per - 1) / per};
  bytes(m.zeros);
  return m;
}

}  // namespace moevk::peers
