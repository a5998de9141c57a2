// SPDX-License-Identifier: MIT
//
// A row of activations with what float32 arithmetic may have made of each: a layer's precision rounds rows where a
// matmul reads them, and a value close to the middle between two steps may go either way.
#ifndef MOE_TESTS_CONFORMANCE_ROUNDED_ROW_H_
#define MOE_TESTS_CONFORMANCE_ROUNDED_ROW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moe_conformance {

// Share of a sum's absolute terms that float32 arithmetic may lose.
constexpr double kFloatLoss = 0x1p-21;

struct Row {
  std::vector<double> value;
  std::vector<double> slack;  // float32 arithmetic is at most so far away

  explicit Row(size_t count = 0) : value(count), slack(count) {}
};

// As MOE_PRECISION_* has it. The slack is then that of values which may go either way; of an exact layer 0, since
// the bound on its outputs covers float32.
Row rounded(uint32_t precision, Row row);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_ROUNDED_ROW_H_
