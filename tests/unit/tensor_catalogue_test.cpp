// SPDX-License-Identifier: MIT
//
// Names and shapes of the tensors that a layer asks for, in order, for every layout, order and optional part.
#include "runtime/tensor_catalogue.h"

#include <gtest/gtest.h>

#include "tests/layers/layer_shapes.h"

namespace moevk::unit {
namespace {

using Lines = std::vector<std::string>;

// "name [experts,rows,columns] dtype", a vector without rows.
Lines listed(const moe_layer_desc& desc) {
  Lines lines;
  for (const TensorSpec& t : list_tensors(make_spec(desc))) {
    std::string shape = t.experts != 0 ? std::to_string(t.experts) + "," : "";
    if (t.is_matrix()) shape += std::to_string(t.rows) + ",";
    lines.push_back(t.name + " [" + shape + std::to_string(t.columns) + "] " + dtype_name(t.dtype));
    EXPECT_EQ(t.elements_per_expert(), uint64_t{t.rows} * t.columns);
    EXPECT_TRUE(t.is_matrix() || (t.rows == 1 && t.dtype == MOE_DTYPE_F32));
  }
  return lines;
}

moe_layer_desc small(uint32_t flags = 0, uint32_t shared = 0) {
  LayerShape shape = {"small", 10, 6, 4, 2, shared};
  shape.flags = flags;
  moe_layer_desc desc = describe(shape, WeightFormat::kF16);
  desc.down_format.element = MOE_ELEMENT_BF16;
  return desc;
}

TEST(TensorCatalogue, Layouts) {
  moe_layer_desc desc = small();
  EXPECT_EQ(listed(desc), (Lines{"router.weight [4,10] f32", "experts.gate [4,6,10] f16", "experts.up [4,6,10] f16",
                                 "experts.down [4,10,6] bf16"}));
  for (const uint32_t layout : {MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_CONCATENATED_UP_FIRST, MOE_GATE_UP_INTERLEAVED}) {
    desc.gate_up_layout = layout;
    EXPECT_EQ(listed(desc),
              (Lines{"router.weight [4,10] f32", "experts.gate_up [4,12,10] f16", "experts.down [4,10,6] bf16"}));
  }
  desc.matrix_order = MOE_MATRIX_IN_OUT;
  EXPECT_EQ(listed(desc),
            (Lines{"router.weight [4,10] f32", "experts.gate_up [4,10,12] f16", "experts.down [4,6,10] bf16"}));
  desc.gate_up_layout = MOE_GATE_UP_SEPARATE;
  EXPECT_EQ(listed(desc), (Lines{"router.weight [4,10] f32", "experts.gate [4,10,6] f16", "experts.up [4,10,6] f16",
                                 "experts.down [4,6,10] bf16"}));
}

TEST(TensorCatalogue, Ungated) {
  EXPECT_EQ(listed(small(MOE_LAYER_UNGATED | MOE_LAYER_EXPERT_BIAS)),
            (Lines{"router.weight [4,10] f32", "experts.up [4,6,10] f16", "experts.down [4,10,6] bf16",
                   "experts.up.bias [4,6] f32", "experts.down.bias [4,10] f32"}));
}

TEST(TensorCatalogue, BiasesAndNorm) {
  moe_layer_desc desc =
      small(MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_INPUT_NORM | MOE_LAYER_EXPERT_BIAS);
  EXPECT_EQ(listed(desc), (Lines{"router.weight [4,10] f32", "router.bias [4,1] f32", "router.selection_bias [4,1] f32",
                                 "norm.weight [10] f32", "experts.gate [4,6,10] f16", "experts.up [4,6,10] f16",
                                 "experts.down [4,10,6] bf16", "experts.gate.bias [4,6] f32",
                                 "experts.up.bias [4,6] f32", "experts.down.bias [4,10] f32"}));
  desc.gate_up_layout = MOE_GATE_UP_INTERLEAVED;
  desc.matrix_order = MOE_MATRIX_IN_OUT;  // biases have no order
  const Lines lines = listed(desc);
  EXPECT_EQ(Lines(lines.end() - 2, lines.end()),
            (Lines{"experts.gate_up.bias [4,12] f32", "experts.down.bias [4,10] f32"}));
}

TEST(TensorCatalogue, SharedExperts) {
  for (const uint32_t width : {12u, 5u}) {  // joins, or not: the host sees no difference
    moe_layer_desc desc = small(0, width);
    desc.shared_down_format.element = MOE_ELEMENT_BF16;
    const std::string w = std::to_string(width);
    const Lines separate = listed(desc);
    EXPECT_EQ(
        Lines(separate.begin() + 4, separate.end()),
        (Lines{"shared.gate [" + w + ",10] f16", "shared.up [" + w + ",10] f16", "shared.down [10," + w + "] bf16"}));
    desc.gate_up_layout = MOE_GATE_UP_CONCATENATED;
    desc.shared_gate = MOE_SHARED_GATE_SIGMOID;
    const Lines joined = listed(desc);
    EXPECT_EQ(Lines(joined.begin() + 3, joined.end()),
              (Lines{"shared.gate_up [" + std::to_string(2 * width) + ",10] f16", "shared.down [10," + w + "] bf16",
                     "shared.router [10] f32"}));
  }
}

// Routed experts have the latent width in the place of H; the order of experts' matrices is not the projections'.
TEST(TensorCatalogue, LatentSpace) {
  moe_layer_desc desc = small(MOE_LAYER_EXPERT_BIAS | MOE_LAYER_LATENT_NORM, 12);
  desc.latent = 8;
  desc.latent_up_format.element = MOE_ELEMENT_BF16;
  EXPECT_EQ(listed(desc), (Lines{"router.weight [4,10] f32", "experts.gate [4,6,8] f16", "experts.up [4,6,8] f16",
                                 "experts.down [4,8,6] bf16", "experts.gate.bias [4,6] f32",
                                 "experts.up.bias [4,6] f32", "experts.down.bias [4,8] f32", "shared.gate [12,10] f16",
                                 "shared.up [12,10] f16", "shared.down [10,12] f16", "latent.down [8,10] f16",
                                 "latent.norm [8] f32", "latent.up [10,8] bf16"}));
  desc.matrix_order = MOE_MATRIX_IN_OUT;
  const Lines lines = listed(desc);
  EXPECT_EQ(lines[1], "experts.gate [4,8,6] f16");
  EXPECT_EQ(Lines(lines.end() - 3, lines.end()),
            (Lines{"latent.down [8,10] f16", "latent.norm [8] f32", "latent.up [10,8] bf16"}));
}

// The shared gate's row follows the router's, or stands alone.
TEST(TensorCatalogue, RouteSources) {
  moe_layer_desc desc = small(0, 12);
  desc.shared_gate = MOE_SHARED_GATE_SIGMOID;
  EXPECT_EQ(list_tensors(make_spec(desc)).back().vector_first, 40u);
  desc.score = MOE_SCORE_IDENTITY;
  for (const uint32_t source : {MOE_ROUTE_FROM_LOGITS, MOE_ROUTE_FROM_SCORES, MOE_ROUTE_FROM_IDS}) {
    desc.route_source = source;
    EXPECT_EQ(listed(desc).front(), "experts.gate [4,6,10] f16");
    EXPECT_EQ(list_tensors(make_spec(desc)).back().vector_first, 0u);
  }
}

}  // namespace
}  // namespace moevk::unit
