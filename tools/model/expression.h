// SPDX-License-Identifier: MIT
//
// In:  a value of a test vector as a person wrote it: "3/5*2 + ln(3)".
// Out: the number, in float64.
// Why: a vector's expected values are arithmetic that its reader can follow, so the arithmetic itself stands in the
//      file, and not a number that somebody typed off.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace moevk::model {

using NamedValues = std::map<std::string, double, std::less<>>;

struct ExpressionValue {
  double value = 0;
  std::string error;  // what is wrong with the text; empty: nothing
};

// Numbers, names, + - * / and parentheses, ln(), exp(), sqrt(), tanh(), and the names pi, inf and nan. Blanks mean nothing.
ExpressionValue evaluate(std::string_view text, const NamedValues& names);

// A letter, then letters, digits and underscores; none of the names that an expression has itself.
bool is_free_name(std::string_view text);

}  // namespace moevk::model
