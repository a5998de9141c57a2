// SPDX-License-Identifier: MIT
//
// In:  rows of text cells.
// Out: aligned columns on stdout, one row a line, two spaces between columns.
// Why: every table of the command line looks the same and can be cut by awk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace moevk::cli {

class Table {
 public:
  // A heading that starts with '>' aligns its column to the right.
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> cells);
  // `indent` spaces before each line.
  void print(size_t indent = 0) const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // rows_[0]: the headings
};

// One line of a list of figures: what it is, the number in full, and in words.
void print_figure(const char* what, uint64_t number, const std::string& text);

}  // namespace moevk::cli
