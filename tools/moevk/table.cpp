// SPDX-License-Identifier: MIT
//
// In:  the rows of a Table.
// Out: lines on stdout, columns as wide as their widest cell.
// Why: widths count printed columns, so that colour and UTF-8 do not break the alignment.
#include "tools/moevk/table.h"

#include <algorithm>
#include <cstdio>

#include "tools/moevk/terminal.h"

namespace moevk::cli {

Table::Table(std::vector<std::string> headings) {
  for (std::string& text : headings) {
    right_.push_back(!text.empty() && text[0] == '>');
    if (right_.back()) text.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(right_.size());
  rows_.push_back(std::move(cells));
}

void Table::print(size_t indent) const {
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  for (size_t index = 0; index < rows_.size(); ++index) {
    std::string line(indent, ' ');
    for (size_t column = 0; column < right_.size(); ++column) {
      const std::string& cell = rows_[index][column];
      const std::string padding(widths[column] - display_width(cell), ' ');
      line += right_[column] ? padding + cell : cell + padding;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", index == 0 ? heading(line).c_str() : line.c_str());
  }
}

void print_figure(const char* what, uint64_t number, const std::string& text) {
  std::printf("  %-22s %18s  %s\n", what, grouped_text(number).c_str(), text.c_str());
}

}  // namespace moevk::cli
