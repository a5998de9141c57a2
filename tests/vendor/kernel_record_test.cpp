// SPDX-License-Identifier: MIT
//
// Records as text and back, and each way in which a kernel may get worse: a budget that cannot fail is none.
#include "tests/vendor/kernel_record.h"

#include <gtest/gtest.h>

namespace moevk::vendor {
namespace {

const std::string kLine =
    "down_tile{DOWN_FORMAT=1} registers=72 spills=0 scratch=0 shared=6272 subgroup=64 waves=12 code=4312 per_fma=1.813";

KernelRecord parsed(const std::string& line) {
  Result<std::vector<KernelRecord>> records = records_from_text(line + "\n");
  EXPECT_TRUE(records.ok()) << line;
  return records.ok() && records.value().size() == 1 ? records.value()[0] : KernelRecord{};
}

// The line with one fact replaced; taken out where the value is empty.
KernelRecord with(const std::string& line, const std::string& fact, const std::string& value) {
  KernelRecord record = parsed(line);
  std::string text = record.name;
  for (const auto& [name, number] : record.facts) {
    KernelRecord one{"", {{name, number}}};
    if (name != fact) text += record_text(one);
    if (name == fact && !value.empty()) text += " " + fact + "=" + value;
  }
  return parsed(text);
}

std::vector<std::string> compared(const std::string& fact, const std::string& value) {
  return worse({with(kLine, fact, value)}, {parsed(kLine)});
}

TEST(KernelRecord, ComesBackAsItIs) {
  EXPECT_EQ(record_text(parsed(kLine)), kLine);
  EXPECT_TRUE(records_from_text("# a comment\n\n").value().empty());
  for (const char* bad : {"a b", "a b=", "a b=c", "a b=1x"}) {
    Result<std::vector<KernelRecord>> records = records_from_text(std::string("# one\n") + bad);
    ASSERT_FALSE(records.ok()) << bad;
    EXPECT_EQ(records.status().argument(), "line 2");
  }
}

TEST(KernelRecord, TheSameOrBetterIsNotWorse) {
  EXPECT_TRUE(worse({parsed(kLine)}, {parsed(kLine)}).empty());
  EXPECT_TRUE(compared("waves", "16").empty());
  EXPECT_TRUE(compared("per_fma", "1.2").empty());
  EXPECT_TRUE(compared("per_fma", "1.86").empty());  // within 3 %
  EXPECT_TRUE(compared("registers", "96").empty());  // what counts is how many subgroups fit
  EXPECT_TRUE(compared("code", "9000").empty());     // as long as the driver tells more than that
}

TEST(KernelRecord, EachWayToBeWorse) {
  const struct {
    const char* fact;
    const char* value;
    const char* said;
  } cases[] = {
      {"spills", "1", "down_tile{DOWN_FORMAT=1}: spills 1, none are allowed"},
      {"spills", "", "down_tile{DOWN_FORMAT=1}: spills is no longer reported"},
      {"waves", "11", "down_tile{DOWN_FORMAT=1}: waves 11, was 12: fewer subgroups at a time"},
      {"subgroup", "32", "down_tile{DOWN_FORMAT=1}: subgroup 32, was 64: narrower subgroups"},
      {"scratch", "16", "down_tile{DOWN_FORMAT=1}: scratch 16, was 0: more private memory"},
      {"per_fma", "1.9", "down_tile{DOWN_FORMAT=1}: per_fma 1.900, was 1.813: a heavier innermost loop"},
      {"per_fma", "", "down_tile{DOWN_FORMAT=1}: per_fma is no longer reported"},
  };
  for (const auto& c : cases) EXPECT_EQ(compared(c.fact, c.value), std::vector<std::string>{c.said}) << c.fact;
}

// A driver that tells the size of the code and nothing else.
TEST(KernelRecord, CodeSizeGuardsWhereNothingElseDoes) {
  const KernelRecord before = parsed("scan code=1000");
  EXPECT_TRUE(worse({parsed("scan code=1100")}, {before}).empty());
  EXPECT_EQ(worse({parsed("scan code=1101")}, {before}),
            std::vector<std::string>{"scan: code 1101, was 1000: larger code"});
}

TEST(KernelRecord, EveryKernelHasABudgetAndEveryBudgetAKernel) {
  EXPECT_EQ(worse({parsed("scan code=1"), parsed("scatter spills=2")}, {parsed("scan code=1"), parsed("route code=1")}),
            (std::vector<std::string>{"scatter: has no budget yet", "scatter: spills 2, none are allowed",
                                      "route: has a budget, but no plan takes it any more"}));
}

}  // namespace
}  // namespace moevk::vendor
