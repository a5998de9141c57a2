// SPDX-License-Identifier: MIT
//
// In:  see result_lines.h.
// Out: see result_lines.h.
// Why: both peers' programs end alike, so that scripts/test counts them alike.
#include "tests/peers/result_lines.h"

#include <algorithm>
#include <iostream>
#include <stdexcept>

namespace moevk::peers {

ResultLines::ResultLines(std::string oracle, const std::string& path) : oracle_(std::move(oracle)) {
  if (path.empty()) return;
  file_.open(path, std::ios::app);
  if (!file_) throw std::runtime_error(path + " cannot be written");
}

void ResultLines::add(const std::string& name, const std::string& family, const std::string& device, Verdict verdict,
                      const std::string& text) {
  const char* word = verdict == Verdict::pass ? "pass" : verdict == Verdict::fail ? "fail" : "skip";
  (verdict == Verdict::pass ? passed_ : verdict == Verdict::fail ? failed_ : skipped_) += 1;
  std::cout << word << ": " << name << ", " << device << ": " << text << "\n";
  std::string line = family + "\t" + oracle_ + "\t" + device + "\t" + word + "\t";
  std::string last = text;
  std::replace_if(
      last.begin(), last.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  if (!file_.is_open() || family.empty()) return;
  file_ << line << last << "\n" << std::flush;
  if (!file_) throw std::runtime_error("the results cannot be written");
}

int ResultLines::finish() const {
  std::cout << passed_ << " passed, " << failed_ << " failed, " << skipped_ << " skipped\n";
  return failed_ == 0 && passed_ > 0 ? 0 : 1;
}

}  // namespace moevk::peers
