// SPDX-License-Identifier: MIT
//
// In:  the presets of model families.
// Out: their sums are the figures that the models' makers publish.
// Why: a wrong sum promises that a model fits where it does not. The figures here are those of model cards.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/model/preset_by_name.h"

namespace moevk::model {
namespace {

// Of Hugging Face's counts of the released weights, to the last one.
TEST(PresetFigures, TotalsThatAreKnownExactly) {
  const struct {
    const char* name;
    uint64_t parameters;
  } known[] = {
      {"mixtral", 46702792704},      {"mixtral-8x22b", 140630071296},
      {"qwen2-moe", 14315784192},    {"qwen3-moe", 30532122624},
      {"olmoe", 6919161856},         {"deepseek-v2", 235741434880},
      {"deepseek-v3", 671026419200}, {"deepseek-v2-lite", 15706484224},
      {"gpt-oss", 20914757184},      {"gpt-oss-120b", 116829156672},
      {"phi-3.5-moe", 41873153344},  {"dbrx", 131596523520},
      {"llama4", 108641793536},      {"jamba", 51570323328},
  };
  for (const auto& one : known) {
    const Preset& p = preset(one.name);
    ASSERT_TRUE(p.parts.has_value()) << one.name;
    EXPECT_EQ(count_model_figures(p.layer_figures(), *p.parts).parameters, one.parameters) << one.name;
  }
}

// As the makers say them, in billions; makers count active parameters in three ways.
enum class Active { all, without_embedding, without_embedding_and_output };

TEST(PresetFigures, PublishedFigures) {
  // Tolerance, of the figure: 1 % where the maker gives three digits or agrees; more where the maker rounds to two
  // digits or one, or, for Kimi-K2 (1.04 T), counts 1.3 % more than its matrices have.
  const struct {
    const char* name;
    double total;
    double total_tolerance;
    double active;  // 0: not published
    double active_tolerance;
    Active counts;
  } published[] = {
      {"switch", 0.62, 0.01, 0, 0, Active::all},
      {"mixtral", 46.7, 0.01, 12.9, 0.01, Active::all},
      {"mixtral-8x22b", 141, 0.01, 39, 0.01, Active::all},
      {"qwen2-moe", 14.3, 0.01, 2.7, 0.01, Active::all},
      {"qwen3-moe", 30.5, 0.01, 3.3, 0.02, Active::all},
      {"qwen3-moe-235b", 235, 0.01, 22, 0.01, Active::all},
      {"qwen3-next", 80, 0.01, 3, 0.1, Active::without_embedding_and_output},
      {"deepseek-v2", 236, 0.01, 21, 0.01, Active::without_embedding},
      {"deepseek-v2-lite", 15.7, 0.01, 2.4, 0.03, Active::without_embedding},
      {"deepseek-v3", 671, 0.01, 36.7, 0.01, Active::without_embedding},
      {"kimi-k2", 1040, 0.015, 32, 0.01, Active::without_embedding},
      {"glm-4.5", 355, 0.01, 32, 0.01, Active::without_embedding_and_output},
      {"glm-4.5-air", 106, 0.01, 12, 0.02, Active::without_embedding_and_output},
      {"llama4", 109, 0.01, 17, 0.02, Active::all},
      {"llama4-maverick", 400, 0.01, 17, 0.02, Active::all},
      {"gpt-oss", 20.9, 0.01, 3.6, 0.01, Active::without_embedding},
      {"gpt-oss-120b", 116.8, 0.01, 5.1, 0.01, Active::without_embedding},
      {"olmoe", 6.9, 0.01, 1.3, 0.02, Active::all},
      {"phi-3.5-moe", 41.9, 0.01, 6.6, 0.01, Active::all},
      {"dbrx", 132, 0.01, 36, 0.02, Active::all},
      {"grok-1", 314, 0.01, 0, 0, Active::all},
      {"jamba", 52, 0.01, 12, 0.01, Active::all},
      {"arctic", 480, 0.01, 17, 0.02, Active::all},
      {"minimax-m2", 230, 0.01, 10, 0.025, Active::without_embedding_and_output},
      {"ernie-4.5", 21, 0.04, 3, 0.035, Active::without_embedding},
      {"hunyuan", 80, 0.01, 13, 0.02, Active::all},
      {"granite-moe", 3.3, 0.01, 0.8, 0.015, Active::without_embedding},
      {"granite-moe-1b", 1.33, 0.01, 0.4, 0.06, Active::without_embedding},
      {"gemma4", 25.2, 0.01, 3.8, 0.01, Active::all},
      {"longcat", 560, 0.01, 27, 0.01, Active::without_embedding},
      {"nemotron-h", 31.6, 0.01, 3.2, 0.01, Active::without_embedding},
  };
  std::set<std::string> compared;
  for (const auto& row : published) {
    const Preset& p = preset(row.name);
    ASSERT_TRUE(p.parts.has_value()) << row.name;
    EXPECT_STRNE(p.published, "") << row.name;
    const ModelFigures figures = count_model_figures(p.layer_figures(), *p.parts);
    const double total = static_cast<double>(figures.parameters) / 1e9;
    EXPECT_NEAR(total, row.total, row.total * row.total_tolerance) << row.name;
    uint64_t active = figures.active_parameters;
    if (row.counts != Active::all) active -= p.parts->embedding;
    if (row.counts == Active::without_embedding_and_output) active -= p.parts->output;
    if (row.active > 0) {
      EXPECT_NEAR(static_cast<double>(active) / 1e9, row.active, row.active * row.active_tolerance) << row.name;
    }
    compared.insert(row.name);
  }
  for (const Preset& one : all_presets()) {
    EXPECT_EQ(one.parts.has_value(), compared.count(one.name) == 1) << one.name;
  }
}

// By hand, for a layer that has everything: H=8, F=4, E=6 and 2 identity experts, k=4, at width 5.
TEST(PresetFigures, LayerFiguresByHand) {
  moe_layer_desc d = MOE_INIT(moe_layer_desc);
  d.hidden = 8, d.intermediate = 4, d.experts = 6, d.identity_experts = 2, d.top_k = 4, d.latent = 5;
  d.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_EXPERT_BIAS | MOE_LAYER_LATENT_NORM |
            MOE_LAYER_PER_EXPERT_SCALE | MOE_LAYER_ROUTER_INPUT_SCALE | MOE_LAYER_INPUT_NORM;
  d.shared_intermediate = 7, d.shared_gate = MOE_SHARED_GATE_SIGMOID;
  const uint64_t expert = 3 * 5 * 4 + 2 * 4 + 5;
  // Router 8 x 8 and three numbers a candidate, input scale and norm, latent matrices and norm, shared and its gate.
  const uint64_t always = 64 + 3 * 8 + 2 * 8 + 2 * 8 * 5 + 5 + 3 * 8 * 7 + 8;
  EXPECT_EQ(count_layer_figures(d).parameters, always + 6 * expert);
  EXPECT_EQ(count_layer_figures(d).active_parameters, always + 3 * expert);  // 4 choices, 6 of 8 are experts

  d = MOE_INIT(moe_layer_desc);
  d.hidden = 8, d.intermediate = 4, d.experts = d.top_k = 1, d.route_source = MOE_ROUTE_DENSE;
  d.flags = MOE_LAYER_UNGATED;
  EXPECT_EQ(count_layer_figures(d).parameters, 64u);
  EXPECT_EQ(count_layer_figures(d).active_parameters, 64u);
}

}  // namespace
}  // namespace moevk::model
