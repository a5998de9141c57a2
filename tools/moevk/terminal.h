// SPDX-License-Identifier: MIT
//
// In:  numbers and words for a person.
// Out: text that fits the terminal: bars, colour where it is wanted, a progress line on stderr.
// Why: output is read by people and by grep. Colour only when stdout is a terminal and NO_COLOR is
// not
//      set; progress only when stderr is a terminal; every figure carries its unit in plain text.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace moevk::cli {

// Columns of the terminal behind stdout, else $COLUMNS, else 80; from 40 to 160.
size_t terminal_width();
bool stderr_is_terminal();
// Once, before anything is printed: what is printed is UTF-8, which a Windows console has to be told.
void prepare_terminal();

// Colours for the words "ok", "FAIL", headings and side remarks; plain text without colour.
std::string good(std::string_view text);
std::string bad(std::string_view text);
std::string heading(std::string_view text);
std::string remark(std::string_view text);

// Printed columns of UTF-8 text; colour codes count nothing.
size_t display_width(std::string_view text);

#if defined(__MINGW_PRINTF_FORMAT)
#define MOEVK_PRINTF __MINGW_PRINTF_FORMAT  // the printf that <cstdio> gives there, not Microsoft's
#else
#define MOEVK_PRINTF printf
#endif

// printf into a string.
[[gnu::format(MOEVK_PRINTF, 1, 2)]] std::string formatted(const char* format, ...);

// "12.3 MiB"; "7.22 M"; 1234567 as "1,234,567".
std::string bytes_text(double bytes);
std::string quantity_text(double quantity);
std::string grouped_text(uint64_t number);

// fraction 0..1 of `cells` columns in eighth blocks, padded with spaces.
std::string bar(double fraction, size_t cells);

// One line on stderr while long work runs; gone when it ends. Silent where stderr is no terminal.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` follows the bar, such as "1.2 GiB/s". Redraws at most 20 times a second.
  void update(uint64_t done, uint64_t total, std::string_view detail = {});
  void clear();
  double seconds() const;  // since construction

 private:
  std::string label_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
  bool visible_ = false;
};

}  // namespace moevk::cli
