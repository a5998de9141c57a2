// SPDX-License-Identifier: MIT
//
// Weights whose scales and zero points are tensors of their own: what list_tensors says of them, what is refused and
// can be mended, and that a transaction which was mended gives the right layer.
#include <cstddef>
#include <iterator>
#include <string>
#include <vector>

#include "tests/abi/weights_fixture.h"
#include "tests/conformance/random_layer.h"

namespace moe_abi_tests {
namespace {

using moe_conformance::LayerCase;

constexpr uint32_t kRows = 32, kColumns = 48;

// 4 experts; up and gate int4 in groups of 16 with stored zero points, down fp8 in blocks of 128 x 128.
LayerCase affine_layer() {
  LayerCase c = moe_conformance::softmax_layer(4, 2, kColumns, kRows, 5, moe_conformance::Random(12));
  c.desc.gate_format = c.desc.up_format = {MOE_ELEMENT_INT, 4, 16, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0};
  c.desc.down_format = {MOE_ELEMENT_FP8_E4M3, 8, 128, 128, MOE_SCALE_F32, 0, 0, 0};
  moe_conformance::Random random(13);
  c.weights = {};
  c.inputs = {};
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

class AffineWeightsTest : public OpenUploadTest {
 protected:
  AffineWeightsTest() { small_ = affine_layer(); }

  void refused(const moe_tensor_source& source, moe_status code, const char* argument, const char* words) {
    moe_error error = dirty_error();
    const moe_status status = api().add_tensor(upload_, &source, &error);
    EXPECT_TRUE(failed_with(status, error, code, argument, words)) << source.name;
  }
};
MOE_ON_BOTH_DEVICES(AffineWeightsTest);

TEST_P(AffineWeightsTest, TheListHasThePartsBeforeTheirMatrix) {
  uint32_t count = 0;
  EXPECT_WORKS(api().list_tensors(device_, &small_.desc, nullptr, &count, &error));
  std::vector<moe_tensor_info> infos(count, moe_init<moe_tensor_info>());
  EXPECT_WORKS(api().list_tensors(device_, &small_.desc, infos.data(), &count, &error));
  const struct {
    const char* name;
    uint32_t rows, columns, dtype;
    uint64_t bytes;
  } expected[] = {{"experts.gate.scale", kRows, 3, MOE_DTYPE_F16, 4 * kRows * 3 * 2},
                  {"experts.gate.zero", kRows, 3, MOE_DTYPE_BLOCKS, 4 * kRows * 2},  // three halves of a byte
                  {"experts.gate", kRows, kColumns, MOE_DTYPE_BLOCKS, 4 * kRows * kColumns / 2},
                  {"experts.up.scale", kRows, 3, MOE_DTYPE_F16, 4 * kRows * 3 * 2},
                  {"experts.up.zero", kRows, 3, MOE_DTYPE_BLOCKS, 4 * kRows * 2},
                  {"experts.up", kRows, kColumns, MOE_DTYPE_BLOCKS, 4 * kRows * kColumns / 2},
                  {"experts.down.scale", 1, 1, MOE_DTYPE_F32, 4 * 4},
                  {"experts.down", kColumns, kRows, MOE_DTYPE_BLOCKS, 4 * kRows * kColumns}};
  ASSERT_EQ(infos.size(), 1 + std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    const moe_tensor_info& info = infos[i + 1];  // behind router.weight
    EXPECT_STREQ(info.name, expected[i].name);
    EXPECT_EQ(info.experts, 4u) << info.name;
    EXPECT_EQ(info.rows, expected[i].rows) << info.name;
    EXPECT_EQ(info.columns, expected[i].columns) << info.name;
    EXPECT_EQ(info.dtype, expected[i].dtype) << info.name;
    EXPECT_EQ(info.bytes, expected[i].bytes) << info.name;
  }
}

TEST_P(AffineWeightsTest, CodesBeforeTheirPartsAreRefusedAndMayComeAgain) {
  const moe_tensor_source gate = good("experts.gate");
  refused(gate, MOE_ERROR_STATE, "source.name", "experts.gate.scale");
  add(good("experts.gate.scale"));
  refused(gate, MOE_ERROR_STATE, "source.name", "experts.gate.zero");
  moe_tensor_source zeros = good("experts.gate.zero");
  zeros.expert_count = 2;  // of experts 0 and 1
  zeros.bytes /= 2;
  add(zeros);
  refused(gate, MOE_ERROR_STATE, "source.name", "expert 2");  // 0 and 1 are stored
  refused(gate, MOE_ERROR_INVALID_ARGUMENT, "source.expert_first", "expert 0");
  zeros.expert_first = 2;
  zeros.memory = static_cast<const std::byte*>(zeros.memory) + zeros.bytes;
  add(zeros);
  moe_tensor_source rest = gate;
  rest.expert_first = rest.expert_count = 2;
  rest.bytes /= 2;
  rest.memory = static_cast<const std::byte*>(gate.memory) + rest.bytes;
  add(rest);
  add_all_but("experts.gate");
  commit_and_check();
}

TEST_P(AffineWeightsTest, MalformedPartsAreRefused) {
  moe_tensor_source scale = good("experts.up.scale");
  scale.dtype = MOE_DTYPE_F32;
  refused(scale, MOE_ERROR_INVALID_ARGUMENT, "source.dtype", "f16");
  scale = good("experts.up.scale");
  scale.bytes -= 2;
  refused(scale, MOE_ERROR_INVALID_ARGUMENT, "source.bytes", "bytes given");
  moe_tensor_source zero = good("experts.up.zero");
  zero.bytes = zero.bytes / 2 * 3;  // a byte for each zero point
  refused(zero, MOE_ERROR_INVALID_ARGUMENT, "source.bytes", "256");
  zero = good("experts.up.zero");
  zero.dtype = MOE_DTYPE_F32;
  refused(zero, MOE_ERROR_INVALID_ARGUMENT, "source.dtype", "uint4");
  moe_tensor_source codes = good("experts.down");
  codes.dtype = MOE_DTYPE_F16;
  refused(codes, MOE_ERROR_INVALID_ARGUMENT, "source.dtype", "e4m3");
  codes = good("experts.down");
  codes.name = "experts.down.zero";  // fp8 has none
  refused(codes, MOE_ERROR_INVALID_ARGUMENT, "source.name", "no tensor");
  moe_tensor_source router = good("router.weight");
  router.dtype = MOE_DTYPE_BLOCKS;
  router.format = small_.desc.up_format;
  refused(router, MOE_ERROR_INVALID_ARGUMENT, "source.format", "no block format");
  add(good("experts.up.scale"));
  refused(good("experts.up.scale"), MOE_ERROR_INVALID_ARGUMENT, "source.expert_first", "added before");
  moe_layer* layer = nullptr;
  EXPECT_FAILS(STATE, "router.weight", "missing", api().commit_weights(upload_, &layer, &error));
}

// Bound in the wrong order: parts are copied first. Codes cannot be used where they lie.
TEST_P(AffineWeightsTest, BindingsAreCopiedPartsFirst) {
  cancel();
  std::vector<moe_tensor_binding> bindings;
  for (const char* name : {"experts.down", "experts.down.scale"}) {
    const moe_tensor_source source = good(name);
    moe_tensor_binding binding = MOE_INIT(moe_tensor_binding);
    binding.tensor = name;
    binding.buffer = make_buffer(source.bytes);
    EXPECT_WORKS(api().write_buffer(binding.buffer, 0, source.memory, source.bytes, &error));
    bindings.push_back(binding);
  }
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.bindings = bindings.data();
  desc.binding_count = 1;
  EXPECT_FAILS(STATE, "source.name", "experts.down.scale",
               api().begin_weights(device_, &small_.desc, &desc, &upload_, &error));
  desc.binding_count = 2;
  bindings[0].flags = MOE_BINDING_MUST_NOT_COPY;
  EXPECT_FAILS(UNSUPPORTED, "upload.bindings", "experts.down",
               api().begin_weights(device_, &small_.desc, &desc, &upload_, &error));
  bindings[0].flags = 0;
  begin(&desc);
  add_all_but("experts.down");
  commit_and_check();
}

}  // namespace
}  // namespace moe_abi_tests
