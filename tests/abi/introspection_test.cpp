// SPDX-License-Identifier: MIT
//
// The introspection extension: facts of a device as text, plans from such text, timings of a flush.
#include <string>
#include <vector>

#include "tests/abi/call_fixture.h"

namespace moe_abi_tests {
namespace {

void MOE_CALL append(void* user, const char* text, uint64_t bytes) {
  static_cast<std::string*>(user)->append(text, static_cast<size_t>(bytes));
}

class IntrospectionTest : public CallTest {};
MOE_ON_BOTH_DEVICES(IntrospectionTest);

TEST_P(IntrospectionTest, CapsAndPlan) {
  std::string caps, again, plan, same;
  EXPECT_WORKS(introspection().get_caps_text(device_, append, &caps, &error));
  EXPECT_NE(caps.find(" = "), std::string::npos) << caps;
  EXPECT_WORKS(introspection().get_caps_text(device_, append, &again, &error));
  EXPECT_EQ(caps, again);
  EXPECT_WORKS(introspection().get_plan_text(caps.c_str(), &small_.desc, 5, append, &plan, &error));
  EXPECT_FALSE(plan.empty());
  EXPECT_WORKS(introspection().get_plan_text(caps.c_str(), &small_.desc, 5, append, &same, &error));
  EXPECT_EQ(plan, same);
}

TEST_P(IntrospectionTest, BadArguments) {
  std::string text;
  moe_statistics statistics_out = MOE_INIT(moe_statistics);
  uint32_t count = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", introspection().get_caps_text(nullptr, append, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "write", "NULL", introspection().get_caps_text(device_, nullptr, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "caps_text", "NULL",
               introspection().get_plan_text(nullptr, &small_.desc, 5, append, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", introspection().get_plan_text("", nullptr, 5, append, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "tokens", "1",
               introspection().get_plan_text("", &small_.desc, 0, append, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "write", "NULL",
               introspection().get_plan_text("", &small_.desc, 5, nullptr, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "", "no_such_fact|line",
               introspection().get_plan_text("no_such_fact = 3\n", &small_.desc, 5, append, &text, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", introspection().set_profiling(nullptr, 1, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", introspection().get_timings(nullptr, nullptr, &count, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "count", "NULL", introspection().get_timings(context_, nullptr, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "instance", "NULL", introspection().get_statistics(nullptr, &statistics_out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", introspection().get_statistics(instance_, nullptr, &error));
}

TEST_P(IntrospectionTest, Timings) {
  EXPECT_WORKS(introspection().set_profiling(context_, 1, &error));
  expect_context_usable();
  uint32_t count = 0;
  EXPECT_WORKS(introspection().get_timings(context_, nullptr, &count, &error));
  ASSERT_GT(count, 0u);
  std::vector<moe_step_timing> steps(count, MOE_INIT(moe_step_timing));
  EXPECT_WORKS(introspection().get_timings(context_, steps.data(), &count, &error));
  double flops = 0;
  for (const moe_step_timing& step : steps) {
    EXPECT_NE(step.name[0], '\0');
    EXPECT_EQ(step.call, 0u);
    flops += step.flops;
  }
  if (!GetParam()) {  // the reference follows no plan, which is where estimates come from
    EXPECT_GE(flops, 2.0 * 5 * 2 * 3 * 8 * 6) << "the experts of 5 tokens alone";
  }
  EXPECT_WORKS(introspection().set_profiling(context_, 0, &error));
  expect_context_usable();
}

}  // namespace
}  // namespace moe_abi_tests
