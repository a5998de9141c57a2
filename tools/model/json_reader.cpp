// SPDX-License-Identifier: MIT
//
// In:  bytes that should be JSON.
// Out: the document (see json_reader.h).
// Why: the parser's exceptions end here.
#include "tools/model/json_reader.h"

#include "tools/model/json_guard.h"

namespace moevk::model {

Result<std::shared_ptr<const nlohmann::json>> read_json(std::span<const std::byte> bytes, const std::string& what,
                                                        const JsonLimits& limits) {
  if (bytes.size() > limits.bytes) {
    return ParseError{
        0, what,
        "has " + std::to_string(bytes.size()) + " bytes; at most " + std::to_string(limits.bytes) + " are read"};
  }
  JsonGuard guard(limits.depth);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  try {
    auto document = std::make_shared<nlohmann::json>(
        nlohmann::json::parse(text, text + bytes.size(), [&](int depth, JsonGuard::Event event, nlohmann::json& value) {
          guard.check(depth, event, value);
          return true;
        }));
    if (!document->is_object()) {
      return ParseError{0, what, std::string("is a JSON ") + document->type_name() + ", not an object"};
    }
    return std::shared_ptr<const nlohmann::json>(std::move(document));
  } catch (const JsonRefusal& refusal) {
    return ParseError{0, refusal.field.empty() ? what : what + ": " + refusal.field, refusal.message};
  } catch (const nlohmann::json::parse_error& problem) {
    return ParseError{problem.byte == 0 ? 0 : problem.byte - 1, what, "is not JSON: " + parser_words(problem)};
  } catch (const std::exception& problem) {  // Out of memory; numbers beyond double.
    return ParseError{0, what, std::string("cannot be read: ") + printable(problem.what())};
  }
}

}  // namespace moevk::model
