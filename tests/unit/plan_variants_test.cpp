// SPDX-License-Identifier: MIT
//
// Plans of every way to call a layer: where routes come from, what x is like, what is asked for, and the stages on
// their own. The rules of plan_check.h hold for all; the table below says how many barriers each needs, and why some
// need more than three (few tokens) or five (512).
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "tests/layers/layer_shapes.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

constexpr uint32_t bit(ViewId id) { return 1u << static_cast<uint32_t>(id); }
constexpr uint64_t kTokens[] = {1, 2, 3, 8, 16, 17, 64, 100, 128, 512, 513, 4096};

moe_layer_desc from(moe_layer_desc d, uint32_t source) {
  d.route_source = source;
  d.flags &= ~static_cast<uint32_t>(MOE_LAYER_ROUTER_BIAS);
  if (source != MOE_ROUTE_FROM_LOGITS) {
    d.flags &= ~static_cast<uint32_t>(MOE_LAYER_SELECTION_BIAS);
    d.score = MOE_SCORE_IDENTITY;
  }
  return d;
}

// Whatever the layer gives back when asked.
uint32_t all_outputs(const LayerSpec& spec) {
  uint32_t outputs = bit(ViewId::kIds) | bit(ViewId::kWeights) | bit(ViewId::kCounts);
  if (spec.computes_logits()) outputs |= bit(ViewId::kLogits);
  if (spec.desc.route_source <= MOE_ROUTE_FROM_SCORES) outputs |= bit(ViewId::kScores);
  return outputs;
}

void ask_for_all(const LayerSpec& spec, CallShape* shape) {
  shape->outputs = all_outputs(spec);
  shape->ids_columns = shape->weights_columns = spec.slots;
}

struct Variant {
  const char* name;
  std::function<moe_layer_desc(moe_layer_desc)> layer;
  std::function<void(const LayerSpec&, CallShape*)> call;
  // Most barriers at T = 1..16 and at T = 512, of layers without and with a gate on the shared experts.
  size_t few, few_gated, many, many_gated;
};

const std::vector<Variant>& variants() {
  const auto same = [](moe_layer_desc d) { return d; };
  const auto as_is = [](const LayerSpec&, CallShape*) {};
  const auto routed_by = [](uint32_t source) { return [source](moe_layer_desc d) { return from(d, source); }; };
  static const std::vector<Variant> all = {
      {"in place", same, as_is, 3, 3, 5, 5},
      {"x not in place", same, [](const LayerSpec&, CallShape* s) { s->x_direct = false; }, 3, 3, 5, 5},
      {"f16 in, bf16 out", same,
       [](const LayerSpec&, CallShape* s) {
         s->x_direct = false;
         s->x_dtype = MOE_DTYPE_F16;
         s->y_dtype = MOE_DTYPE_BF16;
       },
       3, 3, 5, 5},
      {"input norm",
       [](moe_layer_desc d) {
         d.flags |= MOE_LAYER_INPUT_NORM;
         return d;
       },
       as_is, 3, 3, 5, 5},
      {"residual", same, [](const LayerSpec&, CallShape* s) { s->residual_dtype = MOE_DTYPE_F16; }, 3, 3, 5, 5},
      {"every output", same, ask_for_all, 3, 3, 5, 5},
      // Routes are dropped after the selection of all tokens, in a step of its own.
      {"capacity",
       [](moe_layer_desc d) {
         d.capacity = MOE_CAPACITY_POSITION;
         d.capacity_factor = 1;
         return d;
       },
       as_is, 4, 4, 6, 6},
      // The router falls away, and its step with it. A gate on the shared experts brings the step back, and then the
      // block sort makes one more than five: the gate's logit cannot join the selection, which reads no x.
      {"logits from the host", routed_by(MOE_ROUTE_FROM_LOGITS), as_is, 2, 3, 5, 6},
      {"scores from the host", routed_by(MOE_ROUTE_FROM_SCORES), as_is, 2, 3, 5, 6},
      {"ids from the host", routed_by(MOE_ROUTE_FROM_IDS), as_is, 2, 3, 5, 6},
      {"ids from the host, every output, x not in place", routed_by(MOE_ROUTE_FROM_IDS),
       [](const LayerSpec& spec, CallShape* s) {
         ask_for_all(spec, s);
         s->x_direct = false;
       },
       2, 3, 5, 6},
      // E = 1 without a router: the same steps.
      {"dense",
       [](moe_layer_desc d) {
         d = from(d, MOE_ROUTE_DENSE);
         d.experts = d.top_k = 1;
         d.identity_experts = 0;
         return d;
       },
       as_is, 2, 3, 5, 6},
      {"ids from a table",
       [](moe_layer_desc d) {
         d.flags &= ~static_cast<uint32_t>(MOE_LAYER_SELECTION_BIAS);
         d.route_source = MOE_ROUTE_FROM_TOKEN_TABLE;
         d.token_table_rows = 1000;
         return d;
       },
       ask_for_all, 3, 3, 5, 5},
      {"identity experts, groups of two",
       [](moe_layer_desc d) {
         d.identity_experts = d.experts;
         d.groups = 2;
         d.groups_kept = 2;
         return d;
       },
       ask_for_all, 3, 3, 5, 5},
      {"a router input of its own, weights on the input",
       [](moe_layer_desc d) {
         d.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE |
                    MOE_LAYER_PER_EXPERT_SCALE | MOE_LAYER_WEIGHT_ON_INPUT;
         d.shared_gate = MOE_SHARED_GATE_ONE;
         return d;
       },
       [](const LayerSpec&, CallShape* s) { s->router_x_dtype = MOE_DTYPE_BF16; }, 3, 3, 5, 5},
      {"a shared width of its own",
       [](moe_layer_desc d) {
         d.shared_intermediate = d.intermediate + 32;
         return d;
       },
       as_is, 3, 3, 5, 5},
      {"shared experts in another format",
       [](moe_layer_desc d) {
         d.shared_intermediate = d.intermediate;
         d.shared_up_format.element = MOE_ELEMENT_F32;
         return d;
       },
       as_is, 3, 3, 5, 5},
      {"no gate matrix",
       [](moe_layer_desc d) {
         d.flags |= MOE_LAYER_UNGATED;
         d.activation = MOE_ACTIVATION_RELU2;
         return d;
       },
       as_is, 3, 3, 5, 5},
  };
  return all;
}

std::string join(const std::vector<std::string>& problems) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(problems.size(), 5); ++i) text += "\n  " + problems[i];
  return text;
}

class PlanVariants : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(All, PlanVariants, ::testing::Range<size_t>(0, variants().size()), [](const auto& info) {
  std::string name = variants().at(info.param).name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

// The way out of the latent space is a step of its own; the way in only where x must be prepared and the host has
// taken the router's step away.
size_t latent_steps(const LayerSpec& spec, const CallShape& shape) {
  if (!spec.latent()) return 0;
  const bool one_step = !spec.computes_logits() && !spec.shared_router() && shape.tokens <= kNumberMaxSmallTokens;
  return one_step && !shape.x_direct ? 2 : 1;
}

TEST_P(PlanVariants, KeepTheRules) {
  const Variant& v = variants()[GetParam()];
  SCOPED_TRACE(v.name);
  size_t most[2][2] = {};  // [T = 512][gate on the shared experts]
  for (const char* name : {"swiftshader", "wide-discrete", "windows-only", "floor"}) {
    const DeviceCaps caps = std::string(name) == "windows-only" ? windows_only() : device(name);
    for (const LayerShape& one : layer_shapes()) {
      Planned p(make_spec(v.layer(describe(one, WeightFormat::kF16))), caps);
      if (!p.layout.ok()) continue;
      const bool gated = p.spec.shared_router();
      const size_t passes =
          p.layout.value().passes_of(WeightSet::kGateUp).size() + p.layout.value().passes_of(WeightSet::kDown).size();
      for (const uint64_t tokens : kTokens) {
        // The floor cuts a large layer into thousands of passes; such plans only differ in length.
        if (passes * (tokens / chunk_limit(p.spec, caps) + 1) > 500) continue;
        if (p.spec.desc.capacity != MOE_CAPACITY_NONE && tokens > chunk_limit(p.spec, caps)) continue;  // refused
        CallShape shape = forward_shape(p.spec, tokens);
        v.call(p.spec, &shape);
        const Plan plan = p.plan(shape);
        const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), caps, plan);
        ASSERT_TRUE(problems.empty()) << one.name << " on " << name << ", T " << tokens << join(problems);
        const bool one_chunk = plan.steps.front().tokens == tokens;
        const bool one_pass =
            p.layout.value().passes_of(WeightSet::kDown).size() == 1;  // else the combination is a step of its own
        if (!one_chunk || !one_pass || (tokens > 16 && tokens != 512)) continue;
        size_t& worst = most[tokens == 512][gated];
        worst = std::max(worst, plan.barriers() - latent_steps(p.spec, shape));
      }
    }
  }
  EXPECT_EQ(most[0][0], v.few);
  EXPECT_EQ(most[1][0], v.many);
  EXPECT_TRUE(most[0][1] == v.few_gated || most[0][1] == 0) << most[0][1];
  EXPECT_TRUE(most[1][1] == v.many_gated || most[1][1] == 0) << most[1][1];
}

// What asks for an output gets it, exactly once a chunk.
TEST(PlanOutputs, EachIsWrittenOnceAChunk) {
  for (const uint64_t tokens : {1, 64, 512, 4096}) {
    Planned p(make_spec(layer_shape("qwen1.5-moe"), WeightFormat::kF16), device("wide-discrete"));
    CallShape shape = forward_shape(p.spec, tokens);
    ask_for_all(p.spec, &shape);
    const Plan plan = p.plan(shape);
    for (const ViewId id :
         {ViewId::kIds, ViewId::kWeights, ViewId::kLogits, ViewId::kScores, ViewId::kCounts, ViewId::kY}) {
      size_t written = 0, chunks = 0;
      uint64_t chunk = UINT64_MAX;
      for (const Step& step : plan.steps) {
        chunks += step.first_token != chunk ? 1 : 0;
        chunk = step.first_token;
        for (const Dispatch& d : step.dispatches) {
          written += static_cast<size_t>(std::count_if(d.bindings.begin(), d.bindings.end(), [&](const Binding& b) {
            return b.kind == Binding::Kind::kView && b.index == static_cast<uint8_t>(id);
          }));
        }
      }
      EXPECT_EQ(written, chunks) << view_name(id) << ", T " << tokens;
    }
  }
}

// Scores of E + Z experts may be the widest thing in a workspace.
TEST(PlanChunks, FitTheScoresOfManyIdentityExperts) {
  moe_layer_desc d = moe_init<moe_layer_desc>();
  d.hidden = d.intermediate = 16;
  d.experts = 8;
  d.identity_experts = 1024;
  d.top_k = 1;
  d.route_source = MOE_ROUTE_FROM_LOGITS;
  Planned p(make_spec(d), device("floor"));
  ASSERT_TRUE(p.layout.ok());
  CallShape shape = forward_shape(p.spec, 4096);
  ask_for_all(p.spec, &shape);
  Result<Plan> plan = plan_call(p.spec, p.layout.value(), p.caps, shape);
  ASSERT_TRUE(plan.ok()) << plan.status().text();
  const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), p.caps, plan.value());
  EXPECT_TRUE(problems.empty()) << join(problems);
}

// An expert's places are shared by all tokens of a call: never cut in passes that know nothing of each other.
TEST(PlanStages, CapacityIsOfOnePass) {
  moe_layer_desc d = describe(layer_shapes().front(), WeightFormat::kF32);
  d.capacity = MOE_CAPACITY_POSITION;
  d.capacity_factor = 1.25f;
  Planned p(make_spec(d), device("wide-discrete"));
  ASSERT_TRUE(p.layout.ok());
  const uint64_t most = chunk_limit(p.spec, p.caps);
  for (const Stage stage : {Stage::kForward, Stage::kRoute}) {
    CallShape shape = forward_shape(p.spec, most);
    shape.stage = stage;
    EXPECT_TRUE(plan_call(p.spec, p.layout.value(), p.caps, shape).ok());
    shape.tokens = most + 1;
    Result<Plan> refused = plan_call(p.spec, p.layout.value(), p.caps, shape);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.status().code(), MOE_ERROR_UNSUPPORTED);
    EXPECT_EQ(refused.status().argument(), "args.tokens");
  }
}

TEST(LayerSpec, AnExpertsPlaces) {
  moe_layer_desc d = describe(layer_shapes().front(), WeightFormat::kF32);
  d.experts = 8, d.top_k = 2, d.capacity = MOE_CAPACITY_POSITION;
  const auto places = [&](float factor, uint32_t minimum, uint64_t tokens) {
    d.capacity_factor = factor, d.capacity_minimum = minimum;
    return make_spec(d).expert_capacity(tokens);
  };
  EXPECT_EQ(places(1, 0, 1), 1u);  // 0.25
  EXPECT_EQ(places(1, 0, 12), 3u);
  EXPECT_EQ(places(1.1f, 0, 40), 11u);   // 11.0000002
  EXPECT_EQ(places(1.25f, 0, 40), 13u);  // 12.5
  EXPECT_EQ(places(0, 6, 4096), 6u);
  EXPECT_EQ(places(2, 6, 4), 6u);
}

TEST(PlanStages, KeepTheRules) {
  size_t plans = 0;
  for (const char* name : {"swiftshader", "wide-discrete", "floor"}) {
    for (const LayerShape& one : layer_shapes()) {
      Planned p(make_spec(one, WeightFormat::kF16), device(name));
      if (!p.layout.ok()) continue;
      for (const Stage stage : {Stage::kRoute, Stage::kPlanDispatch, Stage::kExperts, Stage::kCombine}) {
        for (const uint64_t tokens : kTokens) {
          CallShape shape = forward_shape(p.spec, tokens);
          shape.stage = stage;
          shape.x_direct = shape.x_direct && stage == Stage::kExperts && tokens % 2 == 0;
          if (stage == Stage::kRoute) ask_for_all(p.spec, &shape);
          if (stage == Stage::kPlanDispatch) shape.outputs = bit(ViewId::kCounts);
          if (stage == Stage::kCombine) shape.residual_dtype = MOE_DTYPE_F32;
          Result<Plan> plan = plan_call(p.spec, p.layout.value(), p.caps, shape);
          const std::string where =
              one.name + ", " + stage_name(stage) + " of " + std::to_string(tokens) + " tokens on " + name;
          const bool whole = stage == Stage::kPlanDispatch || stage == Stage::kExperts;
          if (whole && tokens > chunk_limit(p.spec, p.caps)) {
            ASSERT_FALSE(plan.ok()) << where;
            EXPECT_EQ(plan.status().code(), MOE_ERROR_UNSUPPORTED);
            EXPECT_EQ(plan.status().argument(), "args.tokens");
            continue;
          }
          ASSERT_TRUE(plan.ok()) << where << ": " << plan.status().text();
          const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), p.caps, plan.value());
          ASSERT_TRUE(problems.empty()) << where << join(problems);
          ++plans;
        }
      }
    }
  }
  EXPECT_GT(plans, 1500u);
}

}  // namespace
}  // namespace moevk::unit
