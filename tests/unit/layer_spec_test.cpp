// SPDX-License-Identifier: MIT
//
// Descriptor -> spec: which shared experts join the routed ones, slots, padding, defaults, parameters of known models.
#include "runtime/layer_spec.h"

#include <gtest/gtest.h>

#include "kernel_table.h"
#include "tests/layers/layer_shapes.h"

namespace moevk::unit {
namespace {

moe_layer_desc with_shared(uint32_t intermediate, uint32_t shared) {
  return describe({"shared", 64, intermediate, 8, 2, shared}, WeightFormat::kF16);
}

TEST(LayerSpec, SharedExpertsThatJoin) {
  for (const uint32_t times : {1u, 2u, 4u, 8u}) {
    const LayerSpec spec = make_spec(with_shared(48, 48 * times));
    EXPECT_EQ(spec.segments, 1u);
    EXPECT_EQ(spec.shared_slots, times);
    EXPECT_EQ(spec.slots, 2 + times);
    EXPECT_EQ(spec.experts_total, 8 + times);
    EXPECT_EQ(spec.segment[0].experts, 8 + times);
  }
}

void expect_own_segment(const moe_layer_desc& desc) {
  const LayerSpec spec = make_spec(desc);
  EXPECT_EQ(spec.segments, 2u);
  EXPECT_EQ(spec.shared_slots, 1u);
  EXPECT_EQ(spec.slots, 3u);
  EXPECT_EQ(spec.experts_total, 9u);
  EXPECT_EQ(spec.segment[0].experts, 8u);
  EXPECT_EQ(spec.segment[1].first_expert, 8u);
  EXPECT_EQ(spec.segment[1].experts, 1u);
  EXPECT_EQ(spec.segment[1].intermediate, desc.shared_intermediate);
}

TEST(LayerSpec, SharedExpertsThatDoNotJoin) {
  for (const uint32_t shared : {1u, 24u, 47u, 49u, 72u, 48u * 9}) expect_own_segment(with_shared(48, shared));
  for (const int which : {0, 1, 2}) {
    moe_layer_desc desc = with_shared(48, 96);
    moe_weight_format* const formats[] = {&desc.shared_gate_format, &desc.shared_up_format, &desc.shared_down_format};
    formats[which]->element = MOE_ELEMENT_BF16;
    expect_own_segment(desc);
  }
}

// The gate's format does not matter where there is no gate.
TEST(LayerSpec, UngatedSharedExpertsJoin) {
  moe_layer_desc desc = with_shared(48, 96);
  desc.flags = MOE_LAYER_UNGATED;
  desc.shared_gate_format.element = MOE_ELEMENT_F32;
  const LayerSpec spec = make_spec(desc);
  EXPECT_FALSE(spec.gated);
  EXPECT_EQ(spec.segments, 1u);
  EXPECT_EQ(spec.shared_slots, 2u);
}

TEST(LayerSpec, WidthsArePadded) {
  for (const auto& [width, padded] : {std::pair{1u, 16u}, {16u, 16u}, {17u, 32u}, {1001u, 1008u}}) {
    const LayerSpec spec = make_spec(describe({"odd", width, width, 2, 1, width + 5}, WeightFormat::kF32));
    EXPECT_EQ(spec.hidden_padded, padded);
    EXPECT_EQ(spec.segment[0].intermediate_padded, padded);
    EXPECT_EQ(spec.widest(), (width + 5 + kNumberPadColumns - 1) / kNumberPadColumns * kNumberPadColumns);
  }
  EXPECT_EQ(make_spec(describe({"narrow", 8, 100, 2, 1, 3}, WeightFormat::kF32)).widest(), 112u);
}

TEST(LayerSpec, RouterRows) {
  EXPECT_EQ(make_spec(layer_shape("mixtral-8x7b"), WeightFormat::kF16).router_rows(), 8u);
  EXPECT_EQ(make_spec(layer_shape("deepseek-v3"), WeightFormat::kF16).router_rows(), 256u);
  moe_layer_desc gated = describe(layer_shape("qwen1.5-moe"), WeightFormat::kF16);
  EXPECT_EQ(make_spec(gated).router_rows(), 61u);  // and the shared gate's row
  gated.route_source = MOE_ROUTE_FROM_LOGITS;
  EXPECT_EQ(make_spec(gated).router_rows(), 1u);
}

TEST(LayerSpec, DefaultsAreFilledIn) {
  moe_layer_desc desc = describe(layer_shape("gpt-oss-20b"), WeightFormat::kBf16);
  LayerSpec spec = make_spec(desc);
  EXPECT_EQ(spec.desc.routed_scale, 1.0f);
  EXPECT_EQ(spec.desc.out_scale, 1.0f);
  EXPECT_EQ(spec.desc.norm_eps, 1e-6f);
  EXPECT_EQ(spec.desc.activation_alpha, 1.702f);
  EXPECT_EQ(spec.desc.activation_beta, 0.0f);
  desc.routed_scale = 2.5f;
  desc.out_scale = -0.5f;
  desc.flags |= MOE_LAYER_INPUT_NORM;
  desc.norm_eps = 1e-5f;
  desc.activation_alpha = 1;
  spec = make_spec(desc);
  EXPECT_EQ(spec.desc.routed_scale, 2.5f);
  EXPECT_EQ(spec.desc.out_scale, -0.5f);
  EXPECT_EQ(spec.desc.norm_eps, 1e-5f);
  EXPECT_EQ(spec.desc.activation_alpha, 1.0f);
}

// The MoE layers are most of a model: billions of all its layers beside the parameters that its makers name, total
// and active. What is missing is attention and embeddings.
TEST(LayerSpec, ParametersOfKnownModels) {
  const struct {
    const char* name;
    double layers;
    double total, active;  // billions, MoE layers alone, by hand
    double named_total, named_active;
  } models[] = {{"mixtral-8x7b", 32, 45.1, 11.3, 46.7, 12.9}, {"mixtral-8x22b", 56, 135.3, 33.8, 141, 39},
                {"qwen3-30b", 48, 29.0, 1.82, 30.5, 3.3},     {"qwen3-235b", 94, 227.1, 14.24, 235, 22},
                {"deepseek-v3", 58, 656.6, 23.1, 671, 37},    {"olmoe", 16, 6.44, 0.807, 6.9, 1.3}};
  for (const auto& m : models) {
    const LayerSpec spec = make_spec(layer_shape(m.name), WeightFormat::kBf16);
    const double total = static_cast<double>(total_parameters(spec)) * m.layers / 1e9;
    const double active = static_cast<double>(active_parameters(spec)) * m.layers / 1e9;
    EXPECT_NEAR(total, m.total, 0.01 * m.total) << m.name;
    EXPECT_NEAR(active, m.active, 0.01 * m.active) << m.name;
    EXPECT_LT(total, m.named_total) << m.name;
    EXPECT_LT(active, m.named_active) << m.name;
  }
}

TEST(LayerSpec, ParametersCountedByHand) {
  LayerShape shape = {"small", 10, 6, 4, 2, 5, MOE_SHARED_GATE_SIGMOID};
  shape.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_INPUT_NORM | MOE_LAYER_EXPERT_BIAS;
  const LayerSpec spec = make_spec(shape, WeightFormat::kF32);
  const uint64_t expert = 3 * 10 * 6 + (6 + 6 + 10);
  const uint64_t rest = 3 * 10 * 5 + (4 + 1) * 10 + 4 + 4 + 10;
  EXPECT_EQ(total_parameters(spec), 4 * expert + rest);
  EXPECT_EQ(active_parameters(spec), 2 * expert + rest);
  shape.flags = MOE_LAYER_UNGATED | MOE_LAYER_EXPERT_BIAS;
  shape.shared = 0;
  shape.shared_gate = MOE_SHARED_GATE_ONE;
  const LayerSpec ungated = make_spec(shape, WeightFormat::kF32);
  EXPECT_EQ(total_parameters(ungated), 4u * (2 * 10 * 6 + 6 + 10) + 4 * 10);
  EXPECT_EQ(active_parameters(ungated), 2u * (2 * 10 * 6 + 6 + 10) + 4 * 10);
}

}  // namespace
}  // namespace moevk::unit
