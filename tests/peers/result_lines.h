// SPDX-License-Identifier: MIT
//
// In:  what a peer said of a family's layer on a device.
// Out: a line on the screen, the same for machines in a file, and totals.
// Why: docs/families.md is made from such lines. One line: family, oracle, device, pass | fail | skip, a figure or the
//      reason, between tabs.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace moevk::peers {

enum class Verdict { pass, fail, skip };

class ResultLines {
 public:
  // Appends to `path`; empty: the screen alone. Throws std::runtime_error.
  ResultLines(std::string oracle, const std::string& path);

  // `name` is shown on the screen; one family may have several cases, and an empty one leaves
  // no line in the file. Tabs and line ends in `text` become spaces.
  void add(const std::string& name, const std::string& family, const std::string& device, Verdict verdict,
           const std::string& text);
  // Prints "N passed, N failed, N skipped"; the exit code of the program: nothing passed is a failure, too.
  int finish() const;

 private:
  std::string oracle_;
  std::ofstream file_;
  uint32_t passed_ = 0, failed_ = 0, skipped_ = 0;
};

}  // namespace moevk::peers
