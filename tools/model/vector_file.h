// SPDX-License-Identifier: MIT
//
// In:  the text of a test vector (docs/conformance-kit.md has the format).
// Out: a layer's descriptor, its tensors, a call's inputs, and what the call must give.
// Why: the vectors are for every engine; here they are read for those that speak moe_plugin.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

// What a tensor, input or output must look like; experts * rows lines of `columns` values.
struct ValueShape {
  std::string name;
  uint64_t experts = 0;  // length of the expert axis; 0: none
  uint64_t rows = 0;
  uint64_t columns = 0;
  bool integers = false;
  bool required = true;
};

struct VectorValues {
  ValueShape shape;
  std::vector<double> values;
  double within = 0;  // of an expected output: of the largest value of its kind; 0: exactly
  uint32_t line = 0;
};

// A field whose value is not the preset's, and why not.
struct Departure {
  std::string field;
  std::string reason;
};

struct VectorFile {
  std::string family;
  std::string preset;  // empty: none is claimed
  std::string title;
  std::vector<Departure> departures;
  std::vector<std::string> needs;  // arguments ("desc.capacity") that a library may refuse, as it does not do them yet
  moe_layer_desc desc = {};
  uint64_t tokens = 0;
  std::vector<VectorValues> tensors;
  std::vector<VectorValues> inputs;
  std::vector<VectorValues> expected;

  const VectorValues* input(std::string_view name) const;
  const VectorValues* output(std::string_view name) const;
};

struct VectorError {
  uint32_t line = 0;  // from 1
  std::string message;
};

inline constexpr double kVectorTolerance = 1e-5;

// The error where the text is refused; `file` then means nothing.
std::optional<VectorError> read_vector(std::string_view text, VectorFile& file);

// vector_shapes.cpp: names and shapes that a layer asks for. `tokens` is that of x.
std::vector<ValueShape> tensor_shapes(const moe_layer_desc& desc);
std::vector<ValueShape> input_shapes(const moe_layer_desc& desc, uint64_t tokens);
std::vector<ValueShape> output_shapes(const moe_layer_desc& desc, uint64_t tokens);

}  // namespace moevk::model
