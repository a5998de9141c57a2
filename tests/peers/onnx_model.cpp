// SPDX-License-Identifier: MIT
//
// In:  see onnx_model.h.
// Out: see onnx_model.h.
// Why: see onnx_model.h.
#include "tests/peers/onnx_model.h"

#include <bit>
#include <cstring>

namespace moevk::peers {
namespace {

// A protobuf message as it grows.
class Message {
 public:
  Message& number(uint32_t field, int64_t value) {
    tag(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& real(uint32_t field, float value) {
    tag(field, 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (uint32_t shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>((bits >> shift) & 255);
    return *this;
  }
  Message& text(uint32_t field, const std::string& value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(uint32_t field, uint32_t wire_type) { varint((field << 3) | wire_type); }
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

constexpr int64_t kFloat = 1;  // TensorProto.FLOAT
constexpr int64_t kUint8 = 2;  // TensorProto.UINT8

Message value_info(const OnnxTensor& tensor) {
  Message shape;
  for (const int64_t extent : tensor.shape) shape.message(1, Message().number(1, extent));
  const Message type = Message().number(1, kFloat).message(2, shape);
  return Message().text(1, tensor.name).message(2, Message().message(1, type));
}

Message initializer(const OnnxTensor& tensor) {
  Message message;
  for (const int64_t extent : tensor.shape) message.number(1, extent);
  if (!tensor.bytes.empty()) {
    return message.number(2, kUint8)
        .text(8, tensor.name)
        .text(9, std::string(tensor.bytes.begin(), tensor.bytes.end()));
  }
  std::string raw(tensor.data.size() * sizeof(float), '\0');
  std::memcpy(raw.data(), tensor.data.data(), raw.size());
  return message.number(2, kFloat).text(8, tensor.name).text(9, raw);
}

Message attribute(const std::string& name, const std::variant<int64_t, float, std::string>& value) {
  Message message;
  message.text(1, name);
  if (const auto* real = std::get_if<float>(&value)) return message.real(2, *real).number(20, 1);
  if (const auto* whole = std::get_if<int64_t>(&value)) return message.number(3, *whole).number(20, 2);
  return message.text(4, std::get<std::string>(value)).number(20, 3);
}

}  // namespace

std::string onnx_model(const OnnxNode& node) {
  Message proto, graph;
  for (const OnnxTensor& input : node.inputs) proto.text(1, input.name);
  proto.text(2, node.output.name).text(4, node.operator_type).text(7, node.domain);
  for (const auto& [name, value] : node.attributes) proto.message(5, attribute(name, value));
  graph.message(1, proto).text(2, "layer");
  for (const OnnxTensor& input : node.inputs) {
    if (input.name.empty()) continue;
    if (input.is_run_time_input()) {
      graph.message(11, value_info(input));
    } else {
      graph.message(5, initializer(input));
    }
  }
  graph.message(12, value_info(node.output));
  // ir_version 10; the node's domain in version 1, and ONNX's own in 21.
  return Message()
      .number(1, 10)
      .message(7, graph)
      .message(8, Message().text(1, "").number(2, 21))
      .message(8, Message().text(1, node.domain).number(2, 1))
      .bytes();
}

}  // namespace moevk::peers
