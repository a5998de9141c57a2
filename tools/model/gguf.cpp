// SPDX-License-Identifier: MIT
//
// In:  a parsed GGUF file.
// Out: typed access to its metadata and tensors (see gguf.h).
// Why: apart from gguf_parser.cpp, which alone touches unchecked bytes.
#include "tools/model/gguf.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace moevk::model {
namespace {

template <class T>
T load(std::span<const std::byte> bytes, uint64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
std::optional<uint64_t> non_negative(T value) {
  if (value < 0) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(value);
}

std::optional<uint64_t> number_u64(std::span<const std::byte> bytes, ValueType type, uint64_t index) {
  switch (type) {
    case ValueType::u8: return load<uint8_t>(bytes, index);
    case ValueType::i8: return non_negative(load<int8_t>(bytes, index));
    case ValueType::u16: return load<uint16_t>(bytes, index);
    case ValueType::i16: return non_negative(load<int16_t>(bytes, index));
    case ValueType::u32: return load<uint32_t>(bytes, index);
    case ValueType::i32: return non_negative(load<int32_t>(bytes, index));
    case ValueType::u64: return load<uint64_t>(bytes, index);
    case ValueType::i64: return non_negative(load<int64_t>(bytes, index));
    default: return std::nullopt;
  }
}

std::optional<double> number_f64(std::span<const std::byte> bytes, ValueType type, uint64_t index) {
  switch (type) {
    case ValueType::f32: return static_cast<double>(load<float>(bytes, index));
    case ValueType::f64: return load<double>(bytes, index);
    case ValueType::i8: return load<int8_t>(bytes, index);
    case ValueType::i16: return load<int16_t>(bytes, index);
    case ValueType::i32: return load<int32_t>(bytes, index);
    case ValueType::i64: return static_cast<double>(load<int64_t>(bytes, index));
    default: break;
  }
  if (const auto whole = number_u64(bytes, type, index)) {
    return static_cast<double>(*whole);
  }
  return std::nullopt;
}

}  // namespace

const char* value_type_name(ValueType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<uint32_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

uint64_t scalar_bytes(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32: return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    default: return 0;
  }
}

std::optional<uint64_t> GgufValue::as_u64() const { return number_u64(payload, type, 0); }

std::optional<double> GgufValue::as_f64() const { return number_f64(payload, type, 0); }

std::optional<bool> GgufValue::as_bool() const {
  if (type != ValueType::boolean) {
    return std::nullopt;
  }
  return payload[0] != std::byte{0};
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type != ValueType::string) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char*>(payload.data()), payload.size());
}

std::optional<uint64_t> GgufValue::element_u64(uint64_t index) const {
  if (type != ValueType::array || index >= count) {
    return std::nullopt;
  }
  return number_u64(payload, element_type, index);
}

std::optional<double> GgufValue::element_f64(uint64_t index) const {
  if (type != ValueType::array || index >= count) {
    return std::nullopt;
  }
  return number_f64(payload, element_type, index);
}

std::vector<std::string_view> GgufValue::strings(size_t limit) const {
  std::vector<std::string_view> found;
  if (type != ValueType::array || element_type != ValueType::string) {
    return found;
  }
  // The parser has walked these lengths: they lie inside the payload.
  uint64_t position = 0;
  for (uint64_t i = 0; i < count && found.size() < limit; ++i) {
    const auto length = load<uint64_t>(payload.subspan(static_cast<size_t>(position), 8), 0);
    found.emplace_back(reinterpret_cast<const char*>(payload.data()) + position + 8, static_cast<size_t>(length));
    position += 8 + length;
  }
  return found;
}

std::string TensorInfo::shape_text() const {
  std::string text = "[";
  for (uint32_t i = 0; i < dimensions; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(ne[i]);
  }
  return text + "]";
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping) {
    return mapping.error();
  }
  auto parsed = parse(mapping->bytes());
  if (!parsed) {
    ParseError error = parsed.error();
    error.message += " (" + path + ")";
    return error;
  }
  parsed->file_ = std::move(*mapping);  // The mapping does not move: the views stay right.
  return parsed;
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto found =
      std::lower_bound(values_by_key_.begin(), values_by_key_.end(), key,
                       [this](uint32_t index, std::string_view wanted) { return metadata_[index].key < wanted; });
  if (found == values_by_key_.end() || metadata_[*found].key != key) {
    return nullptr;
  }
  return &metadata_[*found];
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_by_name_.begin(), tensors_by_name_.end(), name,
                       [this](uint32_t index, std::string_view wanted) { return tensors_[index].name < wanted; });
  if (found == tensors_by_name_.end() || tensors_[*found].name != name) {
    return nullptr;
  }
  return &tensors_[*found];
}

std::span<const std::byte> GgufFile::tensor_bytes(const TensorInfo& tensor) const {
  return bytes_.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
}

std::string printable(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr size_t kLimit = 80;
  std::string out;
  for (const char c : text) {
    if (out.size() >= kLimit) {
      return out + "...";
    }
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x20 && code < 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[code >> 4], kHex[code & 15]};
    }
  }
  return out;
}

std::string quoted(std::string_view text) {
  std::string out(1, '\'');
  out += printable(text);
  out += '\'';
  return out;
}

}  // namespace moevk::model
