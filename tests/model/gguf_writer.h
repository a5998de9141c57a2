// SPDX-License-Identifier: MIT
//
// In:  metadata values and tensors.
// Out: the bytes of a GGUF file, and where its count, length and type fields lie.
// Why: tests make their files in memory, good ones and, by overwriting a noted field, bad ones.
//      Nothing is checked: a writer for tests must be able to write nonsense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/model/gguf.h"

namespace moevk::model {

class GgufWriter {
 public:
  // A field that a hostile file would lie in.
  struct Field {
    size_t offset;
    size_t width;  // 4 or 8 bytes
    std::string name;
  };

  explicit GgufWriter(uint32_t version = 3, uint64_t alignment = 32) : version_(version), alignment_(alignment) {}

  template <class T>
  GgufWriter& scalar(std::string_view key, ValueType type, T value) {
    begin_value(key, type);
    append(metadata_, value);
    return *this;
  }
  GgufWriter& u32(std::string_view key, uint32_t value) { return scalar(key, ValueType::u32, value); }
  GgufWriter& f32(std::string_view key, float value) { return scalar(key, ValueType::f32, value); }
  GgufWriter& boolean(std::string_view key, bool value) {
    return scalar(key, ValueType::boolean, static_cast<uint8_t>(value ? 1 : 0));
  }
  GgufWriter& string(std::string_view key, std::string_view value) {
    begin_value(key, ValueType::string);
    text(metadata_, metadata_fields_, value, "string.length");
    return *this;
  }
  template <class T>
  GgufWriter& array(std::string_view key, ValueType element, const std::vector<T>& values) {
    begin_array(key, element, values.size());
    for (const T& value : values) {
      append(metadata_, value);
    }
    return *this;
  }
  GgufWriter& strings(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, ValueType::string, values.size());
    for (const std::string& value : values) {
      text(metadata_, metadata_fields_, value, "element.length");
    }
    return *this;
  }

  // The data is numbers 1, 2, 3, ... of 16 bits, repeated bytes in any case: enough to tell tensors
  // apart.
  GgufWriter& tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type = kGgmlF16) {
    uint64_t numbers = 1;
    for (const uint64_t size : ne) {
      numbers *= size;
    }
    const GgmlType* known = find_ggml_type(type);
    const uint64_t bytes =
        known == nullptr || known->block_numbers == 0 ? 0 : numbers / known->block_numbers * known->block_bytes;
    std::vector<std::byte> data(static_cast<size_t>(bytes));
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<std::byte>((i / 2 + 1 + tensor_count_) & 0x3f);
    }
    return tensor_with(name, ne, type, data);
  }
  GgufWriter& tensor_with(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type,
                          const std::vector<std::byte>& data) {
    text(infos_, info_fields_, name, "name.length");
    number(infos_, info_fields_, static_cast<uint32_t>(ne.size()), "n_dims");
    for (const uint64_t size : ne) {
      number(infos_, info_fields_, size, "ne");
    }
    number(infos_, info_fields_, type, "type");
    pad(data_);
    number(infos_, info_fields_, static_cast<uint64_t>(data_.size()), "offset");
    data_.insert(data_.end(), data.begin(), data.end());
    ++tensor_count_;
    return *this;
  }

  // The file ends with the last tensor's last byte.
  std::vector<std::byte> bytes() {
    std::vector<std::byte> out;
    fields_.clear();
    for (const char c : {'G', 'G', 'U', 'F'}) {
      out.push_back(static_cast<std::byte>(c));
    }
    number(out, fields_, version_, "version");
    number(out, fields_, tensor_count_, "tensor_count");
    number(out, fields_, value_count_, "metadata_kv_count");
    move_in(out, metadata_, metadata_fields_);
    move_in(out, infos_, info_fields_);
    if (tensor_count_ > 0) {
      pad(out);
      out.insert(out.end(), data_.begin(), data_.end());
    }
    return out;
  }

  // Of the last bytes().
  const std::vector<Field>& fields() const { return fields_; }

 private:
  using Bytes = std::vector<std::byte>;

  template <class T>
  static void append(Bytes& to, T value) {
    const size_t start = to.size();
    to.resize(start + sizeof(T));
    std::memcpy(to.data() + start, &value, sizeof(T));
  }

  template <class T>
  static void number(Bytes& to, std::vector<Field>& fields, T value, const char* name) {
    fields.push_back({to.size(), sizeof(T), name});
    append(to, value);
  }

  static void text(Bytes& to, std::vector<Field>& fields, std::string_view value, const char* name) {
    number(to, fields, static_cast<uint64_t>(value.size()), name);
    for (const char c : value) {
      to.push_back(static_cast<std::byte>(c));
    }
  }

  void begin_value(std::string_view key, ValueType type) {
    ++value_count_;
    text(metadata_, metadata_fields_, key, "key.length");
    number(metadata_, metadata_fields_, static_cast<uint32_t>(type), "value.type");
  }

  void begin_array(std::string_view key, ValueType element, size_t count) {
    begin_value(key, ValueType::array);
    number(metadata_, metadata_fields_, static_cast<uint32_t>(element), "element.type");
    number(metadata_, metadata_fields_, static_cast<uint64_t>(count), "array.count");
  }

  void pad(Bytes& to) const {
    while (alignment_ != 0 && to.size() % alignment_ != 0) {
      to.push_back(std::byte{0});
    }
  }

  void move_in(Bytes& out, const Bytes& part, const std::vector<Field>& part_fields) {
    for (Field field : part_fields) {
      field.offset += out.size();
      fields_.push_back(std::move(field));
    }
    out.insert(out.end(), part.begin(), part.end());
  }

  uint32_t version_;
  uint64_t alignment_;
  uint64_t tensor_count_ = 0;
  uint64_t value_count_ = 0;
  Bytes metadata_, infos_, data_;
  std::vector<Field> metadata_fields_, info_fields_, fields_;
};

}  // namespace moevk::model
