// SPDX-License-Identifier: MIT
//
// In:  the shipped vectors, and the float64 formula of the conformance suite.
// Out: the formula gives what was worked out by hand, far closer than any device has to; and no vector asks a device
//      for experts that rounding decides.
// Why: two derivations that know nothing of each other, one on paper and one in code, must meet.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "tests/conformance/oracle.h"
#include "tests/tools/run_moevk.h"
#include "tools/model/vector_file.h"

namespace moe_conformance {
namespace {

using moevk::model::VectorFile;
using moevk::model::VectorValues;

constexpr double kBound = 1e-6;  // tensors are f32: ln 3 has a rounding error of 4e-8 there, and passes through a tanh

template <class T>
std::vector<T> numbers(const std::vector<VectorValues>& all, const std::string& name) {
  for (const VectorValues& one : all) {
    if (one.shape.name == name) return {one.values.begin(), one.values.end()};
  }
  return {};
}

// Every second row of [experts, 2 * width, columns]: gate from row 0 on, up from row 1 on.
std::vector<float> rows_from(const std::vector<float>& joint, size_t columns, size_t first) {
  std::vector<float> rows;
  for (size_t row = first; row * columns < joint.size(); row += 2) {
    rows.insert(rows.end(), joint.begin() + static_cast<std::ptrdiff_t>(row * columns),
                joint.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
  }
  return rows;
}

LayerCase case_of(const VectorFile& file) {
  const auto tensor = [&](const char* name) { return numbers<float>(file.tensors, name); };
  LayerCase c;
  c.desc = file.desc;
  c.tokens = file.tokens;
  c.weights.router = tensor("router.weight");
  c.weights.router_bias = tensor("router.bias");
  c.weights.selection_bias = tensor("router.selection_bias");
  c.weights.router_scale = tensor("router.input_scale");
  c.weights.expert_scale = tensor("router.expert_scale");
  c.weights.token_table = numbers<int32_t>(file.tensors, "router.token_table");
  c.weights.norm = tensor("norm.weight");
  c.weights.gate = tensor("experts.gate");
  c.weights.up = tensor("experts.up");
  c.weights.gate_bias = tensor("experts.gate.bias");
  c.weights.up_bias = tensor("experts.up.bias");
  if (file.desc.gate_up_layout == MOE_GATE_UP_INTERLEAVED) {
    c.weights.gate = rows_from(tensor("experts.gate_up"), file.desc.hidden, 0);
    c.weights.up = rows_from(tensor("experts.gate_up"), file.desc.hidden, 1);
    c.weights.gate_bias = rows_from(tensor("experts.gate_up.bias"), 1, 0);
    c.weights.up_bias = rows_from(tensor("experts.gate_up.bias"), 1, 1);
  }
  c.weights.down = tensor("experts.down");
  c.weights.down_bias = tensor("experts.down.bias");
  c.weights.shared_gate = tensor("shared.gate");
  c.weights.shared_up = tensor("shared.up");
  c.weights.shared_down = tensor("shared.down");
  c.weights.shared_router = tensor("shared.router");
  c.weights.latent_down = tensor("latent.down");
  c.weights.latent_norm = tensor("latent.norm");
  c.weights.latent_up = tensor("latent.up");
  c.inputs.x = numbers<float>(file.inputs, "x");
  c.inputs.router_x = numbers<float>(file.inputs, "router_x");
  c.inputs.token_ids = numbers<int32_t>(file.inputs, "token_ids");
  return c;
}

void expect_close(const std::vector<double>& have, const VectorValues& want, const std::string& name) {
  ASSERT_EQ(have.size(), want.values.size());
  double largest = 0;
  for (const double value : want.values) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < have.size(); ++i) {
    EXPECT_NEAR(have[i], want.values[i], kBound * largest) << name << ": " << want.shape.name << " " << i;
  }
}

TEST(VectorOracle, FormulaAndHandAgree) {
  uint32_t judged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/vectors")) {
    const std::string name = entry.path().filename().string();
    VectorFile file;
    ASSERT_FALSE(moevk::model::read_vector(moe_tests::read_text(entry.path().string()), file).has_value()) << name;
    const bool layout =
        file.desc.gate_up_layout == MOE_GATE_UP_SEPARATE || file.desc.gate_up_layout == MOE_GATE_UP_INTERLEAVED;
    ASSERT_TRUE(layout && file.desc.matrix_order == MOE_MATRIX_OUT_IN) << name << ": case_of knows no such layout";
    const LayerCase c = case_of(file);
    const RouteOracle route = route_oracle(c);
    const std::vector<int32_t> ids = numbers<int32_t>(file.expected, "ids");
    EXPECT_EQ(route.ids, ids) << name;
    const std::vector<double> weights = weights_oracle(c, route, ids);
    expect_close(weights, *file.output("weights"), name);
    expect_close(output_oracle(c, ids, weights).y, *file.output("y"), name);
    ++judged;
  }
  EXPECT_GE(judged, 35u);
}

// Two experts' values are further apart than f32 can move them, or are the same sum of the same numbers.
TEST(VectorOracle, NoVectorAsksWhatRoundingDecides) {
  constexpr double kGap = 1e-3;
  for (const auto& entry : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/vectors")) {
    VectorFile file;
    const std::string name = entry.path().filename().string();
    ASSERT_FALSE(moevk::model::read_vector(moe_tests::read_text(entry.path().string()), file).has_value()) << name;
    const RouteOracle route = route_oracle(case_of(file));
    const size_t choices = candidates(file.desc);
    for (size_t t = 0; t < file.tokens && !route.key.empty(); ++t) {
      const double* key = route.key.data() + t * choices;
      for (size_t a = 0; a < choices; ++a) {
        for (size_t b = 0; b < a; ++b) {
          EXPECT_TRUE(key[a] == key[b] || std::fabs(key[a] - key[b]) > kGap)
              << name << ": token " << t << ", experts " << b << " and " << a << ": " << key[b] << ", " << key[a];
        }
      }
    }
  }
}

}  // namespace
}  // namespace moe_conformance
