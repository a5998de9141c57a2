// SPDX-License-Identifier: MIT
//
// In:  what main got.
// Out: see arguments.h.
// Why: the program's own command line is asked for in this file alone.
#include "tools/moevk/arguments.h"

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
// after windows.h
#include <shellapi.h>
#endif

namespace moevk::cli {

Arguments::Arguments(int argc, char** argv) : texts_(argv, argv + argc) {
#if defined(_WIN32)
  int count = 0;
  wchar_t** wide = CommandLineToArgvW(GetCommandLineW(), &count);
  if (wide != nullptr) {
    texts_.clear();
    for (int i = 0; i < count; ++i) {
      std::string text(static_cast<size_t>(WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, nullptr, 0, nullptr, nullptr)),
                       '\0');
      WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, text.data(), static_cast<int>(text.size()), nullptr, nullptr);
      texts_.push_back(text.c_str());  // without the zero that ends it
    }
    LocalFree(wide);
  }
#endif
  for (const std::string& text : texts_) pointers_.push_back(text.c_str());
}

}  // namespace moevk::cli
