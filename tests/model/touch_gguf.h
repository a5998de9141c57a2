// SPDX-License-Identifier: MIT
//
// In:  any bytes.
// Out: the parser's answer, after every view of an accepted file has been read and every accessor
//      called.
// Why: under the address sanitizer this shows a view that leaves the file. Used by tests and
//      fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "tools/model/moe_model.h"

namespace moevk::model {

inline void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

inline uint64_t sum_of(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (const std::byte byte : bytes) {
    sum += std::to_integer<uint64_t>(byte);
  }
  return sum;
}

inline Result<GgufFile> touch_gguf(std::span<const std::byte> bytes) {
  auto file = GgufFile::parse(bytes);
  if (!file) {
    // A refusal always says where and what.
    require(!file.error().field.empty() && !file.error().message.empty());
    require(file.error().offset <= bytes.size() && file.error().text().size() < 1000);
    return file;
  }
  volatile uint64_t sink = 0;
  for (const GgufValue& value : file->metadata()) {
    require(file->find_value(value.key) == &value);
    sink = sink + sum_of(value.payload) + value.as_u64().value_or(0) + (value.as_f64() ? 1 : 0) +
           (value.as_bool() ? 1 : 0) + value.as_string().value_or("").size();
    for (const std::string_view text : value.strings(SIZE_MAX)) {
      sink = sink + sum_of(std::as_bytes(std::span(text)));
    }
    for (uint64_t i = 0; value.type == ValueType::array && i < value.count; ++i) {
      sink = sink + value.element_u64(i).value_or(0) + (value.element_f64(i) ? 1 : 0);
    }
  }
  for (const TensorInfo& tensor : file->tensors()) {
    require(file->find_tensor(tensor.name) == &tensor);
    sink = sink + sum_of(file->tensor_bytes(tensor)) + tensor.shape_text().size();
  }
  const auto model = find_moe_layers(*file);
  if (model) {
    for (const MoeLayer& layer : model->layers) {
      for (const TensorSource& source : layer.tensors) {
        sink = sink + sum_of({static_cast<const std::byte*>(memory_source(*file, source).memory),
                              static_cast<size_t>(source.tensor->bytes)});
      }
    }
  } else {
    require(!model.error().field.empty() && !model.error().message.empty());
    require(model.error().offset <= bytes.size());
  }
  return file;
}

}  // namespace moevk::model
