// SPDX-License-Identifier: MIT
//
// In:  results of cases, and texts of refusals.
// Out: tests of what `moevk check` calls a pass, and of what may be skipped.
// Why: a suite that skips what it should judge, or passes without having run, is worse than none.
#include <gtest/gtest.h>

#include "tests/conformance/conformance.h"
#include "tests/conformance/judge.h"

namespace moe_conformance {
namespace {

CaseResult with(const std::string& failure, const std::string& skipped) {
  CaseResult result;
  if (!failure.empty()) result.failures.push_back(failure);
  result.skipped = skipped;
  return result;
}

TEST(Report, PassesOnlyIfSomethingPassed) {
  Report report;
  EXPECT_FALSE(report.passed());
  report.cases.push_back(with("", "not here"));
  EXPECT_FALSE(report.passed()) << "all was skipped";
  report.cases.push_back(with("", ""));
  EXPECT_TRUE(report.passed());
  EXPECT_EQ(report.succeeded(), 1u);
  report.stopped = true;
  EXPECT_FALSE(report.passed());
  report.stopped = false;
  report.cases.push_back(with("wrong", "and skipped"));
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.succeeded(), 1u);
  EXPECT_EQ(report.skipped(), 1u);
  EXPECT_EQ(report.failed(), 1u);
}

TEST(Report, OnlyALimitOfTheDeviceSkips) {
  EXPECT_TRUE(names_a_limit("the router takes 9 bytes, more than max_storage_buffer_range = 8"));
  EXPECT_TRUE(names_a_limit("max_allocation_bytes"));
  EXPECT_FALSE(names_a_limit(""));
  EXPECT_FALSE(names_a_limit("H is above the limit of 262128"));
  EXPECT_FALSE(names_a_limit("max_tokens is 0"));
  EXPECT_FALSE(names_a_limit("not enough memory"));
  EXPECT_FALSE(names_a_limit("no_max_storage_buffer_range, max_storage_buffer_ranges"));
}

}  // namespace
}  // namespace moe_conformance
