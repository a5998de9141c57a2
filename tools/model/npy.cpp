// SPDX-License-Identifier: MIT
//
// In:  .npy files.
// Out: their numbers, or an error with offset and field (see npy.h).
// Why: the header is the text of a Python dictionary; exactly its three keys, in any order.
#include "tools/model/npy.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <exception>
#include <string_view>

#include "tools/model/half.h"
#include "tools/model/mapped_file.h"
#include "tools/model/utf8_path.h"

namespace moevk::model {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in the file");

constexpr std::string_view kMagic("\x93NUMPY", 6);

uint64_t number_bytes(NpyType type) { return type == NpyType::f2 ? 2 : type == NpyType::f8 ? 8 : 4; }

template <class T>
T load(const std::vector<std::byte>& data, size_t index) {
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class To>
std::vector<To> convert(const NpyArray& array) {
  std::vector<To> numbers(static_cast<size_t>(array.rows * array.columns));
  for (size_t i = 0; i < numbers.size(); ++i) {
    switch (array.type) {
      case NpyType::f2: numbers[i] = static_cast<To>(half_to_float(load<uint16_t>(array.data, i))); break;
      case NpyType::f4: numbers[i] = static_cast<To>(load<float>(array.data, i)); break;
      case NpyType::f8: numbers[i] = static_cast<To>(load<double>(array.data, i)); break;
      case NpyType::i4: numbers[i] = static_cast<To>(load<int32_t>(array.data, i)); break;
    }
  }
  return numbers;
}

// Reads the header's dictionary. Each step returns false after it has set error_.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, uint64_t offset) : text_(text), offset_(offset) {}

  bool read(NpyArray& array) {
    if (!expect('{')) {
      return false;
    }
    bool seen[3] = {};
    for (;;) {
      if (peek() == '}') {
        break;
      }
      const size_t start = at_;
      std::string_view name;
      if (!quoted(name) || !expect(':')) {
        return false;
      }
      const size_t key = name == "descr" ? 0 : name == "fortran_order" ? 1 : name == "shape" ? 2 : 3;
      if (key == 3 || seen[key]) {
        return fail(start, "header",
                    key == 3 ? "has a key that is not descr, fortran_order or shape" : "has a key twice");
      }
      seen[key] = true;
      if (!(key == 0 ? descr(array) : key == 1 ? order() : shape(array))) {
        return false;
      }
      if (peek() != '}' && !expect(',')) {
        return false;
      }
    }
    ++at_;
    skip_spaces();
    if (at_ != text_.size()) {
      return fail(at_, "header", "has text after the dictionary");
    }
    return (seen[0] && seen[1] && seen[2]) || fail(0, "header", "lacks descr, fortran_order or shape");
  }

  const ParseError& error() const { return error_; }

 private:
  bool fail(size_t at, const char* field, std::string message) {
    error_ = {offset_ + at, field, std::move(message)};
    return false;
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  // Next character that is not a space; 0 at the end.
  char peek() {
    skip_spaces();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool expect(char wanted) {
    if (peek() != wanted) {
      return fail(at_, "header", std::string("expected '") + wanted + "'");
    }
    ++at_;
    return true;
  }

  bool quoted(std::string_view& name) {
    const char quote = peek();
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos) {
      return fail(at_, "header", "expected a string in quotes");
    }
    name = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return true;
  }

  bool descr(NpyArray& array) {
    skip_spaces();
    const size_t start = at_;
    std::string_view name;
    if (peek() == '[') {
      return fail(start, "descr", "a structured type is not read");
    }
    if (!quoted(name)) {
      return false;
    }
    if (name == "<f2") {
      array.type = NpyType::f2;
    } else if (name == "<f4") {
      array.type = NpyType::f4;
    } else if (name == "<f8") {
      array.type = NpyType::f8;
    } else if (name == "<i4") {
      array.type = NpyType::i4;
    } else {
      return fail(start, "descr", "is not '<f2', '<f4', '<f8' or '<i4'");
    }
    return true;
  }

  bool order() {
    skip_spaces();
    if (text_.substr(at_).starts_with("False")) {
      at_ += 5;
      return true;
    }
    return fail(at_, "fortran_order", "is not False; only C order is read");
  }

  bool shape(NpyArray& array) {
    skip_spaces();
    const size_t start = at_;
    if (!expect('(')) {
      return false;
    }
    uint64_t sizes[2] = {};
    uint32_t count = 0;
    bool comma = true;  // Before the first number none is needed.
    while (peek() != ')') {
      uint64_t size = 0;
      const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (!comma || parsed.ec != std::errc()) {
        return fail(at_, "shape", "expected a number of at most 64 bits");
      }
      if (count == 2) {
        return fail(start, "shape", "has more than two dimensions");
      }
      sizes[count++] = size;
      at_ = static_cast<size_t>(parsed.ptr - text_.data());
      comma = peek() == ',';
      at_ += comma ? 1 : 0;
    }
    ++at_;
    if (count == 0) {
      return fail(start, "shape", "has no dimension; one or two are read");
    }
    array.dimensions = count;
    array.rows = count == 2 ? sizes[0] : 1;
    array.columns = count == 2 ? sizes[1] : sizes[0];
    return true;
  }

  std::string_view text_;
  uint64_t offset_;  // Of the text in the file.
  size_t at_ = 0;
  ParseError error_;
};

Result<NpyArray> parse(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) {
    return ParseError{0, "magic", "not a .npy file"};
  }
  if (bytes.size() < 8) {
    return ParseError{6, "version", "the file ends here"};
  }
  const auto major = std::to_integer<unsigned>(bytes[6]);
  const auto minor = std::to_integer<unsigned>(bytes[7]);
  if ((major != 1 && major != 2) || minor != 0) {
    return ParseError{6, "version",
                      std::to_string(major) + "." + std::to_string(minor) + "; versions 1.0 and 2.0 are read"};
  }
  const size_t length_bytes = major == 1 ? 2 : 4;
  if (bytes.size() < 8 + length_bytes) {
    return ParseError{8, "header.length", "the file ends here"};
  }
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  const size_t start = 8 + length_bytes;
  if (length > bytes.size() - start) {
    return ParseError{
        8, "header.length",
        std::to_string(length) + " bytes: the file has " + std::to_string(bytes.size() - start) + " left"};
  }
  NpyArray array;
  HeaderReader header(text.substr(start, length), start);
  if (!header.read(array)) {
    return header.error();
  }
  if (array.rows == 0 || array.columns == 0) {
    return ParseError{start, "shape", "the array is empty"};
  }
  const uint64_t left = bytes.size() - start - length;
  uint64_t size = 0;
  if (__builtin_mul_overflow(array.rows, array.columns, &size) ||
      __builtin_mul_overflow(size, number_bytes(array.type), &size) || size != left) {
    return ParseError{start + length, "data",
                      "shape (" + std::to_string(array.rows) + ", " + std::to_string(array.columns) + ") of " +
                          std::to_string(number_bytes(array.type)) + "-byte numbers; the file has " +
                          std::to_string(left) + " bytes of data"};
  }
  const auto data = bytes.subspan(start + length);
  array.data.assign(data.begin(), data.end());
  return array;
}

}  // namespace

std::vector<float> NpyArray::to_f32() const { return convert<float>(*this); }

std::vector<double> NpyArray::to_f64() const { return convert<double>(*this); }

std::vector<int32_t> NpyArray::to_i32() const {
  return type == NpyType::i4 ? convert<int32_t>(*this) : std::vector<int32_t>{};
}

Result<NpyArray> parse_npy(std::span<const std::byte> bytes) {
  try {
    return parse(bytes);
  } catch (const std::exception& problem) {  // Out of memory; nothing else throws.
    return ParseError{0, "file", std::string("cannot be parsed: ") + problem.what()};
  }
}

Result<NpyArray> read_npy(const std::string& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping) {
    return mapping.error();
  }
  auto array = parse_npy(mapping->bytes());
  if (!array) {
    ParseError error = array.error();
    error.message += " (" + path + ")";
    return error;
  }
  return array;
}

}  // namespace moevk::model
