// SPDX-License-Identifier: MIT
//
// Descriptors: which are malformed, which are legal but not done yet (refused with a reason by
// query_support and in the same words by everything that would use them), and what estimate and
// list_tensors say.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <set>

#include "tests/abi/abi_fixture.h"

namespace moe_abi_tests {
namespace {

struct Change {
  const char* argument;  // the path that the refusal must name
  const char* words;
  std::function<void(moe_layer_desc&)> apply;
};

class DescriptorTest : public AbiDeviceTest {
 protected:
  // Every function that takes a descriptor must refuse it alike.
  void expect_refused_everywhere(const moe_layer_desc& desc, moe_status code, const char* argument, const char* words) {
    const moe_layer_desc* const descs[] = {&desc};
    moe_estimate estimate = MOE_INIT(moe_estimate);
    moe_upload* upload = nullptr;
    uint32_t count = 0;
    moe_error error = dirty_error();
    moe_status status = api().begin_weights(device_, &desc, nullptr, &upload, &error);
    EXPECT_TRUE(failed_with(status, error, code, argument, words)) << "begin_weights";
    EXPECT_EQ(upload, nullptr);
    status = api().list_tensors(device_, &desc, nullptr, &count, &error);
    EXPECT_TRUE(failed_with(status, error, code, argument, words)) << "list_tensors";
    status = api().estimate(device_, descs, 1, 16, &estimate, &error);
    EXPECT_EQ(status, code) << "estimate";
    EXPECT_NE(std::string(error.argument).find("desc"), std::string::npos) << error.argument;
  }
};
MOE_ON_BOTH_DEVICES(DescriptorTest);

TEST_P(DescriptorTest, GoodOne) {
  moe_support support = MOE_INIT(moe_support);
  EXPECT_WORKS(api().query_support(device_, &small_.desc, &support, &error));
  EXPECT_EQ(support.supported, 1u);
  EXPECT_STREQ(support.argument, "");
  EXPECT_STREQ(support.reason, "");
}

TEST_P(DescriptorTest, Malformed) {
  const float nan = std::nanf("");
  const Change changes[] = {
      {"desc.hidden", "0", [](moe_layer_desc& d) { d.hidden = 0; }},
      {"desc.intermediate", "0", [](moe_layer_desc& d) { d.intermediate = 0; }},
      {"desc.experts", "0", [](moe_layer_desc& d) { d.experts = 0; }},
      {"desc.experts", "1025", [](moe_layer_desc& d) { d.experts = 1025; }},
      {"desc.experts", "4294967295", [](moe_layer_desc& d) { d.experts = 0xffffffffu; }},
      {"desc.top_k", "0", [](moe_layer_desc& d) { d.top_k = 0; }},
      {"desc.top_k", "5", [](moe_layer_desc& d) { d.top_k = 5; }},  // of 4 experts
      {"desc.top_k", "33", [](moe_layer_desc& d) { d.experts = 64, d.top_k = 33; }},
      {"desc.flags", "unknown|bit", [](moe_layer_desc& d) { d.flags |= 1u << 31; }},
      {"desc.flags", "unknown|bit", [](moe_layer_desc& d) { d.flags |= MOE_LAYER_BATCH_INVARIANT << 1; }},
      {"desc.route_source", "6", [](moe_layer_desc& d) { d.route_source = 6; }},
      {"desc.score", "99", [](moe_layer_desc& d) { d.score = 99; }},
      {"desc.selection", "99", [](moe_layer_desc& d) { d.selection = 99; }},
      {"desc.group_score", "99", [](moe_layer_desc& d) { d.group_score = 99; }},
      {"desc.weight", "99", [](moe_layer_desc& d) { d.weight = 99; }},
      {"desc.normalize", "99", [](moe_layer_desc& d) { d.normalize = 99; }},
      {"desc.capacity", "99", [](moe_layer_desc& d) { d.capacity = 99; }},
      {"desc.activation", "99", [](moe_layer_desc& d) { d.activation = 99; }},
      {"desc.gate_up_layout", "99", [](moe_layer_desc& d) { d.gate_up_layout = 99; }},
      {"desc.matrix_order", "99", [](moe_layer_desc& d) { d.matrix_order = 99; }},
      {"desc.shared_gate", "99", [](moe_layer_desc& d) { d.shared_gate = 99; }},
      {"desc.precision", "99", [](moe_layer_desc& d) { d.precision = 99; }},
      {"desc.reserved", "1", [](moe_layer_desc& d) { d.reserved = 1; }},
      {"desc.gate_format", "element", [](moe_layer_desc& d) { d.gate_format.element = 99; }},
      {"desc.up_format", "scale", [](moe_layer_desc& d) { d.up_format.scale = 99; }},
      {"desc.down_format", "zero_point", [](moe_layer_desc& d) { d.down_format.zero_point = 99; }},
      {"desc.down_format", "7", [](moe_layer_desc& d) { d.down_format.bits = 7; }},
      {"desc.up_format", "multiple",
       [](moe_layer_desc& d) { d.up_format.preset = 9; }},  // 32 weights a block, rows of 8
      {"desc.down_format", "256",
       [](moe_layer_desc& d) { d.hidden = 256, d.intermediate = 128, d.down_format.preset = 13; }},
      {"desc.shared_down_format", "multiple",
       [](moe_layer_desc& d) { d.shared_intermediate = 48, d.shared_down_format.preset = 9; }},
      {"desc.up_format.element", "preset",
       [](moe_layer_desc& d) { d.up_format.preset = 9, d.up_format.element = MOE_ELEMENT_INT; }},
      {"desc.up_format.bits", "preset", [](moe_layer_desc& d) { d.up_format.preset = 9, d.up_format.bits = 8; }},
      {"desc.routed_scale", "finite", [=](moe_layer_desc& d) { d.routed_scale = nan; }},
      {"desc.out_scale", "finite", [](moe_layer_desc& d) { d.out_scale = INFINITY; }},
      {"desc.normalize_eps", "finite", [=](moe_layer_desc& d) { d.normalize_eps = nan; }},
      {"desc.norm_eps", "finite", [=](moe_layer_desc& d) { d.norm_eps = nan; }},
      {"desc.norm_eps", "negative", [](moe_layer_desc& d) { d.norm_eps = -1; }},
      {"desc.activation_limit", "finite", [=](moe_layer_desc& d) { d.activation_limit = nan; }},
      {"desc.shared_constant", "finite", [=](moe_layer_desc& d) { d.shared_constant = nan; }},
      // contradictions
      {"desc.activation", "gate",
       [](moe_layer_desc& d) { d.flags |= MOE_LAYER_UNGATED, d.activation = MOE_ACTIVATION_SWIGLU_OAI; }},
      {"desc.gate_up_layout", "gate",
       [](moe_layer_desc& d) { d.flags |= MOE_LAYER_UNGATED, d.gate_up_layout = MOE_GATE_UP_INTERLEAVED; }},
      {"desc.up_format", "gate",
       [](moe_layer_desc& d) { d.gate_up_layout = MOE_GATE_UP_CONCATENATED, d.up_format.element = MOE_ELEMENT_F16; }},
      {"desc.route_source", "1", [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_DENSE, d.score = 0; }},
      {"desc.flags", "bias",
       [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_LOGITS, d.flags |= MOE_LAYER_ROUTER_BIAS; }},
      {"desc.flags", "bias",
       [](moe_layer_desc& d) {
         d.route_source = MOE_ROUTE_FROM_IDS, d.score = 0, d.flags |= MOE_LAYER_SELECTION_BIAS;
       }},
      {"desc.groups", "experts", [](moe_layer_desc& d) { d.groups = 3, d.groups_kept = 1; }},
      {"desc.groups", "32", [](moe_layer_desc& d) { d.experts = 66, d.groups = 33, d.groups_kept = 1; }},
      {"desc.groups", "selection",
       [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_IDS, d.score = 0, d.groups = 2, d.groups_kept = 1; }},
      {"desc.groups_kept", "0", [](moe_layer_desc& d) { d.groups = 2; }},
      {"desc.groups_kept", "3", [](moe_layer_desc& d) { d.groups = 2, d.groups_kept = 3; }},
      {"desc.groups_kept", "top_k", [](moe_layer_desc& d) { d.groups = 4, d.groups_kept = 1; }},
      {"desc.group_top_n", "0",
       [](moe_layer_desc& d) { d.groups = 2, d.groups_kept = 1, d.group_score = MOE_GROUP_SCORE_SUM_TOP_N; }},
      {"desc.group_top_n", "3",
       [](moe_layer_desc& d) {
         d.groups = 2, d.groups_kept = 1, d.group_score = MOE_GROUP_SCORE_SUM_TOP_N, d.group_top_n = 3;
       }},
      {"desc.capacity", "DENSE",
       [](moe_layer_desc& d) {
         d.route_source = MOE_ROUTE_DENSE, d.score = 0, d.experts = d.top_k = 1;
         d.capacity = MOE_CAPACITY_POSITION, d.capacity_factor = 1;
       }},
      {"desc.capacity_factor", "minimum", [](moe_layer_desc& d) { d.capacity = MOE_CAPACITY_POSITION; }},
      {"desc.selection", "score", [](moe_layer_desc& d) { d.selection = MOE_SELECT_SPARSEMIXER; }},  // of a softmax
      {"desc.selection", "logits",
       [](moe_layer_desc& d) {
         d.route_source = MOE_ROUTE_FROM_SCORES, d.score = 0, d.selection = MOE_SELECT_SPARSEMIXER;
       }},
      {"desc.normalize_p", "positive", [](moe_layer_desc& d) { d.normalize = MOE_NORMALIZE_P_NORM; }},
      {"desc.logit_soft_cap", "logits",
       [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_IDS, d.score = 0, d.logit_soft_cap = 30; }},
      {"desc.token_table_rows", "table", [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_TOKEN_TABLE; }},
      {"desc.token_table_rows", "table", [](moe_layer_desc& d) { d.token_table_rows = 9; }},
      {"desc.flags", "table",
       [](moe_layer_desc& d) {
         d.route_source = MOE_ROUTE_FROM_TOKEN_TABLE, d.token_table_rows = 9, d.flags |= MOE_LAYER_SELECTION_BIAS;
       }},
      {"desc.flags", "router",
       [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_LOGITS, d.flags |= MOE_LAYER_ROUTER_INPUT_NORM; }},
      {"desc.router_input_multiplier", "router",
       [](moe_layer_desc& d) { d.route_source = MOE_ROUTE_FROM_LOGITS, d.router_input_multiplier = 2; }},
      // fields that another one would give a meaning
      {"desc.normalize_p", "P_NORM", [](moe_layer_desc& d) { d.normalize_p = 2; }},
      {"desc.normalize_eps", "SUM_EPS", [](moe_layer_desc& d) { d.normalize_eps = 1e-9f; }},
      {"desc.sparsemixer_eps", "SPARSEMIXER", [](moe_layer_desc& d) { d.sparsemixer_eps = 0.1f; }},
      {"desc.group_score", "groups", [](moe_layer_desc& d) { d.group_score = MOE_GROUP_SCORE_SUM_TOP_N; }},
      {"desc.capacity_factor", "capacity", [](moe_layer_desc& d) { d.capacity_factor = 1; }},
      {"desc.noise_seed", "NOISY", [](moe_layer_desc& d) { d.noise_seed = 1; }},
      {"desc.activation_alpha", "OAI", [](moe_layer_desc& d) { d.activation_alpha = 1; }},
      {"desc.activation_beta", "SITU", [](moe_layer_desc& d) { d.activation_beta = 1; }},
      {"desc.activation_limit", "clamps", [](moe_layer_desc& d) { d.activation_limit = 7; }},
      {"desc.latent", "within 0..", [](moe_layer_desc& d) { d.latent = d.hidden + 1; }},
      {"desc.lora_alpha", "lora_rank", [](moe_layer_desc& d) { d.lora_alpha = 1; }},
      {"desc.shared_constant", "CONSTANT", [](moe_layer_desc& d) { d.shared_constant = 1; }},
      {"desc.flags", "latent", [](moe_layer_desc& d) { d.flags |= MOE_LAYER_LATENT_NORM; }},
      {"desc.flags", "normalize", [](moe_layer_desc& d) { d.flags |= MOE_LAYER_NORMALIZE_SINGLE; }},
      {"desc.shared_gate", "shared", [](moe_layer_desc& d) { d.shared_gate = MOE_SHARED_GATE_SIGMOID; }},
  };
  for (const Change& change : changes) {
    moe_layer_desc desc = small_.desc;
    change.apply(desc);
    moe_support support = MOE_INIT(moe_support);
    moe_error error = dirty_error();
    const moe_status status = api().query_support(device_, &desc, &support, &error);
    EXPECT_TRUE(failed_with(status, error, MOE_ERROR_INVALID_ARGUMENT, change.argument, change.words))
        << change.argument;
    expect_refused_everywhere(desc, MOE_ERROR_INVALID_ARGUMENT, change.argument, change.words);
  }
}

TEST_P(DescriptorTest, NotDoneYet) {
  const Change changes[] = {
      {"desc.shared_gate", "router",
       [](moe_layer_desc& d) {
         d.shared_intermediate = 6, d.shared_gate = MOE_SHARED_GATE_SIGMOID, d.router_input_multiplier = 0.5f;
       }},
      {"desc.selection", "expert",
       [](moe_layer_desc& d) { d.selection = MOE_SELECT_EXPERT_CHOICE, d.capacity_factor = 1; }},
      {"desc.capacity", "capacity",
       [](moe_layer_desc& d) { d.capacity = MOE_CAPACITY_PROBABILITY, d.capacity_factor = 1; }},
      {"desc.capacity", "capacity",
       [](moe_layer_desc& d) { d.capacity = MOE_CAPACITY_BATCH_PRIORITISED, d.capacity_factor = 1; }},
      {"desc.lora_rank", "lora", [](moe_layer_desc& d) { d.lora_rank = 4, d.lora_alpha = 1; }},
      {"desc.flags", "NOISY_TOP_K", [](moe_layer_desc& d) { d.flags |= MOE_LAYER_NOISY_TOP_K, d.noise_seed = 1; }},
      {"desc.flags", "BATCH_INVARIANT", [](moe_layer_desc& d) { d.flags |= MOE_LAYER_BATCH_INVARIANT; }},
      {"desc.gate_format.scale", "scale", [](moe_layer_desc& d) { d.gate_format.element = MOE_ELEMENT_FP8_E4M3; }},
      {"desc.gate_format.block_rows", "3",
       [](moe_layer_desc& d) { d.gate_format = {MOE_ELEMENT_FP8_E4M3, 0, 128, 3, MOE_SCALE_F32, 0, 0, 0}; }},
      {"desc.up_format.packing", "low bits",
       [](moe_layer_desc& d) {
         d.up_format = {MOE_ELEMENT_INT, 4, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 1, 0};
       }},
      {"desc.up_format.zero_point", "offset",
       [](moe_layer_desc& d) {
         d.up_format = {MOE_ELEMENT_INT, 2, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_MINIMUM, 0, 0};
       }},
      {"desc.up_format.bits", "3",
       [](moe_layer_desc& d) {
         d.up_format = {MOE_ELEMENT_INT, 3, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_STORED, 0, 0};
       }},
      {"desc.matrix_order", "rows",
       [](moe_layer_desc& d) {
         d.intermediate = 32, d.matrix_order = MOE_MATRIX_IN_OUT;
         d.down_format = {MOE_ELEMENT_INT, 8, 0, 0, MOE_SCALE_F32, MOE_ZERO_POINT_CENTRE, 0, 0};
       }},
      {"desc.up_format", "multiple of 16",
       [](moe_layer_desc& d) {
         d.up_format = {MOE_ELEMENT_INT, 4, 32, 0, MOE_SCALE_F16, MOE_ZERO_POINT_CENTRE, 0, 0};
       }},
      {"desc.down_format.scale", "E8M0",
       [](moe_layer_desc& d) { d.down_format = {MOE_ELEMENT_FP4_E2M1, 4, 16, 0, MOE_SCALE_E4M3, 0, 0, 0}; }},
      {"desc.down_format.preset", "no block format", [](moe_layer_desc& d) { d.down_format.preset = 2; }},
      {"desc.up_format.preset", "no block format", [](moe_layer_desc& d) { d.up_format.preset = 1000; }},
      {"desc.matrix_order", "blocks",
       [](moe_layer_desc& d) { d.intermediate = 32, d.down_format.preset = 9, d.matrix_order = MOE_MATRIX_IN_OUT; }},
      {"desc.shared_down_format", "quant",
       [](moe_layer_desc& d) { d.shared_intermediate = 6, d.shared_down_format.element = MOE_ELEMENT_CODEBOOK; }},
  };
  for (const Change& change : changes) {
    moe_layer_desc desc = small_.desc;
    change.apply(desc);
    moe_support support = MOE_INIT(moe_support);
    support.supported = 7;
    moe_error error = dirty_error();
    EXPECT_EQ(api().query_support(device_, &desc, &support, &error), MOE_OK) << change.argument << ": " << error.text;
    EXPECT_EQ(support.supported, 0u) << change.argument;
    // The support struct is an answer in words: judge it like an error.
    moe_error answer = MOE_INIT(moe_error);
    answer.code = MOE_ERROR_UNSUPPORTED;
    std::snprintf(answer.argument, sizeof answer.argument, "%s", support.argument);
    std::snprintf(answer.text, sizeof answer.text, "%s", support.reason);
    EXPECT_TRUE(failed_with(answer.code, answer, MOE_ERROR_UNSUPPORTED, change.argument, change.words));
    expect_refused_everywhere(desc, MOE_ERROR_UNSUPPORTED, change.argument, change.words);
  }
}

TEST_P(DescriptorTest, StructSizesAndNull) {
  moe_support support = MOE_INIT(moe_support);
  moe_layer_desc desc = small_.desc;
  desc.struct_size = 16;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.struct_size", "16", api().query_support(device_, &desc, &support, &error));
  desc.struct_size = sizeof(moe_layer_desc) - 4;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.struct_size", std::to_string(sizeof(moe_layer_desc) - 4),
               api().query_support(device_, &desc, &support, &error));
  struct Newer {
    moe_layer_desc known;
    uint32_t tail[3];
  } newer{};
  newer.known = small_.desc;
  newer.known.struct_size = sizeof(Newer);
  EXPECT_WORKS(api().query_support(device_, &newer.known, &support, &error));
  newer.tail[1] = 0x100;  // its second byte
  const std::string offset = std::to_string(offsetof(Newer, tail) + 5);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", offset, api().query_support(device_, &newer.known, &support, &error));
  newer.known.struct_size = uint64_t{1} << 60;  // a size that no struct has
  newer.tail[1] = 0x100;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "1152921504606846976",
               api().query_support(device_, &newer.known, &support, &error));

  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().query_support(nullptr, &small_.desc, &support, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().query_support(device_, nullptr, &support, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().query_support(device_, &small_.desc, nullptr, &error));
  support.struct_size = 12;
  EXPECT_FAILS(INVALID_ARGUMENT, "out.struct_size", "12", api().query_support(device_, &small_.desc, &support, &error));

  uint32_t count = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().list_tensors(nullptr, &small_.desc, nullptr, &count, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().list_tensors(device_, nullptr, nullptr, &count, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "count", "NULL", api().list_tensors(device_, &small_.desc, nullptr, nullptr, &error));
  const moe_layer_desc* const descs[] = {&small_.desc, nullptr};
  moe_estimate estimate = MOE_INIT(moe_estimate);
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().estimate(nullptr, descs, 1, 5, &estimate, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "descs", "NULL", api().estimate(device_, nullptr, 1, 5, &estimate, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().estimate(device_, descs, 2, 5, &estimate, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().estimate(device_, descs, 1, 5, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "max_tokens", "0", api().estimate(device_, descs, 1, 0, &estimate, &error));
}

TEST_P(DescriptorTest, ListTensors) {
  moe_layer_desc desc = small_.desc;
  desc.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_EXPERT_BIAS | MOE_LAYER_INPUT_NORM;
  desc.shared_intermediate = 5;
  desc.shared_gate = MOE_SHARED_GATE_SIGMOID;
  desc.down_format.element = MOE_ELEMENT_BF16;
  uint32_t count = 0;
  EXPECT_WORKS(api().list_tensors(device_, &desc, nullptr, &count, &error));
  const std::set<std::string> expected = {
      "router.weight", "router.bias",  "router.selection_bias", "norm.weight",     "experts.gate",
      "experts.up",    "experts.down", "experts.gate.bias",     "experts.up.bias", "experts.down.bias",
      "shared.gate",   "shared.up",    "shared.down",           "shared.router"};
  ASSERT_EQ(count, expected.size());
  std::vector<moe_tensor_info> infos(count + 1, MOE_INIT(moe_tensor_info));
  infos[count].name[0] = 'x';
  EXPECT_WORKS(api().list_tensors(device_, &desc, infos.data(), &count, &error));
  std::set<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    names.insert(infos[i].name);
    const bool down = std::string(infos[i].name) == "experts.down";
    EXPECT_EQ(infos[i].dtype, down ? MOE_DTYPE_BF16 : MOE_DTYPE_F32) << infos[i].name;
    if (down) {
      EXPECT_EQ(infos[i].bytes, 4u * 8 * 6 * 2);
    }
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(infos[count].name[0], 'x') << "more was written than there was room for";
  infos[0].struct_size = 12;
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "12", api().list_tensors(device_, &desc, infos.data(), &count, &error));
}

TEST_P(DescriptorTest, EstimateAgreesWithWhatIsAllocated) {
  const moe_layer_desc* const descs[] = {&small_.desc, &small_.desc};
  moe_estimate one = MOE_INIT(moe_estimate), two = MOE_INIT(moe_estimate);
  const uint64_t before = statistics().allocated_bytes;
  EXPECT_WORKS(api().estimate(device_, descs, 1, 5, &one, &error));
  EXPECT_WORKS(api().estimate(device_, descs, 2, 5, &two, &error));
  EXPECT_EQ(statistics().allocated_bytes, before) << "estimate allocates nothing";
  EXPECT_EQ(one.total_parameters, 4u * 8 + 4u * 3 * 8 * 6);
  EXPECT_EQ(one.active_parameters, 4u * 8 + 2u * 3 * 8 * 6);
  EXPECT_EQ(two.total_parameters, 2 * one.total_parameters);
  EXPECT_EQ(two.weight_bytes, 2 * one.weight_bytes);
  EXPECT_EQ(two.workspace_bytes, one.workspace_bytes);
  moe_layer_info info = MOE_INIT(moe_layer_info);
  EXPECT_WORKS(api().get_layer_info(make_layer(small_), &info, &error));
  EXPECT_EQ(info.weight_bytes, one.weight_bytes);
  EXPECT_GE(info.weight_bytes, 4u * one.total_parameters);
  EXPECT_EQ(info.slots_per_token, 2u);
  EXPECT_EQ(info.shared_slots, 0u);
  EXPECT_EQ(info.experts_total, 4u);

  // Vectors count: the reference holds exactly the tensors, a device pads them.
  moe_layer_desc full = small_.desc;
  full.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_EXPERT_BIAS | MOE_LAYER_INPUT_NORM;
  const moe_layer_desc* const all[] = {&full};
  EXPECT_WORKS(api().estimate(device_, all, 1, 5, &one, &error));
  const uint64_t numbers = 4 * 8 + 4 + 4 + 8 + 4 * (6 + 6 + 8) + 4 * 3 * 8 * 6;
  EXPECT_GE(one.weight_bytes, 4 * numbers);
  EXPECT_TRUE(!GetParam() || one.weight_bytes == 4 * numbers) << one.weight_bytes;
}

}  // namespace
}  // namespace moe_abi_tests
