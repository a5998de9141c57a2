// SPDX-License-Identifier: MIT
//
// In:  text.
// Out: its value (see expression.h).
// Why: recursive descent, one function a level: sums of products of signed factors.
#include "tools/model/expression.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>

namespace moevk::model {
namespace {

constexpr int kMostNesting = 50;  // of parentheses and signs: a file from a stranger must not use up the stack

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_part(char c) { return is_letter(c) || is_digit(c) || c == '_'; }

struct Function {
  const char* name;
  double (*apply)(double);
};
constexpr Function kFunctions[] = {{"ln", [](double v) { return std::log(v); }},
                                   {"exp", [](double v) { return std::exp(v); }},
                                   {"sqrt", [](double v) { return std::sqrt(v); }},
                                   {"tanh", [](double v) { return std::tanh(v); }}};

class Parser {
 public:
  Parser(std::string_view text, const NamedValues& names) : text_(text), names_(names) {}

  ExpressionValue whole() {
    ExpressionValue result;
    result.value = sum();
    skip_blanks();
    if (error_.empty() && at_ < text_.size()) fail("stands where the value should end");
    result.error = error_;
    return result;
  }

 private:
  double sum() {
    double value = product();
    while (error_.empty()) {
      if (take('+')) {
        value += product();
      } else if (take('-')) {
        value -= product();
      } else {
        break;
      }
    }
    return value;
  }
  double product() {
    double value = factor();
    while (error_.empty()) {
      if (take('*')) {
        value *= factor();
      } else if (take('/')) {
        const double divisor = factor();
        if (error_.empty() && divisor == 0) error_ = "divides by zero";
        value /= divisor;
      } else {
        break;
      }
    }
    return value;
  }
  double factor() {
    if (++nesting_ > kMostNesting) {
      if (error_.empty()) error_ = "is nested too deeply";
      return 0;
    }
    double value = 0;
    if (take('-')) {
      value = -factor();
    } else if (take('+')) {
      value = factor();
    } else if (take('(')) {
      value = sum();
      expect(')');
    } else if (at_ < text_.size() && is_letter(text_[at_])) {
      value = named();
    } else {
      value = number();
    }
    --nesting_;
    return value;
  }
  double number() {
    double value = 0;
    const char* const first = text_.data() + at_;
    const char* const last = text_.data() + text_.size();
    // from_chars takes "inf" and "nan" too: a digit or a point must come first.
    if (at_ >= text_.size() || !(is_digit(*first) || *first == '.')) {
      fail("stands where a value should");
      return 0;
    }
    const auto [end, problem] = std::from_chars(first, last, value);
    if (problem != std::errc()) {
      fail("is no number that float64 can hold");
      return 0;
    }
    at_ += static_cast<size_t>(end - first);
    return value;
  }
  double named() {
    const size_t first = at_;
    while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
    const std::string_view name = text_.substr(first, at_ - first);
    for (const Function& function : kFunctions) {
      if (name != function.name) continue;
      expect('(');
      const double argument = sum();
      expect(')');
      const double value = function.apply(argument);
      if (error_.empty() && std::isnan(value)) error_ = std::string(name) + "() of a number outside its domain";
      return value;
    }
    if (name == "pi") return std::numbers::pi;
    if (name == "inf") return std::numeric_limits<double>::infinity();
    if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
    const auto found = names_.find(name);
    if (found != names_.end()) return found->second;
    if (error_.empty()) error_ = "there is no '" + std::string(name) + "'";
    return 0;
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char wanted) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (error_.empty() && !take(wanted)) fail(std::string("stands where '") + wanted + "' should");
  }
  void fail(const std::string& what) {
    if (!error_.empty()) return;
    error_ = (at_ < text_.size() ? "'" + std::string(text_.substr(at_)) + "'" : "the end") + " " + what;
  }

  std::string_view text_;
  const NamedValues& names_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::string error_;
};

}  // namespace

ExpressionValue evaluate(std::string_view text, const NamedValues& names) { return Parser(text, names).whole(); }

bool is_free_name(std::string_view text) {
  if (text.empty() || !is_letter(text[0]) || text == "pi" || text == "inf" || text == "nan") return false;
  for (const Function& function : kFunctions) {
    if (text == function.name) return false;
  }
  for (const char c : text) {
    if (!is_name_part(c)) return false;
  }
  return true;
}

}  // namespace moevk::model
