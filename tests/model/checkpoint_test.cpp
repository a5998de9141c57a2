// SPDX-License-Identifier: MIT
//
// Checkpoints: what is read of each family, field by field, and that what does not fit is refused by name.
#include <gtest/gtest.h>

#include <map>

#include "tests/model/opened_checkpoint.h"
#include "tools/model/layer_fields.h"

namespace moevk::model {
namespace {

// "top_k=2 score=softmax ...", without formats.
std::string text_of(const moe_layer_desc& desc) {
  std::string text;
  for (const FieldText& field : set_fields(desc)) {
    if (field.name.ends_with("_format")) continue;
    text += (text.empty() ? "" : " ") + field.name + "=" + field.value;
  }
  return text;
}

void expect_layer(const SampleCheckpoint& sample, const std::string& fields) {
  const OpenedCheckpoint opened(sample);
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  EXPECT_EQ(text_of(opened.model->layers.at(0).desc), fields);
  EXPECT_EQ(opened.model->layers.at(0).refusal, "");
}

void expect_refused(const SampleCheckpoint& sample, const std::string& field, const std::string& part) {
  const OpenedCheckpoint opened(sample);
  ASSERT_FALSE(opened.model.ok()) << field;
  EXPECT_EQ(opened.model.error().field, field) << opened.model.error().text();
  EXPECT_NE(opened.model.error().message.find(part), std::string::npos) << opened.model.error().text();
}

// The sources of one tensor of the ABI, by first expert, as "name in the file [offset from the data]".
std::map<uint32_t, const TensorSource*> sources_of(const MoeLayer& layer, const std::string& name) {
  std::map<uint32_t, const TensorSource*> found;
  for (const TensorSource& source : layer.tensors) {
    if (source.name == name) found[source.expert_first] = &source;
  }
  return found;
}

const std::string kPlain = "hidden=8 intermediate=6 experts=4 top_k=2 route_source=from_router score=softmax ";

TEST(Checkpoint, Mixtral) {
  expect_layer(sample_mixtral_checkpoint(), kPlain + "weight=identity normalize=sum_eps activation=silu");
  const OpenedCheckpoint opened(sample_mixtral_checkpoint());
  const MoeModel& model = *opened.model;
  EXPECT_EQ(model.architecture, "mixtral");
  EXPECT_EQ(model.block_count, 2u);
  ASSERT_EQ(model.layers.size(), 2u);
  const MoeLayer& layer = model.layers[1];
  EXPECT_EQ(layer.block, 1u);
  EXPECT_EQ(layer.tensors.size(), 1u + 3 * 4);
  EXPECT_EQ(layer.desc.gate_format.element, MOE_ELEMENT_BF16);
  const std::map<std::string, std::string> names = {
      {"experts.gate", "w1"}, {"experts.up", "w3"}, {"experts.down", "w2"}};
  for (const auto& [abi, own] : names) {
    const auto sources = sources_of(layer, abi);
    ASSERT_EQ(sources.size(), 4u);
    for (const auto& [expert, source] : sources) {
      EXPECT_EQ(source->expert_count, 1u);
      EXPECT_EQ(source->dtype, MOE_DTYPE_BF16);
      EXPECT_EQ(source->tensor->name,
                "model.layers.1.block_sparse_moe.experts." + std::to_string(expert) + "." + own + ".weight");
    }
  }
  const auto router = sources_of(layer, "router.weight");
  EXPECT_EQ(router.at(0)->tensor->name, "model.layers.1.block_sparse_moe.gate.weight");
  EXPECT_EQ(router.at(0)->dtype, MOE_DTYPE_F32);
  const moe_tensor_source memory = memory_source(*opened.checkpoint, *router.at(0));
  EXPECT_EQ(memory.bytes, 4u * 4 * 8);
  EXPECT_EQ(memory.memory, opened.bytes.data() + router.at(0)->tensor->offset);
}

TEST(Checkpoint, CountsParametersAndBytes) {
  const OpenedCheckpoint opened(sample_mixtral_checkpoint());
  const ModelTotals& totals = opened.model->totals;
  const uint64_t expert = 3 * 8 * 6, router = 4 * 8;
  EXPECT_EQ(totals.moe_parameters, 2 * (4 * expert + router));
  EXPECT_EQ(totals.moe_active_parameters, 2 * (2 * expert + router));
  EXPECT_EQ(totals.moe_bytes, 2 * (4 * expert * 2 + router * 4));
  EXPECT_EQ(totals.parameters, totals.moe_parameters + 2 * 8 + 2 * 40);
  // Of the embeddings one row is read.
  EXPECT_EQ(totals.bytes_per_token, 2 * (2 * expert * 2 + router * 4) + 2 * 16 + 80 + 16);
}

TEST(Checkpoint, FamiliesWithRoutersAndExpertsAlone) {
  const std::string sizes = ",\"moe_intermediate_size\":6,\"num_experts\":4";
  expect_layer(sample_plain("qwen3_moe", sizes + ",\"norm_topk_prob\":true,\"decoder_sparse_step\":1"),
               kPlain + "weight=identity normalize=sum_eps activation=silu");
  expect_layer(sample_plain("qwen3_moe", sizes), kPlain + "weight=identity normalize=none activation=silu");
  expect_layer(sample_plain("olmoe", ",\"intermediate_size\":6,\"num_experts\":4"),
               kPlain + "weight=identity normalize=none activation=silu");
  expect_layer(sample_plain("jamba", ",\"intermediate_size\":6,\"num_experts\":4",
                            {.part = "feed_forward.", .router = "router.weight"}),
               kPlain + "weight=identity normalize=none activation=silu");
  expect_layer(
      sample_plain("deepseek", ",\"moe_intermediate_size\":6,\"n_routed_experts\":4,\"n_shared_experts\":null"),
      kPlain + "weight=identity normalize=none activation=silu");
  expect_layer(
      sample_plain("phimoe", ",\"intermediate_size\":6,\"num_local_experts\":4,\"router_jitter_noise\":0.25",
                   mixtral_names()),
      "hidden=8 intermediate=6 experts=4 top_k=2 route_source=from_router score=identity selection=sparsemixer "
      "weight=identity normalize=none sparsemixer_eps=0.25 activation=silu");
}

TEST(Checkpoint, Qwen2MoeHasAGatedSharedExpert) {
  SampleCheckpoint next = sample_qwen2_moe_checkpoint();
  next.config = replaced(replaced(next.config, "qwen2_moe", "qwen3_next"), ",\"norm_topk_prob\":false", "");
  expect_layer(next,
               kPlain + "weight=identity normalize=sum_eps activation=silu shared_intermediate=10 shared_gate=sigmoid");
  expect_layer(sample_qwen2_moe_checkpoint(),
               kPlain + "weight=identity normalize=none activation=silu shared_intermediate=10 shared_gate=sigmoid");
  const OpenedCheckpoint opened(sample_qwen2_moe_checkpoint());
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(sources_of(layer, "shared.router").at(0)->tensor->name, "model.layers.0.mlp.shared_expert_gate.weight");
  EXPECT_EQ(sources_of(layer, "shared.gate").at(0)->tensor->name, "model.layers.0.mlp.shared_expert.gate_proj.weight");
  EXPECT_EQ(sources_of(layer, "shared.down").at(0)->tensor->name, "model.layers.0.mlp.shared_expert.down_proj.weight");
  EXPECT_EQ(sources_of(layer, "shared.up").at(0)->expert_count, 0u);
}

TEST(Checkpoint, DeepseekV3HasGroupsABiasAndADenseBlock) {
  for (const char* type : {"deepseek_v3", "kimi_k2", "glm4_moe"}) {
    SampleCheckpoint sample = sample_deepseek_v3_checkpoint();
    sample.config = replaced(sample.config, "deepseek_v3", type);
    expect_layer(
        sample,
        "hidden=8 intermediate=6 experts=4 top_k=2 flags=selection_bias route_source=from_router score=sigmoid "
        "groups=2 groups_kept=1 "
        "group_score=sum_top_n group_top_n=2 weight=identity normalize=sum_eps normalize_eps=1e-20 "
        "routed_scale=2.5 activation=silu shared_intermediate=12 shared_gate=one");
  }
  const OpenedCheckpoint opened(sample_deepseek_v3_checkpoint());
  ASSERT_EQ(opened.model->layers.size(), 1u);  // the third block predicts further tokens
  EXPECT_EQ(opened.model->layers[0].block, 1u);
  EXPECT_EQ(sources_of(opened.model->layers[0], "router.selection_bias").at(0)->tensor->name,
            "model.layers.1.mlp.gate.e_score_correction_bias");
}

TEST(Checkpoint, DeepseekV2) {
  SampleCheckpoint sample = sample_plain("deepseek_v2",
                                         ",\"moe_intermediate_size\":6,\"n_routed_experts\":4,\"n_group\":2,"
                                         "\"topk_group\":1,\"topk_method\":\"group_limited_greedy\","
                                         "\"routed_scaling_factor\":16.0,\"scoring_func\":\"softmax\"");
  expect_layer(sample,
               "hidden=8 intermediate=6 experts=4 top_k=2 route_source=from_router score=softmax groups=2 "
               "groups_kept=1 group_score=max weight=identity normalize=none routed_scale=16 activation=silu");
  sample.config = replaced(sample.config, "group_limited_greedy", "greedy");
  expect_layer(sample, kPlain + "weight=identity normalize=none routed_scale=16 activation=silu");
}

TEST(Checkpoint, Fp8WithItsFactors) {
  const OpenedCheckpoint opened(sample_deepseek_v3_checkpoint(true));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const MoeLayer& layer = opened.model->layers[0];
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(sources_of(layer, "experts.gate").at(3)->dtype, MOE_DTYPE_BLOCKS);
  EXPECT_EQ(sources_of(layer, "experts.gate.scale").at(3)->dtype, MOE_DTYPE_F32);
  for (const char* name : {"experts.up", "shared.gate"}) {  // as the library takes them
    EXPECT_LT(sources_of(layer, name + std::string(".scale")).at(0), sources_of(layer, name).at(0));
  }
  EXPECT_EQ(sources_of(layer, "experts.gate.scale").size(), 4u);
  EXPECT_EQ(sources_of(layer, "shared.down.scale").at(0)->tensor->name,
            "model.layers.1.mlp.shared_experts.down_proj.weight_scale_inv");
  EXPECT_EQ(layer.desc.gate_format.element, MOE_ELEMENT_FP8_E4M3);
  EXPECT_EQ(layer.desc.gate_format.block_rows, 128u);
  EXPECT_EQ(layer.desc.gate_format.block_columns, 128u);
  EXPECT_EQ(layer.desc.gate_format.scale, MOE_SCALE_F32);
  // Scales are bytes, but no parameters.
  EXPECT_EQ(layer.parameters, 4u * 8 + 4 + 4 * 3 * 48 + 3 * 96);
  EXPECT_EQ(layer.bytes, 4u * 4 * 8 + 4 * 4 + 4 * 3 * (48 + 4) + 3 * (96 + 4));
}

TEST(Checkpoint, Fp8WithoutItsFactorsIsRefused) {
  CheckpointShape shape;
  shape.type = "F8_E5M2";
  const OpenedCheckpoint opened(sample_mixtral_checkpoint(shape));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const std::string& refusal = opened.model->layers[0].refusal;
  EXPECT_NE(refusal.find("experts.0.w1.weight is fp8 e5m2 without"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("w1.weight_scale_inv"), std::string::npos) << refusal;
}

TEST(Checkpoint, GptOssInBf16) {
  expect_layer(
      sample_gpt_oss_checkpoint(),
      "hidden=8 intermediate=6 experts=4 top_k=2 flags=router_bias, expert_bias route_source=from_router "
      "score=identity "
      "weight=softmax normalize=none activation=swiglu_oai activation_alpha=1.702 activation_beta=1 activation_limit=7 "
      "gate_up_layout=interleaved matrix_order=in_out");
  const OpenedCheckpoint opened(sample_gpt_oss_checkpoint());
  const MoeLayer& layer = opened.model->layers[0];
  for (const char* name : {"experts.gate_up", "experts.down", "experts.gate_up.bias", "experts.down.bias"}) {
    EXPECT_EQ(sources_of(layer, name).at(0)->expert_count, 4u) << name;
  }
  EXPECT_EQ(sources_of(layer, "router.bias").size(), 1u);
}

TEST(Checkpoint, Mxfp4InBlocksAndScales) {
  const OpenedCheckpoint opened(sample_gpt_oss_checkpoint(true));
  ASSERT_TRUE(opened.model.ok()) << opened.model.error().text();
  const MoeLayer& layer = opened.model->layers[1];
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(sources_of(layer, "experts.down").at(0)->dtype, MOE_DTYPE_BLOCKS);
  EXPECT_EQ(sources_of(layer, "experts.down.scale").at(0)->dtype, MOE_DTYPE_BLOCKS);
  EXPECT_LT(sources_of(layer, "experts.down.scale").at(0), sources_of(layer, "experts.down").at(0));
  EXPECT_EQ(layer.desc.matrix_order, MOE_MATRIX_OUT_IN);
  EXPECT_EQ(layer.desc.up_format.element, MOE_ELEMENT_FP4_E2M1);
  EXPECT_EQ(layer.parameters, 4u * 64 + 4 + 4 * 3 * 64 * 32 + 4 * (64 + 64));
}

TEST(Checkpoint, GraniteJoinsGateAndUp) {
  const std::string fields =
      "hidden=8 intermediate=6 experts=4 top_k=2 route_source=from_router score=identity weight=softmax normalize=none "
      "activation=silu ";
  expect_layer(sample_granite_checkpoint(false), fields + "gate_up_layout=concatenated");
  expect_layer(sample_granite_checkpoint(true),
               fields + "gate_up_layout=concatenated shared_intermediate=10 shared_gate=one");
}

TEST(Checkpoint, BiasesByOtherNames) {
  SampleCheckpoint minimax = sample_plain(
      "minimax_m2", ",\"intermediate_size\":6,\"num_local_experts\":4,\"scoring_func\":\"sigmoid\"", mixtral_names());
  SampleCheckpoint ernie = sample_plain(
      "ernie4_5_moe", ",\"moe_intermediate_size\":6,\"moe_num_experts\":4,\"moe_k\":2,\"moe_norm_min\":1e-10");
  for (const char* block : {"model.layers.0.", "model.layers.1."}) {
    minimax.file.tensor(block + std::string("block_sparse_moe.e_score_correction_bias"), "F32", {4});
    ernie.file.tensor(block + std::string("mlp.moe_statics.e_score_correction_bias"), "F32", {1, 4});
  }
  expect_layer(minimax,
               "hidden=8 intermediate=6 experts=4 top_k=2 flags=selection_bias route_source=from_router score=sigmoid "
               "weight=identity "
               "normalize=sum_eps activation=silu");
  expect_layer(ernie,
               "hidden=8 intermediate=6 experts=4 top_k=2 flags=selection_bias route_source=from_router score=softmax "
               "weight=identity normalize=sum_floor normalize_eps=1e-10 activation=silu");
}

TEST(Checkpoint, RefusesConfigsByKey) {
  const SampleCheckpoint good = sample_mixtral_checkpoint();
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& key,
                           const std::string& part) {
    expect_refused({replaced(good.config, from, to), good.file}, "config.json: " + key, part);
  };
  refused("\"mixtral\"", "\"llama\"", "model_type", "'llama' is not read yet; those read are mixtral, ");
  refused("\"model_type\":\"mixtral\",", "", "model_type", "is missing");
  refused("\"mixtral\"", "[]", "model_type", "is no string");
  refused("\"hidden_size\":8", "\"hidden_size\":0", "hidden_size", "0 is no integer in 1");
  refused("\"hidden_size\":8", "\"hidden_size\":-8", "hidden_size", "no integer");
  refused("\"hidden_size\":8", "\"hidden_size\":4294967296", "hidden_size", "no integer");
  refused("\"hidden_size\":8", "\"hidden_size\":8.5", "hidden_size", "no integer");
  refused("\"hidden_size\":8", "\"hidden_size\":[8,9]", "hidden_size", "differs from layer to layer");
  refused("\"hidden_size\":8,", "", "hidden_size", "is missing");
  refused("\"num_experts_per_tok\":2,", "", "num_experts_per_tok", "is missing");
  refused("\"silu\"", "\"gelu\"", "hidden_act", "'gelu': only silu or swish is read");
  refused("\"hidden_size\":8", "\"quantization_config\":{\"quant_method\":\"hqq\"},\"hidden_size\":8",
          "quantization_config.quant_method", "'hqq' is not read yet");
  refused("\"hidden_size\":8",
          "\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[64,64]},\"hidden_size\":8",
          "quantization_config.weight_block_size", "[128, 128]");
  refused("\"num_hidden_layers\":2", "\"num_hidden_layers\":2,\"num_hidden_layers\":2", "num_hidden_layers",
          "there twice");
  expect_refused({replaced(good.config, "\"num_experts_per_tok\":2", "\"num_experts_per_tok\":5"), good.file},
                 "config.json", "5 of 4 experts");
  expect_refused({"{\"model_type\"", good.file}, "config.json", "is not JSON");
  expect_refused({"[]", good.file}, "config.json", "is a JSON array");
  expect_refused({"", good.file}, "config.json", "is not JSON");
  expect_refused({std::string((4 << 20) + 1, ' '), good.file}, "config.json", "at most 4194304 are read");
  expect_refused({"{\"a\":" + std::string(100000, '['), good.file}, "config.json", "nested deeper than 32");
  SampleCheckpoint deepseek = sample_deepseek_v3_checkpoint();
  deepseek.config = replaced(deepseek.config, "\"n_group\":2", "\"n_group\":3");
  expect_refused(deepseek, "config.json: n_group", "do not fit 4 experts");
  deepseek.config = replaced(deepseek.config, "\"sigmoid\"", "\"softmax\"");
  expect_refused(deepseek, "config.json: scoring_func", "only sigmoid");
}

TEST(Checkpoint, RefusesTensorsByName) {
  const std::string first = "model.layers.0.block_sparse_moe.";
  SampleCheckpoint sample = sample_mixtral_checkpoint();
  sample.config = replaced(sample.config, "\"num_hidden_layers\":2", "\"num_hidden_layers\":3");
  expect_refused(sample, "model.layers.2.block_sparse_moe.gate.weight", "is missing");

  sample = sample_mixtral_checkpoint();
  sample.config = replaced(sample.config, "\"num_local_experts\":4", "\"num_local_experts\":5");
  expect_refused(sample, "model.safetensors: " + first + "gate.weight",
                 "has the shape [4, 8]; config.json says [5, 8]");

  sample = sample_mixtral_checkpoint();
  sample.config = replaced(sample.config, "\"intermediate_size\":6", "\"intermediate_size\":7");
  expect_refused(sample, "model.safetensors: " + first + "experts.0.w1.weight", "[6, 8]; config.json says [7, 8]");

  sample = sample_mixtral_checkpoint();
  sample.file.tensor(first + "experts.4.w1.weight", "BF16", {6, 8});
  expect_refused(sample, "model.safetensors: " + first + "experts.4.w1.weight", "not understood for mixtral");

  sample = {sample_mixtral_checkpoint().config, {}};
  sample.file.tensor(first + "gate.weight", "F32", {4, 8});
  expect_refused(sample, first + "experts.0.w1.weight", "is missing; expected [6, 8]");

  sample = sample_plain("olmoe", ",\"intermediate_size\":6,\"num_experts\":1,\"num_experts_per_tok_\":1", {},
                        {.experts = 1, .blocks = 1});
  expect_refused(sample, "config.json", "2 of 1 experts");
}

TEST(Checkpoint, RefusesTypes) {
  const OpenedCheckpoint i8(sample_mixtral_checkpoint({.type = "I8"}));
  ASSERT_TRUE(i8.model.ok()) << i8.model.error().text();
  EXPECT_NE(i8.model->layers[0].refusal.find("experts.0.w1.weight is i8; f32, f16 and bf16"), std::string::npos)
      << i8.model->layers[0].refusal;

  SampleCheckpoint mixed{sample_config("olmoe", {.blocks = 1}, ",\"intermediate_size\":6,\"num_experts\":4"), {}};
  mixed.file.tensor("model.layers.0.mlp.gate.weight", "F32", {4, 8});
  for (uint32_t e = 0; e < 4; ++e) {
    sample_matrices(mixed.file, "model.layers.0.mlp.experts." + std::to_string(e) + ".", {},
                    {.type = e == 2 ? "F16" : "BF16"}, 6);
  }
  expect_refused(mixed, "model.safetensors: model.layers.0.mlp.experts.2.gate_proj.weight",
                 "is f16, but model.layers.0.mlp.experts.0.gate_proj.weight is bf16");
}

}  // namespace
}  // namespace moevk::model
