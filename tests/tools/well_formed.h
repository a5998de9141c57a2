// SPDX-License-Identifier: MIT
//
// In:  the text of a page.
// Out: what is wrong with it as XML; empty if nothing is.
// Why: a page with a tag left open, an attribute without quotes or a bare & is shown somehow by every browser, and
//      differently by each.
#pragma once

#include <string>
#include <vector>

namespace moe_tests {

inline std::string xml_problem(const std::string& text) {
  std::vector<std::string> open;
  bool had_root = false;
  const auto name_end = [&](size_t at) { return text.find_first_of(" \t\r\n/>=", at); };
  const auto entity_problem = [&](size_t from, size_t to) -> std::string {
    for (size_t at = text.find('&', from); at < to; at = text.find('&', at + 1)) {
      const size_t end = text.find(';', at);
      const std::string name = end < to ? text.substr(at + 1, end - at - 1) : "";
      if (name != "lt" && name != "gt" && name != "amp" && name != "quot")
        return "a bare & before: " + text.substr(at, 20);
    }
    return "";
  };
  size_t at = text.starts_with("<!DOCTYPE html>\n") ? 16 : 0;
  while (at < text.size()) {
    const size_t tag = text.find('<', at);
    const size_t stop = tag == std::string::npos ? text.size() : tag;
    if (open.empty() && text.find_first_not_of(" \t\r\n", at) < stop) return "text outside of the root";
    if (const std::string problem = entity_problem(at, stop); !problem.empty()) return problem;
    if (tag == std::string::npos) break;
    const bool closing = text.compare(tag + 1, 1, "/") == 0;
    const size_t begin = tag + (closing ? 2 : 1);
    size_t i = name_end(begin);
    if (i == std::string::npos || i == begin) return "a tag without a name: " + text.substr(tag, 20);
    const std::string name = text.substr(begin, i - begin);
    std::vector<std::string> attributes;
    for (;;) {
      i = text.find_first_not_of(" \t\r\n", i);
      if (i == std::string::npos) return "an unfinished tag " + name;
      if (text[i] == '>' || text.compare(i, 2, "/>") == 0) break;
      const size_t equals = name_end(i);
      if (closing || equals == std::string::npos || text[equals] != '=' || text.compare(equals + 1, 1, "\"") != 0) {
        return "an attribute without quotes in " + name;
      }
      for (const std::string& other : attributes) {
        if (other == text.substr(i, equals - i)) return "two attributes " + other + " in " + name;
      }
      attributes.push_back(text.substr(i, equals - i));
      const size_t end = text.find('"', equals + 2);
      if (end == std::string::npos || text.find('<', equals) < end) return "an unfinished attribute in " + name;
      if (const std::string problem = entity_problem(equals, end); !problem.empty()) return problem;
      i = end + 1;
    }
    if (closing) {
      if (open.empty() || open.back() != name)
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
    } else {
      if (open.empty() && had_root) return "a second root " + name;
      had_root = true;
      if (text[i] == '>') open.push_back(name);
    }
    at = text.find('>', i) + 1;
  }
  if (!open.empty()) return open.back() + " is left open";
  return had_root ? "" : "no root";
}

}  // namespace moe_tests
