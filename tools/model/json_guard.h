// SPDX-License-Identifier: MIT
//
// In:  the events of a JSON parser.
// Out: nothing, or an exception where the text is too deep or an object has a key twice.
// Why: shared by the readers of config.json and of safetensors headers. The exception ends the parser, which can take
//      no other answer, and is caught by whoever started it.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/model/tensor_store.h"

namespace moevk::model {

struct JsonRefusal {
  std::string field;  // empty: the document
  std::string message;
};

class JsonGuard {
 public:
  using Event = nlohmann::json::parse_event_t;

  explicit JsonGuard(int depth_limit) : depth_limit_(depth_limit) {}

  // As nlohmann::json::parser_callback_t is called: `depth` is 0 where the outermost value starts.
  void check(int depth, Event event, const nlohmann::json& parsed) {
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= depth_limit_) throw JsonRefusal{"", "is nested deeper than " + std::to_string(depth_limit_)};
      if (event == Event::object_start) keys_.emplace_back();
    } else if (event == Event::object_end) {
      keys_.pop_back();
    } else if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) throw JsonRefusal{printable(key), "is there twice"};
    }
  }

 private:
  int depth_limit_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

// The parser's words without its prefix "[json.exception.parse_error.101] ".
inline std::string parser_words(const nlohmann::json::exception& problem) {
  const std::string text = problem.what();
  const size_t end = text.find("] ");
  return printable(end == std::string::npos ? text : text.substr(end + 2));
}

}  // namespace moevk::model
