// SPDX-License-Identifier: MIT
//
// In:  bytes that nobody has checked.
// Out: numbers and strings read from them in order, or an error with offset and field.
// Why: the only code of the GGUF reader that moves through the file; nothing is read past its end.
//      A step that fails sets error() and returns false, which callers pass on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tools/model/result.h"

namespace moevk::model {

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }
  const ParseError& error() const { return error_; }

  bool fail(uint64_t offset, std::string field, std::string message) {
    error_ = {offset, std::move(field), std::move(message)};
    return false;
  }

  bool need(uint64_t count, const std::string& field) {
    return count <= left() ||
           fail(at_, field,
                "needs " + std::to_string(count) + " bytes, the file has " + std::to_string(left()) + " left");
  }

  template <class T>
  bool read(T& value, const std::string& field) {
    if (!need(sizeof(T), field)) {
      return false;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }

  // The next `count` bytes as a view.
  bool take(uint64_t count, std::span<const std::byte>& view, const std::string& field) {
    if (!need(count, field)) {
      return false;
    }
    view = bytes_.subspan(static_cast<size_t>(at_), static_cast<size_t>(count));
    at_ += count;
    return true;
  }

  // A 64-bit length and as many characters, at most `limit`.
  bool read_string(std::string_view& text, uint64_t limit, const std::string& field) {
    const uint64_t start = at_;
    uint64_t length = 0;
    if (!read(length, field + ".length")) {
      return false;
    }
    if (length > left()) {
      return fail(start, field + ".length",
                  std::to_string(length) + " bytes: the file has " + std::to_string(left()) + " left");
    }
    if (length > limit) {
      return fail(start, field + ".length",
                  std::to_string(length) + " bytes: at most " + std::to_string(limit) + " are allowed");
    }
    text = {reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<size_t>(length)};
    at_ += length;
    return true;
  }

  // Steps over one string; no error text is made, so that long arrays are quick.
  bool skip_string() {
    uint64_t length = 0;
    if (left() < sizeof(length)) {
      return false;
    }
    std::memcpy(&length, bytes_.data() + at_, sizeof(length));
    if (length > left() - sizeof(length)) {
      return false;
    }
    at_ += sizeof(length) + length;
    return true;
  }

  // Where a view into the bytes starts.
  uint64_t offset_of(std::string_view view) const {
    return static_cast<uint64_t>(view.data() - reinterpret_cast<const char*>(bytes_.data()));
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  ParseError error_;
};

}  // namespace moevk::model
