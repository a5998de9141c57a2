// SPDX-License-Identifier: MIT
//
// In:  what a reader of model files returns: a value, or where and why the file was refused.
// Out: Result<T>, a small expected type.
// Why: model files come from strangers. A refusal is an ordinary answer with a byte offset and a
//      field name, so it is a value and not an exception.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace moevk::model {

struct ParseError {
  uint64_t offset = 0;  // Byte in the file where the refused field starts; 0 where no byte is to blame.
  std::string field;    // Path of the refused field, such as "tensor[3].ne[1]" or "file".
  std::string message;  // What is wrong with it, with the values that show it.

  // One line for people: "FIELD at byte OFFSET: MESSAGE", or "FIELD: MESSAGE" where no byte is to blame.
  std::string text() const {
    return field + (offset == 0 ? "" : " at byte " + std::to_string(offset)) + ": " + message;
  }
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(ParseError error) : content_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Only after ok().
  T& value() { return *std::get_if<0>(&content_); }
  const T& value() const { return *std::get_if<0>(&content_); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }

  // Only after !ok().
  const ParseError& error() const { return *std::get_if<1>(&content_); }

 private:
  std::variant<T, ParseError> content_;
};

}  // namespace moevk::model
