// SPDX-License-Identifier: MIT
//
// In:  strings.
// Out: JSON text.
// Why: benchmarks and reports write small objects; that needs no JSON library.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace moevk::model {

// With quotes.
inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += code;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace moevk::model
