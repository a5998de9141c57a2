// SPDX-License-Identifier: MIT
//
// In:  small model files of every family, made in memory, and broken variants.
// Out: their layers' descriptors, tensor sources and totals are right; what is not understood is
//      refused by name.
// Why: a tensor that is forgotten or misread here gives plausible, wrong text later.
#include <gtest/gtest.h>

#include <map>

#include "tests/model/opened_model.h"

namespace moevk::model {
namespace {

void expect_common(const MoeModel& model, uint32_t normalize) {
  ASSERT_EQ(model.layers.size(), 2u);
  EXPECT_EQ(model.name, "sample");
  for (uint32_t i = 0; i < 2; ++i) {
    const MoeLayer& layer = model.layers[i];
    EXPECT_EQ(layer.block, i);
    EXPECT_EQ(layer.refusal, "");
    const moe_layer_desc& d = layer.desc;
    EXPECT_EQ(d.struct_size, sizeof(moe_layer_desc));
    EXPECT_EQ(d.hidden, 8u);
    EXPECT_EQ(d.intermediate, 6u);
    EXPECT_EQ(d.experts, 4u);
    EXPECT_EQ(d.top_k, 2u);
    EXPECT_EQ(d.flags, 0u);
    EXPECT_EQ(d.route_source, MOE_ROUTE_FROM_ROUTER);
    EXPECT_EQ(d.score, MOE_SCORE_SOFTMAX);
    EXPECT_EQ(d.selection, MOE_SELECT_TOP_K);
    EXPECT_EQ(d.weight, MOE_WEIGHT_IDENTITY);
    EXPECT_EQ(d.normalize, normalize);
    EXPECT_EQ(d.activation, MOE_ACTIVATION_SILU);
    EXPECT_EQ(d.gate_up_layout, MOE_GATE_UP_SEPARATE);
    EXPECT_EQ(d.matrix_order, MOE_MATRIX_OUT_IN);
    EXPECT_EQ(d.gate_format.element, MOE_ELEMENT_F16);
    EXPECT_EQ(d.gate_format.preset, 0u);
    EXPECT_EQ(d.down_format.element, MOE_ELEMENT_F16);
  }
}

TEST(MoeModel, Qwen3Moe) {
  const Opened opened(sample_qwen3moe());
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const MoeModel& model = *opened.model;
  expect_common(model, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(model.architecture, "qwen3moe");
  EXPECT_EQ(model.block_count, 2u);
  EXPECT_EQ(model.intermediate, 6u);  // expert_feed_forward_length, not feed_forward_length
  const MoeLayer& layer = model.layers[1];
  ASSERT_EQ(layer.tensors.size(), 4u);
  EXPECT_EQ(layer.desc.shared_intermediate, 0u);
  for (const auto& [abi, name] : std::map<std::string, std::string>{{"router.weight", "blk.1.ffn_gate_inp.weight"},
                                                                    {"experts.gate", "blk.1.ffn_gate_exps.weight"},
                                                                    {"experts.up", "blk.1.ffn_up_exps.weight"},
                                                                    {"experts.down", "blk.1.ffn_down_exps.weight"}}) {
    const TensorSource& found = source(layer, abi);
    EXPECT_EQ(found.tensor->name, name);
    EXPECT_EQ(found.expert_first, 0u);
    EXPECT_EQ(found.expert_count, abi == "router.weight" ? 0u : 4u);
    EXPECT_EQ(found.dtype, abi == "router.weight" ? MOE_DTYPE_F32 : MOE_DTYPE_F16);
    const moe_tensor_source memory = memory_source(*opened.file, found);
    EXPECT_EQ(memory.struct_size, sizeof(moe_tensor_source));
    EXPECT_STREQ(memory.name, abi.c_str());
    EXPECT_EQ(memory.source, MOE_SOURCE_MEMORY);
    EXPECT_EQ(memory.memory, opened.bytes.data() + opened.file->find_tensor(name)->offset);
    EXPECT_EQ(memory.bytes, found.tensor->bytes);
    const moe_tensor_source file = file_source(*opened.file, found);
    EXPECT_EQ(file.source, MOE_SOURCE_FILE);
    EXPECT_EQ(file.memory, nullptr);
    EXPECT_EQ(file.file_offset, found.tensor->offset);
  }
}

TEST(MoeModel, Qwen2MoeHasAGatedSharedExpert) {
  const Opened opened(sample_qwen2moe());
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  expect_common(*opened.model, MOE_NORMALIZE_NONE);
  EXPECT_EQ(opened.model->shared_intermediate, 10u);
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(layer.desc.shared_intermediate, 10u);
  EXPECT_EQ(layer.desc.shared_gate, MOE_SHARED_GATE_SIGMOID);
  EXPECT_EQ(layer.desc.shared_gate_format.element, MOE_ELEMENT_BF16);
  EXPECT_EQ(layer.desc.shared_up_format.element, MOE_ELEMENT_F32);
  EXPECT_EQ(layer.desc.shared_down_format.element, MOE_ELEMENT_F16);
  ASSERT_EQ(layer.tensors.size(), 8u);
  EXPECT_EQ(source(layer, "shared.router").tensor->name, "blk.0.ffn_gate_inp_shexp.weight");
  EXPECT_EQ(source(layer, "shared.gate").dtype, MOE_DTYPE_BF16);
  EXPECT_EQ(source(layer, "shared.up").dtype, MOE_DTYPE_F32);
  EXPECT_EQ(source(layer, "shared.down").tensor->shape_text(), "[10, 8]");
  EXPECT_EQ(source(layer, "shared.down").expert_count, 0u);
}

TEST(MoeModel, OlmoeDoesNotRenormalise) {
  const Opened opened(sample_olmoe());
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  expect_common(*opened.model, MOE_NORMALIZE_NONE);
}

TEST(MoeModel, MixtralStacked) {
  const Opened opened(sample_mixtral(false));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  expect_common(*opened.model, MOE_NORMALIZE_SUM_EPS);
  EXPECT_EQ(opened.model->layers[0].tensors.size(), 4u);
}

TEST(MoeModel, MixtralWithATensorPerExpert) {
  const Opened opened(sample_mixtral(true));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  expect_common(*opened.model, MOE_NORMALIZE_SUM_EPS);
  const MoeLayer& layer = opened.model->layers[1];
  ASSERT_EQ(layer.tensors.size(), 1u + 3u * 4u);
  for (uint32_t e = 0; e < 4; ++e) {
    const TensorSource up = source(layer, "experts.up", e);
    EXPECT_EQ(up.tensor->name, "blk.1.ffn_up." + std::to_string(e) + ".weight");
    EXPECT_EQ(up.expert_count, 1u);
  }
  const Opened stacked(sample_mixtral(false));
  EXPECT_EQ(layer.parameters, stacked.model->layers[1].parameters);
  EXPECT_EQ(layer.bytes_per_token, stacked.model->layers[1].bytes_per_token);
}

TEST(MoeModel, RouterInBlocksIsHandedOnAsBlocks) {
  SampleShape shape;
  shape.hidden = 32;
  shape.router_type = 8;  // Q8_0
  const Opened opened(sample_qwen3moe(shape));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(layer.refusal, "");
  const TensorSource router = source(layer, "router.weight");
  const moe_tensor_source handed = memory_source(*opened.file, router);
  EXPECT_EQ(handed.dtype, MOE_DTYPE_BLOCKS);
  EXPECT_EQ(handed.format.preset, 1u + shape.router_type);
  EXPECT_EQ(handed.bytes, 34u * shape.experts);
  const moe_tensor_source matrix = memory_source(*opened.file, source(layer, "experts.up"));
  EXPECT_EQ(matrix.format.preset, 0u);  // which the descriptor has
}

TEST(MoeModel, TotalsByHand) {
  const Opened opened(sample_qwen2moe());
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const ModelTotals& t = opened.model->totals;
  // A block: router 8*4 f32, experts 3*4*48 f16, shared router 8 f32, shared 80 bf16 + 80 f32 + 80
  // f16, norm 8 f32.
  const uint64_t moe = 32 + 576 + 8 + 240;
  const uint64_t moe_bytes = 128 + 1152 + 32 + 160 + 320 + 160;
  EXPECT_EQ(opened.model->layers[0].parameters, moe);
  EXPECT_EQ(opened.model->layers[0].bytes, moe_bytes);
  EXPECT_EQ(opened.model->layers[0].active_parameters, moe - 288);
  EXPECT_EQ(opened.model->layers[0].bytes_per_token, moe_bytes - 576);
  EXPECT_EQ(t.moe_parameters, 2 * moe);
  EXPECT_EQ(t.moe_bytes_per_token, 2 * (moe_bytes - 576));
  // Besides: embedding 40 f16, output norm 8 f32, output 40 f16.
  const uint64_t rest_bytes = 80 + 32 + 80 + 2 * 32;
  EXPECT_EQ(t.parameters, 2 * moe + 40 + 8 + 40 + 2 * 8);
  EXPECT_EQ(t.active_parameters, t.parameters - 2 * 288);
  EXPECT_EQ(t.bytes, 2 * moe_bytes + rest_bytes);
  EXPECT_EQ(t.bytes_per_token, t.bytes - 2 * 576 - 4 * 16);  // one of five embedding rows
  ASSERT_EQ(t.types.size(), 3u);
  EXPECT_STREQ(t.types[0].type->name, "f16");
  uint64_t bytes = 0;
  for (const TypeTotal& total : t.types) {
    bytes += total.bytes;
  }
  EXPECT_EQ(bytes, t.bytes);
}

TEST(MoeModel, TiedEmbeddingsAreReadInFull) {
  SampleShape shape;
  shape.blocks = 1;
  GgufWriter file;
  sample_metadata(file, "olmoe", shape);
  file.u32("olmoe.feed_forward_length", shape.intermediate).tensor("token_embd.weight", {8, 5});
  sample_stacked_block(file, 0, shape);
  const Opened opened(file);
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  EXPECT_EQ(opened.model->totals.bytes_per_token, opened.model->totals.bytes - 576);
}

TEST(MoeModel, QuantisedWeightsAreHandedOnAsTheyAre) {
  SampleShape shape;
  shape.hidden = 64;
  shape.intermediate = 32;
  shape.type = 8;
  const Opened opened(sample_qwen3moe(shape));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const MoeLayer& layer = opened.model->layers[1];
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.desc.gate_format.preset, 9u);
  EXPECT_EQ(layer.desc.down_format.preset, 9u);
  for (const TensorSource& source : layer.tensors) {
    const bool expert = source.name.starts_with("experts.");
    EXPECT_EQ(source.dtype, expert ? MOE_DTYPE_BLOCKS : MOE_DTYPE_F32) << source.name;
    EXPECT_EQ(memory_source(*opened.file, source).bytes, source.tensor->bytes);
  }
  EXPECT_EQ(layer.bytes, 64u * 4 * 4 + 3u * 4 * 64 * 32 / 32 * 34);
}

TEST(MoeModel, TypesOfActivationsAreRefusedByName) {
  SampleShape shape;
  shape.hidden = 64;
  shape.intermediate = 32;
  shape.type = 9;
  const Opened opened(sample_qwen3moe(shape));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const std::string& refusal = opened.model->layers[1].refusal;
  EXPECT_NE(refusal.find("blk.1.ffn_gate_exps.weight is Q8_1; that is no type of weights"), std::string::npos)
      << refusal;
}

TEST(MoeModel, ExpertWidthFromTheTotalWidth) {
  SampleShape shape;
  GgufWriter file;
  sample_metadata(file, "qwen3moe", shape);
  file.u32("qwen3moe.feed_forward_length", shape.intermediate * shape.top_k);
  sample_stacked_block(file, 0, shape);
  sample_stacked_block(file, 1, shape);
  const Opened opened(file);
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  EXPECT_EQ(opened.model->intermediate, 6u);
}

TEST(MoeModel, DenseBlocksBetween) {
  SampleShape shape;
  shape.blocks = 3;
  GgufWriter file;
  sample_metadata(file, "qwen3moe", shape);
  file.u32("qwen3moe.expert_feed_forward_length", shape.intermediate);
  sample_stacked_block(file, 0, shape);
  file.tensor("blk.1.ffn_gate.weight", {8, 20}).tensor("blk.1.ffn_up.weight", {8, 20});
  file.tensor("blk.1.ffn_down.weight", {20, 8});
  sample_stacked_block(file, 2, shape);
  const Opened opened(file);
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  ASSERT_EQ(opened.model->layers.size(), 2u);
  EXPECT_EQ(opened.model->layers[1].block, 2u);
}

TEST(MoeModel, OneExpertOfOneRenormalises) {
  SampleShape shape;
  shape.top_k = 1;
  const Opened opened(sample_mixtral(false, shape));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  EXPECT_EQ(opened.model->layers[0].desc.flags, MOE_LAYER_NORMALIZE_SINGLE);
}

TEST(MoeModel, OneNumberABlock) {
  SampleShape shape;
  GgufWriter file;
  file.string("general.architecture", "olmoe").u32("olmoe.block_count", 2).u32("olmoe.embedding_length", 8);
  file.u32("olmoe.expert_count", 4).u32("olmoe.expert_used_count", 2);
  GgufWriter different = file;
  file.array<uint32_t>("olmoe.feed_forward_length", ValueType::u32, {6, 6});
  different.array<uint32_t>("olmoe.feed_forward_length", ValueType::u32, {6, 7});
  sample_stacked_block(file, 0, shape);
  sample_stacked_block(file, 1, shape);
  EXPECT_TRUE(Opened(file).model.ok());
  expect_refused(different, "olmoe.feed_forward_length", "block to block");
}

TEST(MoeModel, WrongShapesNameTheTensorAndBothShapes) {
  SampleShape shape;
  shape.blocks = 1;
  const auto with = [&](const char* wrong, std::vector<uint64_t> ne) {
    GgufWriter file;
    sample_metadata(file, "olmoe", shape);
    file.u32("olmoe.feed_forward_length", shape.intermediate);
    const std::map<std::string, std::vector<uint64_t>> right = {{"blk.0.ffn_gate_inp.weight", {8, 4}},
                                                                {"blk.0.ffn_gate_exps.weight", {8, 6, 4}},
                                                                {"blk.0.ffn_up_exps.weight", {8, 6, 4}},
                                                                {"blk.0.ffn_down_exps.weight", {6, 8, 4}}};
    for (const auto& [name, size] : right) {
      file.tensor(name, name == wrong ? ne : size);
    }
    return file;
  };
  expect_refused(with("blk.0.ffn_gate_inp.weight", {4, 8}), "blk.0.ffn_gate_inp.weight",
                 "has ne [4, 8]; the metadata says [8, 4]");
  expect_refused(with("blk.0.ffn_up_exps.weight", {6, 8, 4}), "blk.0.ffn_up_exps.weight",
                 "has ne [6, 8, 4]; the metadata says [8, 6, 4]");
  expect_refused(with("blk.0.ffn_down_exps.weight", {6, 8, 3}), "blk.0.ffn_down_exps.weight",
                 "has ne [6, 8, 3]; the metadata says [6, 8, 4]");
  expect_refused(with("blk.0.ffn_gate_exps.weight", {48, 4}), "blk.0.ffn_gate_exps.weight",
                 "has ne [48, 4]; the metadata says [8, 6, 4]");
}

TEST(MoeModel, NamesWhatItDoesNotRead) {
  GgufWriter unknown;
  sample_metadata(unknown, "grovemoe", {});
  expect_refused(unknown, "general.architecture",
                 "'grovemoe' has experts, but is not read yet; those read are llama, ");
  GgufWriter dense;
  expect_refused(dense.string("general.architecture", "llama"), "general.architecture",
                 "'llama': no MoE layers (llama.expert_count is absent)");
  GgufWriter zero;
  expect_refused(zero.string("general.architecture", "gemma3").u32("gemma3.expert_count", 0), "general.architecture",
                 "'gemma3': no MoE layers (gemma3.expert_count is 0)");
  GgufWriter none;
  expect_refused(none.u32("x", 1), "general.architecture", "is missing");
  expect_refused(sample_olmoe().scalar<uint16_t>("split.count", ValueType::u16, 3), "split.count",
                 "one of 3 files of a split model");
  expect_refused(sample_olmoe().f32("olmoe.expert_weights_scale", 2.5f), "olmoe.expert_weights_scale", "2.5");
  expect_refused(sample_olmoe().boolean("olmoe.expert_weights_norm", true), "olmoe.expert_weights_norm", "1");
  expect_refused(sample_mixtral(false).u32("llama.expert_gating_func", 2), "llama.expert_gating_func", "2");
  EXPECT_TRUE(Opened(sample_mixtral(false).boolean("llama.expert_weights_norm", true)).model.ok());
  expect_refused(sample_qwen3moe().tensor("blk.1.exp_probs_b.bias", {4}, kGgmlF32), "blk.1.exp_probs_b.bias",
                 "not understood for qwen3moe");
  expect_refused(sample_qwen3moe().tensor("blk.0.ffn_up_exps.bias", {6, 4}), "blk.0.ffn_up_exps.bias",
                 "not understood");
  expect_refused(sample_mixtral(false).tensor("blk.0.ffn_up_shexp.weight", {8, 6}), "blk.0.ffn_up_shexp.weight",
                 "not understood");
}

TEST(MoeModel, BrokenMetadata) {
  SampleShape shape;
  shape.top_k = 5;
  expect_refused(sample_qwen3moe(shape), "qwen3moe.expert_used_count", "5 of 4");
  shape.top_k = 0;
  expect_refused(sample_qwen3moe(shape), "qwen3moe.expert_used_count", "0 is not in");
  shape = {};
  shape.blocks = 0;
  expect_refused(sample_qwen3moe(shape), "qwen3moe.block_count", "0 is not in");
  GgufWriter huge;  // a billion blocks end at the first that is missing
  sample_metadata(huge, "olmoe", {8, 6, 4, 2, 10, 1u << 30, kGgmlF16});
  huge.u32("olmoe.feed_forward_length", 6);
  sample_stacked_block(huge, 0, {});
  expect_refused(huge, "blk.1.ffn_gate_inp.weight", "is missing");
  GgufWriter text;
  text.string("general.architecture", "olmoe").string("olmoe.expert_count", "8").u32("olmoe.block_count", 1);
  expect_refused(text.u32("olmoe.embedding_length", 8), "olmoe.expert_count", "string");
  GgufWriter lone;
  sample_metadata(lone, "olmoe", {});
  expect_refused(lone, "olmoe.feed_forward_length", "is missing");
  GgufWriter hole;
  sample_metadata(hole, "llama", {8, 6, 4, 2, 10, 1, kGgmlF16});
  hole.u32("llama.feed_forward_length", 6).tensor("blk.0.ffn_gate_inp.weight", {8, 4}, kGgmlF32);
  hole.tensor("blk.0.ffn_gate.0.weight", {8, 6}).tensor("blk.0.ffn_gate.2.weight", {8, 6});
  expect_refused(hole, "blk.0.ffn_gate.1.weight", "is missing; expected [8, 6]");
  GgufWriter mixed;
  sample_metadata(mixed, "llama", {8, 6, 2, 1, 10, 1, kGgmlF16});
  mixed.u32("llama.feed_forward_length", 6).tensor("blk.0.ffn_gate_inp.weight", {8, 2}, kGgmlF32);
  mixed.tensor("blk.0.ffn_gate.0.weight", {8, 6}).tensor("blk.0.ffn_gate.1.weight", {8, 6}, kGgmlF32);
  expect_refused(mixed, "blk.0.ffn_gate.1.weight", "must have one type");
}

}  // namespace
}  // namespace moevk::model
