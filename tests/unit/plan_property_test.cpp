// SPDX-License-Identifier: MIT
//
// Plans of forward for every layer shape of docs/semantics.md, on every device of tests/devices and on a device
// without addresses: the rules of plan_check.h, the number of barriers, the watchdog. On the software drivers and the
// synthetic devices for 18 numbers of tokens and two formats, on the many GPUs for five and one.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/layers/layer_shapes.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

const std::vector<uint64_t> kTokens = {1, 2, 3, 4, 8, 9, 15, 16, 17, 32, 33, 64, 100, 128, 512, 513, 2048, 4096};
const std::vector<uint64_t> kFewTokens = {1, 4, 32, 512, 4096};

struct NamedDevice {
  std::string name;
  DeviceCaps caps;

  bool is_gpu() const { return caps.vendor_id != 0 && caps.kind != MOE_DEVICE_KIND_CPU_VULKAN; }
  // Not trusted with much work in one dispatch: 512 tokens may take several chunks.
  bool is_slow() const { return caps.kind != MOE_DEVICE_KIND_DISCRETE_GPU && caps.kind != MOE_DEVICE_KIND_CPU_VULKAN; }
};

const std::vector<NamedDevice>& devices() {
  static const std::vector<NamedDevice> all = [] {
    std::vector<NamedDevice> list;
    for (const std::string& name : device_names()) list.push_back({name, device(name)});
    list.push_back({"windows-only", windows_only()});
    return list;
  }();
  return all;
}

using Visit = std::function<void(const std::string& where, const LayerShape&, const NamedDevice&, Planned&)>;

void for_each_layer(const Visit& visit) {
  for (const NamedDevice& one : devices()) {
    for (const LayerShape& shape : layer_shapes()) {
      for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16}) {
        if (one.is_gpu() && format == WeightFormat::kF32) continue;
        Planned planned(make_spec(shape, format), one.caps);
        visit(shape.name + " " + format_name(format) + " on " + one.name, shape, one, planned);
      }
    }
  }
}

// Barriers as design and kernels have them: the combination is a step of its own for few tokens where down takes
// several binding passes; a latent space costs one; chunks follow each other.
size_t expected_barriers(const LayerSpec& spec, const WeightLayout& layout, const Plan& plan) {
  size_t steps = 0;
  uint64_t chunk = UINT64_MAX;
  for (const Step& step : plan.steps) {
    if (step.first_token == chunk) continue;
    chunk = step.first_token;
    const bool small = step.tokens <= kNumberMaxSmallTokens;
    steps += (small ? 4 : 6) + (spec.latent() ? 1 : 0);
    if (small && layout.passes_of(WeightSet::kDown).size() > 1) ++steps;
  }
  return steps - 1;
}

TEST(PlanProperties, EveryShapeOnEveryDevice) {
  size_t plans = 0;
  for_each_layer([&](const std::string& where, const LayerShape&, const NamedDevice& one, Planned& p) {
    if (!p.layout.ok()) {
      // The floor's range of 1 MiB is below every driver's; it may refuse, and says which limit it was.
      EXPECT_EQ(one.name, "floor") << where << ": " << p.layout.status().text();
      EXPECT_EQ(p.layout.status().code(), MOE_ERROR_UNSUPPORTED);
      EXPECT_NE(p.layout.status().text().find("max_storage_buffer_range = 1048576"), std::string::npos)
          << p.layout.status().text();
      return;
    }
    for (const uint64_t tokens : one.is_gpu() ? kFewTokens : kTokens) {
      const CallShape shape = forward_shape(p.spec, tokens);
      const Plan plan = p.plan(shape);
      const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), p.caps, plan);
      EXPECT_TRUE(problems.empty()) << where << ", T " << tokens << ": " << problems.size() << " problems; "
                                    << problems.front();
      EXPECT_EQ(plan.barriers(), expected_barriers(p.spec, p.layout.value(), plan)) << where << ", T " << tokens;
      EXPECT_TRUE(same_plan(plan, p.plan(shape))) << where << ", T " << tokens;
      ++plans;
      if (::testing::Test::HasFailure()) return;
    }
  });
  EXPECT_GT(plans, 3500u);
}

TEST(PlanProperties, TheFloorRunsSmallLayers) {
  std::vector<std::string> accepted;
  for_each_layer([&](const std::string&, const LayerShape& shape, const NamedDevice& one, Planned& p) {
    if (one.name == "floor" && p.layout.ok() && (accepted.empty() || accepted.back() != shape.name))
      accepted.push_back(shape.name);
  });
  EXPECT_EQ(accepted, (std::vector<std::string>{"deepseek-v2-lite", "qwen1.5-moe", "qwen3-30b", "llama-4-scout",
                                                "olmoe", "granite-1b", "granite-3b"}));
}

// At most three barriers for 1 to 16 tokens, and one for a latent space. One more only where weights are read through
// windows and down has more of them than a kernel can bind, so that it cannot combine.
TEST(PlanProperties, AtMostThreeBarriersForFewTokens) {
  size_t several_passes = 0;
  for_each_layer([&](const std::string& where, const LayerShape&, const NamedDevice&, Planned& p) {
    if (!p.layout.ok()) return;
    const WeightLayout& layout = p.layout.value();
    const bool several = layout.passes_of(WeightSet::kDown).size() > 1;
    if (several) {
      EXPECT_EQ(p.caps.buffer_device_address, 0u) << where;
      ++several_passes;
    }
    for (uint64_t tokens = 1; tokens <= 16; ++tokens) {
      EXPECT_LE(p.plan(forward_shape(p.spec, tokens)).barriers(), (several ? 4u : 3u) + (p.spec.latent() ? 1 : 0))
          << where << ", T " << tokens;
    }
  });
  EXPECT_GT(several_passes, 0u);
}

// At most five barriers for 512 tokens in one chunk, and one for a latent space. Chunks come from two limits: the
// workspace (256 MiB, and one region within the range that a device binds) where k times the width is large, as in the two shapes named here; and
// the watchdog, which is what cuts on devices that are not trusted with much work (below).
TEST(PlanProperties, AtMostFiveBarriersFor512Tokens) {
  std::vector<std::string> chunked, expected;
  for (const NamedDevice& one : devices()) {
    if (one.is_slow()) continue;
    const bool small_range = one.caps.max_storage_buffer_range == 128u << 20;
    for (const char* name : {"longcat", "kimi-k3"}) {
      if (name == std::string("longcat") && !small_range) continue;
      expected.push_back(std::string(name) + " on " + one.name + ": chunks of 256, " +
                         (name == std::string("kimi-k3") ? "13" : "11") + " barriers");
    }
  }
  for_each_layer([&](const std::string& where, const LayerShape& shape, const NamedDevice& one, Planned& p) {
    if (!p.layout.ok() || one.name == "floor") return;
    const Plan plan = p.plan(forward_shape(p.spec, 512));
    if (plan.steps.front().tokens == 512) {
      EXPECT_LE(plan.barriers(), p.spec.latent() ? 6u : 5u) << where;
      return;
    }
    EXPECT_EQ(std::count_if(plan.refused.begin(), plan.refused.end(),
                            [](const std::string& r) { return r.starts_with("one pass: "); }),
              1);
    if (one.is_slow()) return;
    const std::string line = shape.name + " on " + one.name + ": chunks of " +
                             std::to_string(plan.steps.front().tokens) + ", " + std::to_string(plan.barriers()) +
                             " barriers";
    if (chunked.empty() || chunked.back() != line) chunked.push_back(line);
  });
  EXPECT_EQ(chunked, expected);
}

// No dispatch is estimated above 100 ms on its kind of device; chunks are not cut below 64 tokens for it.
TEST(PlanProperties, Watchdog) {
  const struct {
    uint32_t kind;
    double rate;  // multiply-adds a second
  } kinds[] = {
      {MOE_DEVICE_KIND_DISCRETE_GPU, 4e12}, {MOE_DEVICE_KIND_INTEGRATED_GPU, 1e11}, {MOE_DEVICE_KIND_OTHER, 1e11}};
  const auto count_chunked = [&](const NamedDevice& one, double rate) {
    size_t chunked = 0;
    for (const LayerShape& shape : layer_shapes()) {
      Planned p(make_spec(shape, WeightFormat::kF16), one.caps);
      const Plan plan = p.plan(forward_shape(p.spec, 4096));
      chunked += plan.steps.front().tokens != 4096 ? 1 : 0;
      for (const Step& step : plan.steps) {
        for (const Dispatch& d : step.dispatches) {
          if (d.weight_set == WeightSet::kNone || step.tokens <= 64) continue;
          EXPECT_LE(d.flops / 2 / rate, 0.1)
              << shape.name << " on " << one.name << ", " << step.tokens << " tokens, " << step.name;
        }
      }
    }
    return chunked;
  };
  size_t gpus = 0;
  for (const auto& kind : kinds) {
    NamedDevice any = {"kind " + std::to_string(kind.kind), device("wide-discrete")};
    any.caps.kind = kind.kind;
    EXPECT_GT(count_chunked(any, kind.rate), 10u) << any.name;
    for (const NamedDevice& one : devices()) {
      if (!one.is_gpu() || one.caps.kind != kind.kind) continue;
      EXPECT_GT(count_chunked(one, kind.rate), 10u) << one.name;
      ++gpus;
    }
  }
  EXPECT_EQ(gpus, 19u);
}

// The projections of a latent space count for the watchdog, too, where the experts are narrow.
TEST(PlanProperties, WatchdogOfAWideLatentSpace) {
  DeviceCaps caps = device("wide-discrete");
  caps.kind = MOE_DEVICE_KIND_INTEGRATED_GPU;
  LayerShape shape = {"narrow", 7168, 64, 8, 1};
  shape.latent = 3584;
  Planned p(make_spec(shape, WeightFormat::kF16), caps);
  const Plan plan = p.plan(forward_shape(p.spec, 4096));
  size_t projections = 0;
  for (const Step& step : plan.steps) {
    for (const Dispatch& d : step.dispatches) {
      if (d.weight_set != WeightSet::kLatentDown && d.weight_set != WeightSet::kLatentUp) continue;
      ++projections;
      EXPECT_LE(d.flops / 2 / 1e11, 0.1) << step.tokens << " tokens, " << step.name;
    }
  }
  EXPECT_GT(projections, 2u);
}

// The workspace of the most tokens holds every call with fewer.
TEST(PlanProperties, TheLargestWorkspaceHoldsAll) {
  for (const char* name : {"kimi-k3", "qwen1.5-moe", "granite-1b", "longcat"}) {
    Planned p(make_spec(layer_shape(name), WeightFormat::kF16), device("wide-discrete"));
    const uint64_t limit = std::min<uint64_t>(chunk_limit(p.spec, p.caps), 600);
    uint64_t most = 0;
    for (uint64_t tokens = 1; tokens <= limit; ++tokens) {
      CallShape shape = forward_shape(p.spec, tokens);
      shape.x_direct = false;
      const uint64_t bytes = p.plan(shape).workspace_bytes;
      EXPECT_GE(bytes, most) << name << ", T " << tokens;
      most = std::max(most, bytes);
    }
  }
}

// Several binding passes share one matmul's work: the estimate of a plan does not grow with them.
TEST(PlanProperties, PassesShareTheEstimate) {
  for (const char* name : {"mixtral-8x22b", "deepseek-v3", "llama-4-scout"}) {
    const auto flops = [&](const DeviceCaps& caps) {
      Planned p(make_spec(layer_shape(name), WeightFormat::kF16), caps);
      double sum = 0;
      for (const Step& step : p.plan(forward_shape(p.spec, 2)).steps) {
        for (const Dispatch& d : step.dispatches) sum += d.weight_set != WeightSet::kNone ? d.flops : 0;
      }
      return sum;
    };
    const LayerShape shape = layer_shape(name);
    const double slots = shape.top_k + shape.shared / shape.intermediate;
    const double by_hand = 2.0 * 2 * slots * 3 * shape.hidden * shape.intermediate;  // 2 tokens
    EXPECT_NEAR(flops(device("wide-discrete")), by_hand, 1e-6 * by_hand) << name;
    EXPECT_NEAR(flops(windows_only()), by_hand, 1e-6 * by_hand) << name;
  }
}

// A small layer takes as many tokens at a time as the grids allow, and any number in all.
TEST(PlanProperties, ManyTokens) {
  for (const NamedDevice& one : devices()) {
    Planned p(make_spec(LayerShape{"small", 16, 16, 8, 3, 16}, WeightFormat::kF32), one.caps);
    for (const uint64_t tokens : {16383, 16384, 65535, 65536, 100000, 1000003}) {
      const Plan plan = p.plan(forward_shape(p.spec, tokens));
      const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), p.caps, plan);
      EXPECT_TRUE(problems.empty()) << one.name << ", T " << tokens << ": " << problems.front();
    }
  }
}

// Widths at the limit of the descriptor: the grids still fit.
TEST(PlanProperties, WidestLayers) {
  constexpr uint32_t kWidest = 262128;
  moe_layer_desc beyond = describe(LayerShape{"beyond", kWidest + 1, 16, 2, 1}, WeightFormat::kF16);
  EXPECT_EQ(make_layer_spec(beyond).status().argument(), "desc.hidden");
  size_t plans = 0;
  for (const auto& [hidden, intermediate] : {std::pair{262128u, 16u}, std::pair{16u, 262128u}}) {
    for (const NamedDevice& one : devices()) {
      Planned p(make_spec(LayerShape{"widest", hidden, intermediate, 2, 1}, WeightFormat::kF16), one.caps);
      if (!p.layout.ok()) continue;
      for (const uint64_t tokens : {1, 16, 17, 512}) {
        const Plan plan = p.plan(forward_shape(p.spec, tokens));
        const std::vector<std::string> problems = check_plan(p.spec, p.layout.value(), p.caps, plan);
        ++plans;
        EXPECT_TRUE(problems.empty()) << hidden << " x " << intermediate << " on " << one.name << ", T " << tokens
                                      << ": " << problems.front();
      }
    }
  }
  EXPECT_GT(plans, 30u);
}

}  // namespace
}  // namespace moevk::unit
