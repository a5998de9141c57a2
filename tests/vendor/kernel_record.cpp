// SPDX-License-Identifier: MIT
//
// Text and comparison of records. The tolerances are for compilers that schedule a loop a little differently.
#include "tests/vendor/kernel_record.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace moevk::vendor {
namespace {

constexpr double kLoopTolerance = 1.03;
constexpr double kCodeTolerance = 1.10;

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value == std::floor(value) ? "%.0f" : "%.3f", value);
  return text;
}

class Comparison {
 public:
  Comparison(const KernelRecord& now, const KernelRecord& before) : now_(now), before_(before) {}

  std::vector<std::string> run() {
    const double* spills = now_.find("spills");
    if (spills != nullptr && *spills > 0) say("spills", *spills, "none are allowed");
    if (spills == nullptr && before_.find("spills") != nullptr) {
      problems_.push_back(now_.name + ": spills is no longer reported");
    }
    not_below("waves", "fewer subgroups at a time");
    not_below("subgroup", "narrower subgroups");
    const double *scratch = now_.find("scratch"), *before = before_.find("scratch");  // no word of it: none
    if (scratch != nullptr && *scratch > (before == nullptr ? 0 : *before)) {
      say("scratch", *scratch, "was " + number_text(before == nullptr ? 0 : *before) + ": more private memory");
    }
    not_above("per_fma", kLoopTolerance, "a heavier innermost loop");
    const bool only_code = before_.find("waves") == nullptr && before_.find("per_fma") == nullptr;
    if (only_code) not_above("code", kCodeTolerance, "larger code");
    return std::move(problems_);
  }

 private:
  void say(const std::string& fact, double value, const std::string& what) {
    problems_.push_back(now_.name + ": " + fact + " " + number_text(value) + ", " + what);
  }
  void not_below(const char* fact, const std::string& what) {
    const double *a = now_.find(fact), *b = before_.find(fact);
    if (b == nullptr) return;
    if (a == nullptr || *a < *b) say(fact, a == nullptr ? 0 : *a, "was " + number_text(*b) + ": " + what);
  }
  void not_above(const char* fact, double tolerance, const std::string& what) {
    const double *a = now_.find(fact), *b = before_.find(fact);
    if (b == nullptr) return;
    if (a == nullptr) {
      problems_.push_back(now_.name + ": " + fact + " is no longer reported");
    } else if (*a > *b * tolerance) {
      say(fact, *a, "was " + number_text(*b) + ": " + what);
    }
  }

  const KernelRecord& now_;
  const KernelRecord& before_;
  std::vector<std::string> problems_;
};

const KernelRecord* find(const std::vector<KernelRecord>& records, const std::string& name) {
  const auto at = std::find_if(records.begin(), records.end(), [&](const KernelRecord& r) { return r.name == name; });
  return at == records.end() ? nullptr : &*at;
}

}  // namespace

const double* KernelRecord::find(const std::string& fact) const {
  for (const auto& [name_of_fact, value] : facts) {
    if (name_of_fact == fact) return &value;
  }
  return nullptr;
}

std::string record_text(const KernelRecord& record) {
  std::string text = record.name;
  for (const auto& [fact, value] : record.facts) text += " " + fact + "=" + number_text(value);
  return text;
}

Result<std::vector<KernelRecord>> records_from_text(const std::string& text) {
  std::vector<KernelRecord> records;
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    KernelRecord record;
    words >> record.name;
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      char* end = nullptr;
      const double value = equals == std::string::npos ? 0 : std::strtod(word.c_str() + equals + 1, &end);
      if (end == nullptr || end == word.c_str() + equals + 1 || *end != '\0') {
        return invalid("line " + std::to_string(number), "\"" + word + "\" is not fact=value");
      }
      record.facts.emplace_back(word.substr(0, equals), value);
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<std::string> worse(const std::vector<KernelRecord>& now, const std::vector<KernelRecord>& before) {
  std::vector<std::string> problems;
  for (const KernelRecord& record : now) {
    const KernelRecord* old = find(before, record.name);
    if (old == nullptr) problems.push_back(record.name + ": has no budget yet");
    // Without a budget a spill is a spill all the same.
    for (std::string& problem : Comparison(record, old != nullptr ? *old : KernelRecord{record.name, {}}).run()) {
      problems.push_back(std::move(problem));
    }
  }
  for (const KernelRecord& old : before) {
    if (find(now, old.name) == nullptr) problems.push_back(old.name + ": has a budget, but no plan takes it any more");
  }
  return problems;
}

}  // namespace moevk::vendor
