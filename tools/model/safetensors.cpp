// SPDX-License-Identifier: MIT
//
// In:  the bytes of one safetensors file.
// Out: its tensor table (see safetensors.h).
// Why: a tensor's entry is checked and dropped as soon as its closing brace is read, so that memory stays a small
//      multiple of the header's size whatever it holds.
#include "tools/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tools/model/json_guard.h"

namespace moevk::model {
namespace {

using nlohmann::json;
using Event = JsonGuard::Event;

constexpr uint64_t kPrefixBytes = 8;
constexpr int kMaxDepth = 4;  // a shape is the deepest
constexpr size_t kMaxDimensions = 16;

struct DtypeRow {
  const char* name;
  GgmlType type;
};

constexpr DtypeRow kDtypes[] = {
    {"F32", {kGgmlF32, "f32", 1, 4}},
    {"F16", {kGgmlF16, "f16", 1, 2}},
    {"BF16", {kGgmlBf16, "bf16", 1, 2}},
    {"I32", {kGgmlI32, "i32", 1, 4}},
    {"F8_E4M3", {kTypeF8E4M3, "fp8 e4m3", 1, 1}},
    {"F8_E5M2", {kTypeF8E5M2, "fp8 e5m2", 1, 1}},
    {"F8_E8M0", {kTypeF8E8M0, "e8m0", 1, 1}},
    {"U8", {kTypeU8, "u8", 1, 1}},
    {"I8", {24, "i8", 1, 1}},
    {"I16", {25, "i16", 1, 2}},
    {"I64", {27, "i64", 1, 8}},
    {"F64", {28, "f64", 1, 8}},
    {"BOOL", {0x10004, "bool", 1, 1}},
    {"U16", {0x10005, "u16", 1, 2}},
    {"U32", {0x10006, "u32", 1, 4}},
    {"U64", {0x10007, "u64", 1, 8}},
};

const GgmlType* find_dtype(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const DtypeRow& row) { return name == row.name; });
  return found == std::end(kDtypes) ? nullptr : &found->type;
}

[[noreturn]] void refuse(const std::string& tensor, const std::string& field, std::string message) {
  throw JsonRefusal{printable(tensor) + field, std::move(message)};
}

uint64_t whole_number(const json& value, const std::string& tensor, const std::string& field) {
  if (!value.is_number_unsigned()) refuse(tensor, field, "is not an unsigned integer");
  return value.get<uint64_t>();
}

const json& array_of(const json& entry, const char* key, const std::string& tensor) {
  const auto found = entry.find(key);
  if (found == entry.end()) refuse(tensor, std::string(".") + key, "is missing");
  if (!found->is_array()) refuse(tensor, std::string(".") + key, "is not an array");
  return *found;
}

class HeaderReader {
 public:
  explicit HeaderReader(uint64_t data_bytes, uint64_t data_offset)
      : data_bytes_(data_bytes), data_offset_(data_offset) {}

  // The parser's callback: false drops a value that has been read.
  bool operator()(int depth, Event event, json& value) {
    guard_.check(depth, event, value);
    if (depth == 0 && event == Event::array_start) throw JsonRefusal{"", "is a JSON array, not an object"};
    if (depth == 0 && event == Event::value) throw JsonRefusal{"", "is a JSON value, not an object"};
    if (depth == 1) {
      if (event == Event::key) {
        name_ = value.get<std::string>();
        values_ = 0;
      } else if (event == Event::value || event == Event::array_start) {
        refuse(name_, "", "is not an object");
      } else if (event == Event::object_end) {
        take(value);
        return false;
      }
    }
    const bool is_end = event == Event::object_end || event == Event::array_end;
    if (depth < 2 || is_end) return true;
    // Metadata hold more strings than a tensor's entry holds numbers; they are dropped one by one.
    if (name_ == "__metadata__") {
      if (event == Event::key) return true;
      if (!value.is_string()) refuse(name_, "", "has something other than strings");
      return false;
    }
    if (++values_ > 4 * kMaxDimensions) refuse(name_, "", "has too many values");
    return true;
  }

  SafetensorsHeader finish() {
    std::sort(header_.tensors.begin(), header_.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
    });
    uint64_t end = data_offset_;
    std::string_view before = "";
    for (const TensorInfo& tensor : header_.tensors) {
      if (tensor.offset != end) {
        refuse(std::string(tensor.name), ".data_offsets",
               tensor.offset < end ? "its data overlaps that of " + model::quoted(before)
                                   : std::to_string(tensor.offset - end) + " bytes before it belong to no tensor");
      }
      end = tensor.offset + tensor.bytes;
      before = tensor.name;
    }
    if (end != data_offset_ + data_bytes_) {
      throw JsonRefusal{"data", std::to_string(data_offset_ + data_bytes_ - end) + " bytes belong to no tensor"};
    }
    return std::move(header_);
  }

 private:
  void take(const json& entry) {
    if (name_ == "__metadata__") return;
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        refuse(name_, "." + printable(key), "is not known");
      }
    }
    TensorInfo tensor;
    const auto dtype = entry.find("dtype");
    if (dtype == entry.end()) refuse(name_, ".dtype", "is missing");
    if (!dtype->is_string()) refuse(name_, ".dtype", "is not a string");
    tensor.type = find_dtype(dtype->get<std::string>());
    if (tensor.type == nullptr) refuse(name_, ".dtype", model::quoted(dtype->get<std::string>()) + " is not known");
    read_shape(array_of(entry, "shape", name_), tensor);
    read_range(array_of(entry, "data_offsets", name_), tensor);
    header_.names.push_back(name_);
    tensor.name = header_.names.back();
    header_.tensors.push_back(tensor);
  }

  void read_shape(const json& shape, TensorInfo& tensor) {
    if (shape.size() > kMaxDimensions) refuse(name_, ".shape", "has " + std::to_string(shape.size()) + " axes");
    tensor.dimensions = static_cast<uint32_t>(shape.size());
    tensor.numbers = 1;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const size_t from_last = shape.size() - 1 - axis;
      const uint64_t size = whole_number(shape[from_last], name_, ".shape[" + std::to_string(from_last) + "]");
      // What fits the file is below 2^63, so that a product of two such cannot pass for a small one.
      uint64_t& to = tensor.ne[std::min<size_t>(axis, 3)];
      if (size != 0 && (tensor.numbers > INT64_MAX / size || to > INT64_MAX / size)) {
        refuse(name_, ".shape", "has more than 2^63 numbers");
      }
      tensor.numbers *= size;
      to *= size;
    }
  }

  void read_range(const json& range, TensorInfo& tensor) {
    if (range.size() != 2) refuse(name_, ".data_offsets", "has " + std::to_string(range.size()) + " numbers, not 2");
    const uint64_t begin = whole_number(range[0], name_, ".data_offsets[0]");
    const uint64_t end = whole_number(range[1], name_, ".data_offsets[1]");
    if (begin > end || end > data_bytes_) {
      refuse(name_, ".data_offsets",
             std::to_string(begin) + " to " + std::to_string(end) + " is not in the file's " +
                 std::to_string(data_bytes_) + " bytes of data");
    }
    const uint64_t size = tensor.type->block_bytes;
    if (tensor.numbers > UINT64_MAX / size || tensor.numbers * size != end - begin) {
      refuse(name_, ".data_offsets",
             std::to_string(end - begin) + " bytes for " + std::to_string(tensor.numbers) + " numbers of type " +
                 tensor.type->name);
    }
    tensor.offset = data_offset_ + begin;
    tensor.bytes = end - begin;
  }

  JsonGuard guard_{kMaxDepth};
  uint64_t data_bytes_;
  uint64_t data_offset_;
  std::string name_;  // of the entry that is being read
  size_t values_ = 0;
  SafetensorsHeader header_;
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < kPrefixBytes) {
    return ParseError{0, "header length", "the file has " + std::to_string(bytes.size()) + " bytes, not even 8"};
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const uint64_t left = bytes.size() - kPrefixBytes;
  if (length > kMaxSafetensorsHeader || length > left) {
    return ParseError{0, "header length",
                      std::to_string(length) + " bytes: " +
                          (length > left ? "the file has " + std::to_string(left) + " left"
                                         : "at most " + std::to_string(kMaxSafetensorsHeader) + " are allowed")};
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes;
  HeaderReader reader(left - length, kPrefixBytes + length);
  try {
    // By reference: the parser copies its callback. What is left of the document is an empty object.
    const json rest = json::parse(text, text + length,
                                  [&](int depth, Event event, json& value) { return reader(depth, event, value); });
    static_cast<void>(rest);
    return reader.finish();
  } catch (const JsonRefusal& refusal) {
    return ParseError{0, refusal.field.empty() ? "header" : refusal.field, refusal.message};
  } catch (const json::parse_error& problem) {
    return ParseError{kPrefixBytes + (problem.byte == 0 ? 0 : problem.byte - 1), "header",
                      "is not JSON: " + parser_words(problem)};
  } catch (const std::exception& problem) {  // Out of memory; numbers beyond double.
    return ParseError{0, "header", std::string("cannot be read: ") + printable(problem.what())};
  }
}

}  // namespace moevk::model
