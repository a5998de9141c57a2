// SPDX-License-Identifier: MIT
//
// Rows that a host packs itself: unpacking gives its bytes back, and a layer that uses them where they lie gives the
// bits of one that was uploaded, and holds no copy.
#include <algorithm>
#include <cstring>

#include "plugin_api/moe_plugin_packed.h"
#include "tests/abi/abi_fixture.h"
#include "tests/conformance/random_layer.h"

namespace moe_abi_tests {
namespace {

using moe_conformance::LayerCase;
using moe_conformance::PackedTensor;

const moe_packed_rows& packing() {
  return *static_cast<const moe_packed_rows*>(api().get_extension(MOE_EXTENSION_PACKED_ROWS));
}

moe_weight_format preset(uint32_t gguf_type) {
  moe_weight_format format{};
  format.preset = 1 + gguf_type;
  return format;
}
moe_weight_format plain(uint32_t element) {
  moe_weight_format format{};
  format.element = element;
  return format;
}

LayerCase layer_of(const moe_weight_format& format, uint32_t hidden, uint32_t intermediate, uint32_t gate_up) {
  LayerCase c =
      moe_conformance::softmax_layer(4, 2, hidden, intermediate, 5, moe_conformance::Random(hidden + format.preset));
  c.desc.gate_format = c.desc.up_format = c.desc.down_format = format;
  c.desc.gate_up_layout = gate_up;
  moe_conformance::Random random(7);
  c.weights = {};
  c.inputs = {};
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

class PackedRows : public AbiDeviceTest {
 protected:
  // Packed rows of an expert tensor, in a buffer of the device; its bytes must come back.
  moe_buffer* put(const PackedTensor& tensor, const moe_weight_format& format) {
    const auto columns = static_cast<uint32_t>(tensor.columns);
    const uint64_t rows = tensor.rows * std::max<uint64_t>(tensor.experts, 1);
    uint64_t row_bytes = 0;
    EXPECT_WORKS(packing().row_bytes(device_, &format, columns, &row_bytes, &error));
    EXPECT_EQ(row_bytes % 16, 0u);
    std::vector<uint8_t> packed(rows * row_bytes, 0xab), back(tensor.bytes.size(), 0xcd);
    EXPECT_WORKS(packing().pack(device_, &format, columns, rows, tensor.bytes.data(), packed.data(), &error));
    EXPECT_WORKS(packing().unpack(device_, &format, columns, rows, packed.data(), back.data(), &error));
    EXPECT_EQ(std::memcmp(back.data(), tensor.bytes.data(), back.size()), 0) << tensor.name;
    moe_buffer* buffer = make_buffer(packed.size());
    EXPECT_WORKS(api().write_buffer(buffer, 0, packed.data(), packed.size(), &error));
    return buffer;
  }

  moe_layer* bind(const LayerCase& c) {
    const std::vector<PackedTensor> tensors = moe_conformance::pack_tensors(c);
    std::vector<moe_tensor_binding> bindings;
    for (const PackedTensor& t : tensors) {
      if (t.name.find("experts.") != 0) continue;
      moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
      binding.tensor = t.name.c_str();
      binding.buffer = put(t, c.desc.up_format);
      binding.flags = MOE_BINDING_PACKED;
      bindings.push_back(binding);
    }
    moe_upload_desc desc = MOE_INIT(moe_upload_desc);
    desc.bindings = bindings.data();
    desc.binding_count = static_cast<uint32_t>(bindings.size());
    moe_upload* upload = nullptr;
    EXPECT_WORKS(api().begin_weights(device_, &c.desc, &desc, &upload, &error));
    if (upload == nullptr) return nullptr;
    for (const PackedTensor& t : tensors) {
      if (t.name.find("experts.") == 0) continue;
      moe_tensor_source source = MOE_INIT(moe_tensor_source);
      source.name = t.name.c_str();
      source.dtype = t.dtype;
      source.memory = t.bytes.data();
      source.bytes = t.bytes.size();
      EXPECT_WORKS(api().add_tensor(upload, &source, &error));
    }
    moe_layer* layer = nullptr;
    EXPECT_WORKS(api().commit_weights(upload, &layer, &error));
    layers_.push_back(layer);
    return layer;
  }

  void expect_same_bits(const moe_weight_format& format, uint32_t hidden, uint32_t intermediate,
                        uint32_t gate_up = MOE_GATE_UP_SEPARATE) {
    SCOPED_TRACE("preset " + std::to_string(format.preset) + ", element " + std::to_string(format.element));
    const LayerCase c = layer_of(format, hidden, intermediate, gate_up);
    moe_layer* uploaded = make_layer(c);
    moe_layer* bound = bind(c);
    ASSERT_NE(bound, nullptr);
    moe_layer_info whole = MOE_INIT(moe_layer_info), info = whole;
    EXPECT_WORKS(api().get_layer_info(uploaded, &whole, &error));
    EXPECT_WORKS(api().get_layer_info(bound, &info, &error));
    EXPECT_GT(info.in_place_bytes, 0u);
    EXPECT_LE(info.weight_bytes + info.in_place_bytes, whole.weight_bytes + 4096) << "held twice";
    const std::vector<float> expected = run(uploaded, c), got = run(bound, c);
    EXPECT_EQ(std::memcmp(expected.data(), got.data(), expected.size() * sizeof(float)), 0);
  }

  std::vector<float> run(moe_layer* layer, const LayerCase& c) {
    std::vector<float> y(c.tokens * c.desc.hidden);
    moe_context* context = make_context(c.tokens);
    const auto view = [&](const void* data) {
      moe_view v = MOE_INIT(moe_view);
      v.rows = c.tokens;
      v.columns = c.desc.hidden;
      v.host = const_cast<void*>(data);
      return v;
    };
    const moe_view x_view = view(c.inputs.x.data()), y_view = view(y.data());
    moe_call_args args = MOE_INIT(moe_call_args);
    args.tokens = c.tokens;
    args.x = &x_view;
    args.y = &y_view;
    uint64_t value = 0;
    EXPECT_WORKS(api().forward(context, layer, &args, &error));
    EXPECT_WORKS(api().flush(context, &value, &error));
    EXPECT_WORKS(api().wait(context, value, UINT64_MAX, &error));
    return y;
  }
};

TEST_P(PackedRows, EveryFormatIsUsedWhereItLies) {
  if (GetParam()) GTEST_SKIP() << "the reference keeps rows as they come";
  // One format of each kind of planes; tests/unit packs all of them.
  for (const uint32_t gguf : {2u, 6u, 8u, 11u, 12u, 14u, 18u, 29u, 34u, 39u, 40u}) {
    expect_same_bits(preset(gguf), 256, 256);
  }
  for (const uint32_t element : {MOE_ELEMENT_F32, MOE_ELEMENT_F16, MOE_ELEMENT_BF16}) {
    expect_same_bits(plain(element), 48, 32);
    expect_same_bits(plain(element), 40, 27);  // padded to whole chunks
  }
}

TEST_P(PackedRows, JoinedGateAndUpAreTwoMatrices) {
  if (GetParam()) GTEST_SKIP() << "the reference keeps rows as they come";
  expect_same_bits(preset(8), 64, 32, MOE_GATE_UP_CONCATENATED);
  expect_same_bits(preset(14), 256, 256, MOE_GATE_UP_CONCATENATED_UP_FIRST);
}

TEST_P(PackedRows, WhatCannotBeIsRefused) {
  uint64_t bytes = 0;
  moe_weight_format format = preset(8);
  const LayerCase c = layer_of(format, 64, 32, MOE_GATE_UP_SEPARATE);
  moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
  binding.tensor = "experts.up";
  binding.buffer = make_buffer(1 << 20);
  binding.flags = MOE_BINDING_PACKED;
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.bindings = &binding;
  desc.binding_count = 1;
  moe_upload* upload = nullptr;
  if (GetParam()) {
    EXPECT_FAILS(UNSUPPORTED, "device", "reference", packing().row_bytes(device_, &format, 64, &bytes, &error));
    EXPECT_FAILS(UNSUPPORTED, "upload.bindings", "reference",
                 api().begin_weights(device_, &c.desc, &desc, &upload, &error));
    return;
  }
  uint8_t byte = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "columns", "multiple", packing().row_bytes(device_, &format, 40, &bytes, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "columns", "is 0", packing().row_bytes(device_, &format, 0, &bytes, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "format", "NULL", packing().row_bytes(device_, nullptr, 64, &bytes, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", packing().row_bytes(nullptr, &format, 64, &bytes, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", packing().row_bytes(device_, &format, 64, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "source", "NULL", packing().pack(device_, &format, 64, 1, nullptr, &byte, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "destination", "NULL",
               packing().unpack(device_, &format, 64, 1, &byte, nullptr, &error));
  const moe_weight_format affine = {MOE_ELEMENT_INT, 4, 16, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0};
  EXPECT_FAILS(UNSUPPORTED, "format", "several tensors", packing().row_bytes(device_, &affine, 64, &bytes, &error));
  binding.buffer = make_buffer(16);
  EXPECT_FAILS(INVALID_ARGUMENT, "upload.bindings.offset_bytes", "the buffer has 16",
               api().begin_weights(device_, &c.desc, &desc, &upload, &error));
  binding.buffer = make_buffer(1 << 20);
  binding.tensor = "router.weight";
  EXPECT_FAILS(UNSUPPORTED, "upload.bindings", "matrices",
               api().begin_weights(device_, &c.desc, &desc, &upload, &error));
}

MOE_ON_BOTH_DEVICES(PackedRows);

}  // namespace
}  // namespace moe_abi_tests
