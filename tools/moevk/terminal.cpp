// SPDX-License-Identifier: MIT
//
// In:  the terminal behind stdout and stderr, and the environment (COLUMNS, NO_COLOR, TERM).
// Out: the text helpers of terminal.h.
// Why: every question to the operating system about terminals is asked in this file.
#include "tools/moevk/terminal.h"

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <io.h>
#include <windows.h>
#else
#include <sys/ioctl.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace moevk::cli {
namespace {

bool is_terminal(int descriptor) {
#if defined(_WIN32)
  return _isatty(descriptor) != 0;
#else
  return isatty(descriptor) != 0;
#endif
}

bool colour_wanted() {
  static const bool wanted = [] {
    const char* no_color = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    return is_terminal(1) && (no_color == nullptr || *no_color == '\0') &&
           (term == nullptr || std::string_view(term) != "dumb");
  }();
  return wanted;
}

std::string coloured(const char* code, std::string_view text) {
  if (!colour_wanted()) return std::string(text);
  return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

std::string three_digits(double number) {
  return formatted(number < 9.995 ? "%.2f" : number < 99.95 ? "%.1f" : "%.0f", number);
}

}  // namespace

size_t terminal_width() {
  int columns = 0;
#if defined(_WIN32)
  CONSOLE_SCREEN_BUFFER_INFO facts{};
  if (GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &facts) != 0) columns = facts.dwSize.X;
#else
  winsize size{};
  if (ioctl(1, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
#endif
  if (columns <= 0) {
    const char* text = std::getenv("COLUMNS");
    columns = text != nullptr ? std::atoi(text) : 0;
  }
  return static_cast<size_t>(columns <= 0 ? 80 : std::clamp(columns, 40, 160));
}

bool stderr_is_terminal() { return is_terminal(2); }

void prepare_terminal() {
#if defined(_WIN32)
  SetConsoleOutputCP(CP_UTF8);
  for (const DWORD stream : {STD_OUTPUT_HANDLE, STD_ERROR_HANDLE}) {  // consoles before Windows 10 print escapes
    DWORD mode = 0;
    const HANDLE console = GetStdHandle(stream);
    if (GetConsoleMode(console, &mode) != 0) SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
  }
#endif
}

std::string good(std::string_view text) { return coloured("32", text); }
std::string bad(std::string_view text) { return coloured("1;31", text); }
std::string heading(std::string_view text) { return coloured("1", text); }
std::string remark(std::string_view text) { return coloured("2", text); }

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\x1b') {
      at = std::min(text.find('m', at), text.size());
    } else if ((static_cast<unsigned char>(text[at]) & 0xC0u) != 0x80u) {
      ++width;
    }
  }
  return width;
}

std::string formatted(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string text(static_cast<size_t>(std::max(length, 0)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

std::string bytes_text(double bytes) {
  static const char* const kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? formatted("%.0f B", bytes) : three_digits(bytes) + " " + kUnits[unit];
}

std::string quantity_text(double quantity) {
  static const char* const kUnits[] = {"", " k", " M", " B", " T"};
  size_t unit = 0;
  while (quantity >= 1000 && unit + 1 < std::size(kUnits)) {
    quantity /= 1000;
    ++unit;
  }
  return unit == 0 ? formatted("%.0f", quantity) : three_digits(quantity) + kUnits[unit];
}

std::string grouped_text(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string bar(double fraction, size_t cells) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (!(fraction > 0)) fraction = 0;
  const double eighths = std::min(fraction, 1.0) * static_cast<double>(cells) * 8;
  size_t filled = static_cast<size_t>(std::lround(eighths));
  if (fraction > 0 && filled == 0 && cells > 0) filled = 1;  // something is never shown as nothing
  std::string text;
  for (size_t cell = 0; cell < filled / 8; ++cell) text += "█";
  text += kEighths[filled % 8];
  text.append(cells - (filled + 7) / 8, ' ');
  return text;
}

Progress::Progress(std::string label)
    : label_(std::move(label)), start_(std::chrono::steady_clock::now()), drawn_(start_) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::update(uint64_t done, uint64_t total, std::string_view detail) {
  if (!stderr_is_terminal()) return;
  const auto now = std::chrono::steady_clock::now();
  const bool due = now - drawn_ >= std::chrono::milliseconds(50);
  if (!due || now - start_ < std::chrono::milliseconds(200)) return;  // short work shows nothing
  drawn_ = now;
  visible_ = true;
  const double fraction = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
  std::fprintf(stderr, "\r\x1b[K%s ▕%s▏ %3.0f %% %.*s", label_.c_str(), bar(fraction, 24).c_str(),
               100 * std::min(fraction, 1.0), static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
}

void Progress::clear() {
  if (visible_) std::fputs("\r\x1b[K", stderr);
  visible_ = false;
}

}  // namespace moevk::cli
