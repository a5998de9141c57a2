// SPDX-License-Identifier: MIT
//
// In:  tensors.
// Out: the bytes of a safetensors file.
// Why: tests make their files in memory, good ones and, by writing the header themselves, bad ones. Nothing is checked:
//      a writer for tests must be able to write nonsense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tools/model/json_text.h"

namespace moevk::model {

class SafetensorsWriter {
 public:
  using Bytes = std::vector<std::byte>;
  using Shape = std::vector<uint64_t>;

  // The data is bytes that differ from tensor to tensor.
  SafetensorsWriter& tensor(const std::string& name, const std::string& dtype, const Shape& shape) {
    uint64_t bytes = dtype == "F32" || dtype == "I32" ? 4 : dtype == "F16" || dtype == "BF16" ? 2 : 1;
    for (const uint64_t size : shape) bytes *= size;
    Bytes data(static_cast<size_t>(bytes));
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>((i / 2 + 1 + count_) & 0x3f);
    return tensor_with(name, dtype, shape, data);
  }

  SafetensorsWriter& tensor_with(const std::string& name, const std::string& dtype, const Shape& shape,
                                 const Bytes& data) {
    std::string entry = json_string(name) + ":{\"dtype\":" + json_string(dtype) + ",\"shape\":[";
    for (size_t i = 0; i < shape.size(); ++i) entry += (i == 0 ? "" : ",") + std::to_string(shape[i]);
    entry += "],\"data_offsets\":[" + std::to_string(data_.size()) + "," + std::to_string(data_.size() + data.size());
    header_ += (count_ == 0 ? "" : ",") + entry + "]}";
    data_.insert(data_.end(), data.begin(), data.end());
    ++count_;
    return *this;
  }

  std::string header() const { return "{" + header_ + "}"; }
  const Bytes& data() const { return data_; }
  Bytes bytes() const {
    std::string padded = header();
    padded.resize((padded.size() + 7) / 8 * 8, ' ');
    return file(padded, data_);
  }

  static Bytes file(const std::string& header, const Bytes& data) { return file(header, data, header.size()); }
  // `length` is what the file says of its header.
  static Bytes file(const std::string& header, const Bytes& data, uint64_t length) {
    Bytes out(sizeof length);
    std::memcpy(out.data(), &length, sizeof length);
    for (const char c : header) out.push_back(static_cast<std::byte>(c));
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }

 private:
  std::string header_;
  Bytes data_;
  size_t count_ = 0;
};

}  // namespace moevk::model
