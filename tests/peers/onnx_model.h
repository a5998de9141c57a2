// SPDX-License-Identifier: MIT
//
// In:  one node of an ONNX graph: its operator, attributes, constant tensors; the shapes that go in and out.
// Out: the bytes of a model file with that node alone.
// Why: ONNX Runtime reads models, not calls. The protobuf encoding that this needs is two kinds of fields, varint and
//      length-delimited; field numbers are those of onnx.proto.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace moevk::peers {

struct OnnxTensor {
  std::string name;  // empty: an optional input that is left out
  std::vector<int64_t> shape;
  std::vector<float> data;          // of a constant in f32,
  std::vector<uint8_t> bytes = {};  // or in uint8

  bool is_run_time_input() const { return !name.empty() && data.empty() && bytes.empty(); }
};

struct OnnxNode {
  std::string operator_type;
  std::string domain;
  std::vector<std::pair<std::string, std::variant<int64_t, float, std::string>>> attributes;
  std::vector<OnnxTensor> inputs;
  OnnxTensor output;
};

std::string onnx_model(const OnnxNode& node);

}  // namespace moevk::peers
