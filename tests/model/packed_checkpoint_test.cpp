// SPDX-License-Identifier: MIT
//
// GPTQ, AWQ and compressed-tensors checkpoints: what is read of config.json and tensors, words turned over, and what is
// refused. That the numbers are right is tests/real_model/packed_checkpoint_test.cpp's business, with a generator that
// shares no code.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/model/opened_checkpoint.h"
#include "tests/model/sample_packed.h"
#include "tests/model/touch_checkpoint.h"

namespace moevk::model {
namespace {

const char* const kMethods[] = {"gptq", "awq", "compressed-tensors"};

// The layer's answer to the first problem: an error, a refusal or a failure to repack.
std::string complaint(const SampleCheckpoint& sample) {
  const OpenedCheckpoint opened(sample);
  if (!opened.model) return opened.model.error().text();
  const MoeLayer& layer = opened.model->layers[0];
  if (!layer.refusal.empty()) return layer.refusal;
  for (const TensorSource& source : layer.tensors) {
    std::vector<std::byte> own;
    const auto handed = upload_source(*opened.checkpoint, source, own);
    if (!handed) return handed.error().text();
  }
  return "";
}

void expect_complaint(const SampleCheckpoint& sample, const std::string& part) {
  EXPECT_NE(complaint(sample).find(part), std::string::npos) << part << ", not: " << complaint(sample);
}

SampleCheckpoint with_config(const char* method, const std::string& from, const std::string& to) {
  SampleCheckpoint sample = sample_packed_checkpoint(method);
  sample.config = replaced(sample.config, from, to);
  return sample;
}

// The header's text changed, the data kept.
std::string complaint_about(const char* method, const std::string& from, const std::string& to) {
  const SampleCheckpoint sample = sample_packed_checkpoint(method);
  const auto bytes = SafetensorsWriter::file(replaced(sample.file.header(), from, to), sample.file.data());
  const auto checkpoint = Checkpoint::parse(bytes_of(sample.config), {}, {{"model.safetensors", bytes}});
  if (!checkpoint) return checkpoint.error().text();
  const auto model = find_moe_layers(*checkpoint);
  return !model ? model.error().text() : model->layers[0].refusal;
}

void expect_complaint_about(const char* method, const std::string& from, const std::string& to,
                            const std::string& part) {
  const std::string text = complaint_about(method, from, to);
  EXPECT_NE(text.find(part), std::string::npos) << part << ", not: " << text;
}

TEST(PackedCheckpoint, ScalesAndZeroPointsGoBeforeCodes) {
  for (const char* method : kMethods) {
    const OpenedCheckpoint opened(sample_packed_checkpoint(method));
    ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
    EXPECT_NE(opened.model->packing.find(" int4 in groups of 16, with zero points"), std::string::npos);
    const MoeLayer& layer = opened.model->layers[0];
    EXPECT_EQ(layer.refusal, "");
    for (const moe_weight_format& format : {layer.desc.gate_format, layer.desc.up_format, layer.desc.down_format}) {
      EXPECT_EQ(format.element, MOE_ELEMENT_INT);
      EXPECT_EQ(format.bits, 4u);
      EXPECT_EQ(format.block_columns, kPackedGroup);
      EXPECT_EQ(format.zero_point, MOE_ZERO_POINT_STORED);
      EXPECT_EQ(format.scale, std::string(method) == "compressed-tensors" ? MOE_SCALE_BF16 : MOE_SCALE_F16);
    }
    ASSERT_EQ(layer.tensors.size(), 1 + 2 * 3 * 3u);
    for (size_t i = 1; i < layer.tensors.size(); i += 3) {
      const std::string name = layer.tensors[i + 2].name;
      EXPECT_EQ(layer.tensors[i].name, name + ".scale");
      EXPECT_EQ(layer.tensors[i + 1].name, name + ".zero");
      const uint64_t codes = kPackedHidden * kPackedWidth / 2, groups = codes * 2 / kPackedGroup;
      const uint64_t outputs = name == "experts.down" ? kPackedHidden : kPackedWidth;
      const uint64_t bytes[3] = {groups * 2, outputs, codes};
      for (size_t part = 0; part < 3; ++part) {
        std::vector<std::byte> own;
        const auto handed = upload_source(*opened.checkpoint, layer.tensors[i + part], own);
        ASSERT_TRUE(handed.ok()) << handed.error().text();
        EXPECT_EQ(handed->bytes, bytes[part]) << layer.tensors[i + part].name;
      }
    }
    // Scales, zero points and indices are no parameters.
    const uint64_t expert = 3 * kPackedHidden * kPackedWidth, router = kPackedExperts * kPackedHidden;
    EXPECT_EQ(opened.model->totals.moe_parameters, kPackedExperts * expert + router);
    EXPECT_EQ(opened.model->totals.parameters, kPackedExperts * expert + router + 5 * kPackedHidden);
  }
}

// Words by hand: outputs 0 and 1 of inputs 0 to 7.
TEST(PackedCheckpoint, WordsAreTurnedOver) {
  const auto words = [](const Repacking& repacking, const std::vector<uint32_t>& stored) {
    const auto out = repacked(repacking, bytes_of_words(stored));
    EXPECT_TRUE(out.ok());
    std::vector<uint32_t> numbers(out->size() / 4);
    std::memcpy(numbers.data(), out->data(), out->size());
    return numbers;
  };
  using Words = std::vector<uint32_t>;
  // GPTQ [16 / 8, 3]: a word is eight inputs of one output already.
  EXPECT_EQ(words({WordOrder::words_of_inputs, 4, 3, 16}, {1, 2, 3, 4, 5, 6}), (Words{1, 4, 2, 5, 3, 6}));
  // AWQ [8, 8 / 8]: input i has the number o at output o, but for input 3, which has 15 everywhere.
  const uint32_t word = 0x75316420;  // outputs 0 2 4 6 1 3 5 7 from the lowest bits on
  EXPECT_EQ(words({WordOrder::awq_codes, 4, 8, 8}, {word, word, word, 0xFFFFFFFF, word, word, word, word}),
            (Words{0x0000F000, 0x1111F111, 0x2222F222, 0x3333F333, 0x4444F444, 0x5555F555, 0x6666F666, 0x7777F777}));
  // Zero points of one group: a byte each with groups, packed without.
  Repacking zeros{WordOrder::awq_zeros, 4, 8, 1, true};
  EXPECT_EQ(words(zeros, {word}), (Words{0x76543210}));
  zeros.order = WordOrder::zeros_by_group;
  zeros.less_one = true;
  EXPECT_EQ(words(zeros, {0x76543210}), (Words{0x87654321}));
  zeros.whole_rows = false;
  EXPECT_EQ(words(zeros, {0x76543210}), (Words{0x04030201, 0x08070605}));
  zeros.order = WordOrder::zeros_by_output;
  zeros.less_one = false;
  zeros.columns = 2;
  EXPECT_EQ(words(zeros, {0x76543210, 0xFEDCBA98}), (Words{0xB3A29180, 0xF7E6D5C4}));
}

TEST(PackedCheckpoint, ZeroPointsThatCannotBeMeantAreRefused) {
  expect_complaint(sample_packed_checkpoint("gptq", {}, 0x7777F777), "a zero point of 0 or of 16");
  SampleCheckpoint v2 = sample_packed_checkpoint("gptq", {}, 0x7777F777);
  v2.config = replaced(v2.config, "\"sym\"", "\"checkpoint_format\":\"gptq_v2\",\"sym\"");
  EXPECT_EQ(complaint(v2), "");
  // Symmetric: the middle, stored less 1, or as some writers do it.
  for (const uint32_t zeros : {0x77777777u, 0x88888888u, 0x77777757u}) {
    SampleCheckpoint symmetric = sample_packed_checkpoint("gptq", {}, zeros);
    symmetric.config = replaced(symmetric.config, "\"sym\":false", "\"sym\":true");
    if (zeros == 0x77777757u) {
      expect_complaint(symmetric, "has the zero point 6");
      continue;
    }
    const OpenedCheckpoint opened(symmetric);
    std::vector<std::byte> own;
    const auto handed = upload_source(*opened.checkpoint, opened.model->layers[0].tensors[2], own);
    ASSERT_TRUE(handed.ok()) << handed.error().text();
    EXPECT_TRUE(std::all_of(own.begin(), own.end(), [](std::byte b) { return b == std::byte{0x88}; }));
  }
}

TEST(PackedCheckpoint, GroupsInOrderOfActivationAreRefused) {
  std::vector<uint32_t> order(kPackedHidden);
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i / kPackedGroup);
  EXPECT_EQ(complaint(sample_packed_checkpoint("gptq", order)), "");
  SampleCheckpoint plain = sample_packed_checkpoint("gptq", order);  // groups may still be in order
  plain.config = replaced(plain.config, "\"desc_act\":false", "\"desc_act\":true");
  EXPECT_EQ(complaint(plain), "");
  std::swap(order[3], order[20]);
  expect_complaint(sample_packed_checkpoint("gptq", order),
                   "w1.g_idx puts input 3 into group 1, not 0: groups in order");
}

TEST(PackedCheckpoint, RefusesConfigs) {
  const auto refused = [](const char* method, const char* from, const char* to, const char* part) {
    expect_complaint(with_config(method, from, to), part);
  };
  refused("gptq", "\"quant_method\":\"gptq\"", "\"quant_method\":\"bitsandbytes\"", "'bitsandbytes' is not read yet");
  refused("gptq", "\"bits\":4", "\"bits\":3", "quantization_config.bits: is none of 2, 4 and 8");
  refused("gptq", "\"bits\":4,", "", "bits: is missing");
  refused("gptq", "\"group_size\":16", "\"group_size\":48", "group_size: is neither a power of two");
  refused("gptq", "\"group_size\":16,", "", "group_size: is missing");
  refused("gptq", "\"sym\":false", "\"sym\":0", "sym: is neither true nor false");
  refused("gptq", "\"sym\"", "\"checkpoint_format\":\"marlin\",\"sym\"", "'marlin' is not read yet");
  refused("awq", "\"bits\":4", "\"bits\":8", "bits: is not 4");
  refused("awq", "\"gemm\"", "\"gemv\"", "'gemv' is not read yet");
  refused("awq", "\"zero_point\":true", "\"zero_point\":false", "zero_point: is false");
  const char* const ct = "compressed-tensors";
  refused(ct, "pack-quantized", "float-quantized", "'float-quantized' is not read yet");
  refused(ct, "{\"g\":", "{\"h\":{},\"g\":", "config_groups: is not one group");
  refused(ct, "{\"weights\"", "{\"input_activations\":{},\"weights\"", "input_activations: is given");
  refused(ct, "\"type\":\"int\"", "\"type\":\"float\"", "type: 'float' is not read yet");
  refused(ct, "\"strategy\":\"group\"", "\"strategy\":\"block\"", "strategy: 'block' is not read");
}

TEST(PackedCheckpoint, RefusesTensors) {
  const std::string expert = "model.layers.0.block_sparse_moe.experts.0.w1";
  const auto missing = [&](const char* method, const std::string& part) {
    expect_complaint_about(method, expert + "." + part + "\"", "model.other\"", "is missing");
  };
  missing("gptq", "scales");
  missing("gptq", "qzeros");
  missing("awq", "qzeros");
  missing("awq", "qweight");
  missing("compressed-tensors", "weight_scale");
  missing("compressed-tensors", "weight_shape");
  missing("compressed-tensors", "weight_zero_point");
  // [in / 8, out] = [4, 16], transposed
  expect_complaint_about("gptq", expert + ".qweight\":{\"dtype\":\"I32\",\"shape\":[4,16]",
                         expert + ".qweight\":{\"dtype\":\"I32\",\"shape\":[16,4]", "has the shape [16, 4]");
  expect_complaint_about("gptq", expert + ".qweight\":{\"dtype\":\"I32\"", expert + ".qweight\":{\"dtype\":\"F32\"",
                         "is f32, not i32");
  expect_complaint_about("awq", expert + ".scales\":{\"dtype\":\"F16\"", expert + ".scales\":{\"dtype\":\"I16\"",
                         "is i16; f16 and bf16 are read");
  expect_complaint_about("awq", expert + ".scales\":{\"dtype\":\"F16\"", expert + ".scales\":{\"dtype\":\"BF16\"",
                         "experts of a layer must have one format");
  // Words that nothing explains, and a packed router.
  expect_complaint(with_config("gptq", "\"quantization_config\"", "\"other\""), "w1.qweight is there, but packed");
  expect_complaint_about("awq", "block_sparse_moe.gate.weight\"", "block_sparse_moe.gate.qweight\"",
                         "gate.qweight: a packed router is not read");
  // Another group than the tensors have, and one that does not divide a row.
  expect_complaint(with_config("awq", "\"group_size\":16", "\"group_size\":-1"), "scales: has the shape [2, 16]");
  expect_complaint(with_config("gptq", "\"group_size\":16", "\"group_size\":64"),
                   "rows of 32 are no multiple of a group of 64");
}

// Every byte of config and header bent in two ways: read or refused, never worse.
TEST(PackedCheckpoint, BentBytesAreReadOrRefused) {
  for (const char* method : kMethods) {
    const SampleCheckpoint sample = sample_packed_checkpoint(method);
    std::vector<std::byte> bytes = checkpoint_seed(sample.config, "", sample.file.bytes());
    ASSERT_TRUE(touch_checkpoint(bytes)) << method;
    const size_t end = kSeedPrefix + sample.config.size() + 8 + sample.file.header().size();
    size_t refused = 0;
    for (size_t at = 0; at < end; ++at) {
      for (const std::byte bend : {std::byte{0x01}, std::byte{0x80}}) {
        bytes[at] ^= bend;
        refused += touch_checkpoint(bytes) ? 0 : 1;
        bytes[at] ^= bend;
      }
    }
    EXPECT_GT(refused, end) << method;
  }
}

}  // namespace
}  // namespace moevk::model
