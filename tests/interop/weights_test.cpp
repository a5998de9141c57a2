// SPDX-License-Identifier: MIT
//
// Weights that already lie in a host's VkBuffer: used where they are when their layout fits, else copied or refused
// with the reason. Results are those of uploaded weights, to the bit, with and without device addresses.
#include <cstdlib>
#include <cstring>

#include "tests/conformance/random_layer.h"
#include "tests/interop/interop_fixture.h"

namespace moe_interop {
namespace {

using moe_conformance::LayerCase;
using moe_conformance::PackedTensor;

class InPlace : public InteropTest {
 protected:
  // The whole layer with its matrices in one buffer of `host`, each `gap` bytes behind the one before.
  moe_layer* bind(moe_device* device, VulkanHost& host, const LayerCase& c, uint64_t gap, uint32_t flags,
                  moe_error* error) {
    const std::vector<PackedTensor> tensors = moe_conformance::pack_tensors(c);
    uint64_t bytes = gap;
    for (const PackedTensor& t : tensors) bytes += t.bytes.size() + gap;
    buffer_ = host.create_buffer(bytes + 4096);
    moe_buffer* shared = import_buffer(&memory(), device, buffer_, 0, buffer_.bytes);
    std::vector<moe_tensor_binding> bindings;
    uint64_t at = gap;
    for (const PackedTensor& t : tensors) {
      if (t.name.find("experts.") != 0 && t.name.find("shared.") != 0) continue;
      if (t.rows < 2) continue;
      std::memcpy(buffer_.mapped + at, t.bytes.data(), t.bytes.size());
      moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
      binding.tensor = t.name.c_str();
      binding.buffer = shared;
      binding.offset_bytes = at;
      binding.flags = flags;
      bindings.push_back(binding);
      at += t.bytes.size() + gap;
    }
    moe_upload_desc desc = MOE_INIT(moe_upload_desc);
    desc.bindings = bindings.data();
    desc.binding_count = static_cast<uint32_t>(bindings.size());
    moe_upload* upload = nullptr;
    moe_status status = api().begin_weights(device, &c.desc, &desc, &upload, error);
    api().destroy_buffer(shared);  // the upload and the layer hold it
    if (status != MOE_OK) return nullptr;
    for (const PackedTensor& t : tensors) {
      bool bound = false;
      for (const moe_tensor_binding& b : bindings) bound = bound || t.name == b.tensor;
      if (bound) continue;
      moe_tensor_source source = MOE_INIT(moe_tensor_source);
      source.name = t.name.c_str();
      source.dtype = t.dtype;
      source.memory = t.bytes.data();
      source.bytes = t.bytes.size();
      EXPECT_EQ(api().add_tensor(upload, &source, error), MOE_OK) << error->text;
    }
    moe_layer* layer = nullptr;
    EXPECT_EQ(api().commit_weights(upload, &layer, error), MOE_OK) << error->text;
    return layer;
  }
  moe_layer_info info(moe_layer* layer) {
    moe_layer_info result = MOE_INIT(moe_layer_info);
    EXPECT_OK(api().get_layer_info(layer, &result, &error));
    return result;
  }
  void expect_same_bits(moe_device* device, VulkanHost& host, const LayerCase& c, uint64_t gap, bool in_place) {
    const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
    const uint64_t uploaded = info(layers_.back()).weight_bytes;
    moe_error error = MOE_INIT(moe_error);
    moe_layer* layer = bind(device, host, c, gap, in_place ? MOE_BINDING_MUST_NOT_COPY : 0, &error);
    ASSERT_NE(layer, nullptr) << error.argument << ": " << error.text;
    EXPECT_EQ(run_on_context(device, layer, c), expected);
    const moe_layer_info got = info(layer);
    EXPECT_EQ(got.in_place_bytes != 0, in_place);
    if (in_place) {
      EXPECT_LE(got.weight_bytes + got.in_place_bytes / 2, uploaded) << "held twice";
    }
    api().destroy_layer(layer);
    host.destroy_buffer(buffer_);
  }
  VulkanHost::Buffer buffer_;
};

TEST_F(InPlace, SeparateConcatenatedAndSharedGiveTheSameBits) {
  for (const uint32_t gate_up : {MOE_GATE_UP_SEPARATE, MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_CONCATENATED_UP_FIRST}) {
    for (const uint64_t tokens : {3, 40}) {
      LayerCase c = make_case(6, 2, 48, 32, tokens, 12);
      c.desc.gate_up_layout = gate_up;
      c.desc.shared_intermediate = 48;  // not a multiple of F: a segment of its own
      moe_conformance::Random random(5);
      moe_conformance::draw_weights(c, random);
      expect_same_bits(imported_, *host_, c, 16, true);
      expect_same_bits(imported_, *host_, c, 4096, true);
    }
  }
}

TEST_F(InPlace, WindowsReadThemTooAcrossSeveralPasses) {
  HostOptions floor;
  floor.device_addresses = floor.recommended_extensions = false;
  setenv("MOEVK_LIMITS", "max_storage_buffer_range=1048576", 1);
  moe_instance* instance = nullptr;
  const moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  EXPECT_OK(api().create_instance(&desc, &instance, &error));
  unsetenv("MOEVK_LIMITS");
  VulkanHost host(&interop(), floor, uuid_);
  moe_device* device = host.import(instance);
  expect_same_bits(device, host, make_case(6, 2, 48, 32, 40, 12), 16, true);
  // Experts of 1.5 MB: pieces, windows that begin before their first piece, several binding passes.
  expect_same_bits(device, host, make_case(12, 2, 384, 1024, 5, 12), 80, true);
  api().close_device(device);
  api().destroy_instance(instance);
}

TEST_F(InPlace, WhatDoesNotFitIsCopiedOrRefusedWithTheReason) {
  moe_error error = MOE_INIT(moe_error);
  const auto refused = [&](const LayerCase& c, uint64_t gap, const char* words) {
    EXPECT_EQ(bind(imported_, *host_, c, gap, MOE_BINDING_MUST_NOT_COPY, &error), nullptr);
    EXPECT_EQ(error.code, MOE_ERROR_UNSUPPORTED);
    EXPECT_NE(std::string(error.text).find(words), std::string::npos) << error.text;
    host_->destroy_buffer(buffer_);
    expect_same_bits(imported_, *host_, c, gap, false);
  };
  refused(make_case(6, 2, 40, 24, 4, 12), 16, "no multiple of 16");
  refused(make_case(6, 2, 48, 32, 4, 12), 4, "multiple of 16 bytes");
  LayerCase c = make_case(6, 2, 48, 32, 4, 12);
  c.desc.matrix_order = MOE_MATRIX_IN_OUT;
  refused(c, 16, "[in, out]");
  c = make_case(6, 2, 64, 32, 4, 12);
  c.desc.gate_format.preset = c.desc.up_format.preset = c.desc.down_format.preset = 9;  // Q8_0
  moe_conformance::Random block_random(6);
  moe_conformance::draw_weights(c, block_random);
  refused(c, 16, "packed");
}

TEST_F(InPlace, BadBindingsAreRefused) {
  const LayerCase c = make_case(6, 2, 48, 32, 4, 12);
  const Shared block = share(1 << 20);
  moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.bindings = &binding;
  desc.binding_count = 1;
  moe_upload* upload = nullptr;
  const auto refused = [&](const char* words) {
    EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, words, api().begin_weights(imported_, &c.desc, &desc, &upload, &error));
    EXPECT_EQ(upload, nullptr);
  };
  refused("upload.bindings[0].tensor: is NULL");
  binding.tensor = "experts.up";
  refused("upload.bindings[0].buffer");
  binding.buffer = block.buffer;
  binding.offset_bytes = 1 << 20;
  refused("upload.bindings.offset_bytes");
  binding.offset_bytes = 0;
  binding.tensor = "experts.sideways";
  refused("is no tensor of this layer");
  binding.tensor = "experts.up";
  binding.flags = 4;
  refused("flags");
  binding.flags = 0;
  desc.bindings = nullptr;
  refused("upload.bindings: is NULL");
  moe_tensor_binding twice[2] = {binding, binding};
  desc.bindings = twice;
  desc.binding_count = 2;
  refused("is bound twice");
}

}  // namespace
}  // namespace moe_interop
