// SPDX-License-Identifier: MIT
//
// In:  strings and numbers.
// Out: JSON text.
// Why: `bench` writes one small array; that needs no JSON library.
#pragma once

#include <string>
#include <string_view>

#include "tools/moevk/terminal.h"

namespace moevk::cli {

// With quotes.
inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += formatted("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace moevk::cli
