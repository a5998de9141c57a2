// SPDX-License-Identifier: MIT
//
// In:  arithmetic as test vectors have it.
// Out: its value, or what is wrong with it.
// Why: expected values are computed from this text; a slip here would be a wrong judge.
#include "tools/model/expression.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moevk::model {
namespace {

const NamedValues kNames = {{"w0", 0.25}, {"s", 3.0}};

double value(const char* text) {
  const ExpressionValue result = evaluate(text, kNames);
  EXPECT_EQ(result.error, "") << text;
  return result.value;
}

TEST(Expression, FollowsTheRulesOfArithmetic) {
  EXPECT_EQ(value("1"), 1);
  EXPECT_EQ(value("-1"), -1);
  EXPECT_EQ(value("1e-9"), 1e-9);
  EXPECT_EQ(value("2+3*4"), 14);
  EXPECT_EQ(value("2*3+4"), 10);
  EXPECT_EQ(value("7-2-1"), 4);
  EXPECT_EQ(value("16/4/2"), 2);
  EXPECT_EQ(value("-2*-3"), 6);
  EXPECT_EQ(value("2*(3+4)"), 14);
  EXPECT_EQ(value("-(1+2)*2"), -6);
  EXPECT_EQ(value("w0*4 + s"), 4);
  EXPECT_EQ(value(" 1 + 1 "), 2);
  EXPECT_EQ(value("ln(1)"), 0);
  EXPECT_DOUBLE_EQ(value("3*ln(2)"), std::log(8.0));
  EXPECT_DOUBLE_EQ(value("exp(ln(5))"), 5);
  EXPECT_DOUBLE_EQ(value("sqrt(2)*sqrt(2)"), 2);
  EXPECT_DOUBLE_EQ(value("tanh(1)"), std::tanh(1.0));
  EXPECT_DOUBLE_EQ(value("2/pi"), 2 / 3.14159265358979323846);
  EXPECT_TRUE(std::isinf(value("-inf")));
  EXPECT_TRUE(std::isnan(value("nan")));
}

TEST(Expression, SaysWhatIsWrong) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"", "the end stands where a value should"},
      {"1+", "the end stands where a value should"},
      {"1 2", "'2' stands where the value should end"},
      {"1,2", "',2' stands where the value should end"},
      {"(1", "the end stands where ')' should"},
      {"1)", "')' stands where the value should end"},
      {"ln 2", "'2' stands where '(' should"},
      {"ln()", "')' stands where a value should"},
      {"ln(-1)", "ln() of a number outside its domain"},
      {"sqrt(0-4)", "sqrt() of a number outside its domain"},
      {"1/(2-2)", "divides by zero"},
      {"x1", "there is no 'x1'"},
      {"1e999", "'1e999' is no number that float64 can hold"},
      {"$", "'$' stands where a value should"},
      {"0x10", "'x10' stands where the value should end"},
  };
  for (const auto& one : cases) EXPECT_EQ(evaluate(one.text, kNames).error, one.error) << one.text;
}

TEST(Expression, DepthIsLimited) {
  const std::string deep = std::string(100000, '(') + "1";
  EXPECT_EQ(evaluate(deep, kNames).error, "is nested too deeply");
  EXPECT_EQ(evaluate(std::string(100000, '-') + "1", kNames).error, "is nested too deeply");
  // Many factors one after another are no depth.
  std::string wide = "1";
  for (int i = 0; i < 1000; ++i) wide += "*1+0";
  EXPECT_EQ(value(wide.c_str()), 1);
}

TEST(Expression, NamesThatMeanNothingYet) {
  EXPECT_TRUE(is_free_name("w0"));
  EXPECT_TRUE(is_free_name("a_b"));
  for (const char* name : {"", "0a", "_a", "a-b", "ln", "exp", "pi", "inf", "nan", "ä"}) {
    EXPECT_FALSE(is_free_name(name)) << name;
  }
}

}  // namespace
}  // namespace moevk::model
