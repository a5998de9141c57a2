// SPDX-License-Identifier: MIT
//
// In:  bytes that nobody has checked.
// Out: a GgufFile whose every view lies inside them, or a ParseError with offset and field.
// Why: the one place where a GGUF file is believed or not. Order: header, metadata, tensor table,
//      data ranges.
#include <algorithm>
#include <bit>
#include <exception>
#include <numeric>

#include "tools/model/byte_cursor.h"
#include "tools/model/gguf.h"

namespace moevk::model {
namespace {

static_assert(std::endian::native == std::endian::little, "the reader takes views of little-endian files");

// Limits of the format's own text: keys of at most 65535 bytes, four dimensions. It allows names of
// 64 bytes; some writers use more, so ours is wider.
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxNameBytes = 255;
constexpr uint32_t kMaxDimensions = 4;
// Smallest possible entries: key length 8, one character, type 4, value 1; and name length 8, one
// character, dimension count 4, type 4, offset 8. No file can hold more entries than its bytes
// divided by these.
constexpr uint64_t kMinValueBytes = 14;
constexpr uint64_t kMinTensorBytes = 25;

// product = a * b; false on overflow.
bool multiply(uint64_t a, uint64_t b, uint64_t& product) { return !__builtin_mul_overflow(a, b, &product); }

}  // namespace

// Each step returns false after the cursor has the error; callers only pass that on.
class GgufParser {
 public:
  explicit GgufParser(std::span<const std::byte> bytes) : bytes_(bytes), cursor_(bytes) { file_.bytes_ = bytes; }

  Result<GgufFile> run() {
    if (header() && metadata() && alignment() && tensor_table() && data_ranges()) {
      return std::move(file_);
    }
    return cursor_.error();
  }

 private:
  uint64_t left() const { return cursor_.left(); }

  bool fail(uint64_t offset, std::string field, std::string message) {
    return cursor_.fail(offset, std::move(field), std::move(message));
  }

  // Name of entry number `index` for messages, with its key or tensor name once that is known.
  static std::string entry(const char* kind, uint64_t index, std::string_view name) {
    std::string text = std::string(kind) + "[" + std::to_string(index) + "]";
    return name.empty() ? text : text + " " + quoted(name);
  }

  bool header() {
    uint32_t magic = 0;
    if (!cursor_.read(magic, "magic")) {
      return false;
    }
    const std::string_view shown(reinterpret_cast<const char*>(bytes_.data()), 4);
    if (shown == "FUGG") {
      return fail(0, "magic", "'FUGG': a big-endian GGUF file; only little-endian files are read");
    }
    if (shown != "GGUF") {
      return fail(0, "magic", quoted(shown) + " is not 'GGUF': not a GGUF file");
    }
    uint32_t& version = file_.version_;
    if (!cursor_.read(version, "version")) {
      return false;
    }
    const uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 0xffff && version > 0xffff) {
      return fail(4, "version",
                  "version " + std::to_string(swapped) +
                      " in big-endian order: a big-endian GGUF file; only little-endian files are read");
    }
    if (version != 2 && version != 3) {
      return fail(4, "version", "version " + std::to_string(version) + "; versions 2 and 3 are read");
    }
    return cursor_.read(tensor_count_, "tensor_count") && cursor_.read(value_count_, "metadata_kv_count") &&
           count_fits(8, "tensor_count", tensor_count_, kMinTensorBytes) &&
           count_fits(16, "metadata_kv_count", value_count_, kMinValueBytes);
  }

  bool count_fits(uint64_t offset, const char* field, uint64_t count, uint64_t min_bytes) {
    if (count <= left() / min_bytes && count < UINT32_MAX) {
      return true;
    }
    return fail(offset, field,
                std::to_string(count) + " entries of at least " + std::to_string(min_bytes) + " bytes: the file has " +
                    std::to_string(left()) + " bytes left");
  }

  bool metadata() {
    file_.metadata_.reserve(static_cast<size_t>(value_count_));
    for (uint64_t i = 0; i < value_count_; ++i) {
      GgufValue value;
      const uint64_t start = cursor_.at();
      if (!cursor_.read_string(value.key, kMaxKeyBytes, entry("kv", i, {}) + ".key")) {
        return false;
      }
      if (value.key.empty()) {
        return fail(start, entry("kv", i, {}) + ".key", "is empty");
      }
      if (!read_value(value, entry("kv", i, value.key))) {
        return false;
      }
      file_.metadata_.push_back(value);
    }
    return sort_by_name(file_.metadata_, file_.values_by_key_, "kv", [](const GgufValue& v) { return v.key; });
  }

  bool read_type(ValueType& type, const std::string& field) {
    const uint64_t start = cursor_.at();
    uint32_t number = 0;
    if (!cursor_.read(number, field)) {
      return false;
    }
    if (number > static_cast<uint32_t>(ValueType::f64)) {
      return fail(start, field, "value type " + std::to_string(number) + " is unknown (0 to 12 are)");
    }
    type = static_cast<ValueType>(number);
    return true;
  }

  bool read_value(GgufValue& value, const std::string& field) {
    if (!read_type(value.type, field + ".type")) {
      return false;
    }
    if (value.type == ValueType::array) {
      return read_array(value, field);
    }
    if (value.type == ValueType::string) {
      std::string_view text;
      if (!cursor_.read_string(text, UINT64_MAX, field + ".value")) {
        return false;
      }
      value.offset = cursor_.offset_of(text);
      value.payload = std::as_bytes(std::span(text));
      return true;
    }
    value.offset = cursor_.at();
    return cursor_.take(scalar_bytes(value.type), value.payload, field + ".value") &&
           (value.type != ValueType::boolean || valid_booleans(value, field));
  }

  bool read_array(GgufValue& value, const std::string& field) {
    const uint64_t type_start = cursor_.at();
    if (!read_type(value.element_type, field + ".element_type")) {
      return false;
    }
    if (value.element_type == ValueType::array) {
      return fail(type_start, field + ".element_type", "an array of arrays; nested arrays are not read");
    }
    const uint64_t count_start = cursor_.at();
    if (!cursor_.read(value.count, field + ".count")) {
      return false;
    }
    const bool strings = value.element_type == ValueType::string;
    const uint64_t element_bytes = strings ? 8 : scalar_bytes(value.element_type);
    if (value.count > left() / element_bytes) {
      return fail(count_start, field + ".count",
                  std::to_string(value.count) + " elements of " + (strings ? "at least " : "") +
                      std::to_string(element_bytes) + " bytes: the file has " + std::to_string(left()) + " bytes left");
    }
    value.offset = cursor_.at();
    uint64_t size = value.count * element_bytes;
    if (strings) {
      ByteCursor walker = cursor_;
      for (uint64_t i = 0; i < value.count; ++i) {
        if (!walker.skip_string()) {
          return fail(walker.at(), field + ".value[" + std::to_string(i) + "]",
                      "a string's length exceeds the " + std::to_string(walker.left()) + " bytes left");
        }
      }
      size = walker.at() - cursor_.at();
    }
    return cursor_.take(size, value.payload, field + ".value") &&
           (value.element_type != ValueType::boolean || valid_booleans(value, field));
  }

  bool valid_booleans(const GgufValue& value, const std::string& field) {
    for (uint64_t i = 0; i < value.count; ++i) {
      const auto byte = std::to_integer<unsigned>(value.payload[static_cast<size_t>(i)]);
      if (byte > 1) {
        return fail(value.offset + i, field + ".value", "bool " + std::to_string(byte) + " is neither 0 nor 1");
      }
    }
    return true;
  }

  // Fills `order` with indices sorted by name, and refuses two equal names. No hashing: no worst
  // case to provoke.
  template <class T, class NameOf>
  bool sort_by_name(const std::vector<T>& items, std::vector<uint32_t>& order, const char* kind, NameOf name_of) {
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int compared = name_of(items[a]).compare(name_of(items[b]));
      return compared != 0 ? compared < 0 : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      const T& item = items[order[i]];
      if (name_of(items[order[i - 1]]) == name_of(item)) {
        return fail(cursor_.offset_of(name_of(item)), entry(kind, order[i], name_of(item)),
                    "has the same name as " + std::string(kind) + "[" + std::to_string(order[i - 1]) + "]");
      }
    }
    return true;
  }

  bool alignment() {
    const GgufValue* value = file_.find_value("general.alignment");
    if (value == nullptr) {
      return true;
    }
    const auto number = value->as_u64();
    if (!number) {
      return fail(value->offset, "general.alignment",
                  std::string("is a ") + value_type_name(value->type) + ", not an unsigned integer");
    }
    if (*number < 8 || (*number & (*number - 1)) != 0 || *number > (uint64_t{1} << 30)) {
      return fail(value->offset, "general.alignment",
                  std::to_string(*number) + " is not a power of two from 8 to 2^30");
    }
    file_.alignment_ = *number;
    return true;
  }

  bool tensor_table() {
    if (!count_fits(8, "tensor_count", tensor_count_, kMinTensorBytes)) {
      return false;
    }
    file_.tensors_.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      TensorInfo tensor;
      tensor.header_offset = cursor_.at();
      if (!cursor_.read_string(tensor.name, kMaxNameBytes, entry("tensor", i, {}) + ".name")) {
        return false;
      }
      if (tensor.name.empty()) {
        return fail(tensor.header_offset, entry("tensor", i, {}) + ".name", "is empty");
      }
      if (!read_tensor(tensor, entry("tensor", i, tensor.name))) {
        return false;
      }
      file_.tensors_.push_back(tensor);
    }
    return sort_by_name(file_.tensors_, file_.tensors_by_name_, "tensor", [](const TensorInfo& t) { return t.name; });
  }

  bool read_tensor(TensorInfo& tensor, const std::string& field) {
    const uint64_t dimensions_start = cursor_.at();
    if (!cursor_.read(tensor.dimensions, field + ".n_dims")) {
      return false;
    }
    if (tensor.dimensions > kMaxDimensions) {
      return fail(dimensions_start, field + ".n_dims",
                  std::to_string(tensor.dimensions) + " dimensions; at most 4 are allowed");
    }
    tensor.numbers = 1;
    for (uint32_t d = 0; d < tensor.dimensions; ++d) {
      const uint64_t start = cursor_.at();
      const std::string axis = field + ".ne[" + std::to_string(d) + "]";
      if (!cursor_.read(tensor.ne[d], axis)) {
        return false;
      }
      if (tensor.ne[d] == 0) {
        return fail(start, axis, "is 0");
      }
      if (!multiply(tensor.numbers, tensor.ne[d], tensor.numbers) || tensor.numbers > INT64_MAX) {
        return fail(start, axis, std::to_string(tensor.ne[d]) + ": the tensor has more than 2^63 numbers");
      }
    }
    const uint64_t type_start = cursor_.at();
    uint32_t type = 0;
    if (!cursor_.read(type, field + ".type")) {
      return false;
    }
    tensor.type = find_ggml_type(type);
    if (tensor.type == nullptr || tensor.type->block_numbers == 0) {
      return fail(type_start, field + ".type",
                  "ggml type " + std::to_string(type) + " is " +
                      (tensor.type == nullptr ? "unknown" : std::string("not readable: ") + tensor.type->name));
    }
    if (tensor.ne[0] % tensor.type->block_numbers != 0) {
      return fail(type_start, field + ".type",
                  std::string(tensor.type->name) + " has blocks of " + std::to_string(tensor.type->block_numbers) +
                      " numbers; ne[0] is " + std::to_string(tensor.ne[0]));
    }
    if (!multiply(tensor.numbers / tensor.type->block_numbers, tensor.type->block_bytes, tensor.bytes)) {
      return fail(type_start, field + ".type", "the tensor has more than 2^64 bytes");
    }
    return cursor_.read(tensor.offset, field + ".offset");  // relative until data_ranges()
  }

  bool data_ranges() {
    if (tensor_count_ == 0) {
      file_.data_offset_ = cursor_.at();
      return true;
    }
    // No overflow: a file has less than 2^63 bytes.
    const uint64_t mask = file_.alignment_ - 1;
    const uint64_t start = (cursor_.at() + mask) & ~mask;
    if (start > bytes_.size()) {
      return fail(cursor_.at(), "tensor_data",
                  "begins at byte " + std::to_string(start) + ", the file ends at " + std::to_string(bytes_.size()));
    }
    file_.data_offset_ = start;
    const uint64_t size = bytes_.size() - start;
    for (size_t i = 0; i < file_.tensors_.size(); ++i) {
      TensorInfo& tensor = file_.tensors_[i];
      const uint64_t relative = tensor.offset;
      if (relative % file_.alignment_ != 0) {
        return fail(
            offset_field(tensor), entry("tensor", i, tensor.name) + ".offset",
            std::to_string(relative) + " is not a multiple of the alignment " + std::to_string(file_.alignment_));
      }
      if (relative > size || tensor.bytes > size - relative) {
        return fail(offset_field(tensor), entry("tensor", i, tensor.name) + ".offset",
                    std::to_string(tensor.bytes) + " bytes at " + std::to_string(relative) +
                        " of the data; the file has " + std::to_string(size) + " bytes of data");
      }
      tensor.offset = start + relative;
    }
    return no_overlap();
  }

  bool no_overlap() {
    std::vector<uint32_t> order(file_.tensors_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) {
      const uint64_t x = file_.tensors_[a].offset;
      const uint64_t y = file_.tensors_[b].offset;
      return x != y ? x < y : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      const TensorInfo& before = file_.tensors_[order[i - 1]];
      const TensorInfo& tensor = file_.tensors_[order[i]];
      if (before.offset + before.bytes > tensor.offset) {
        return fail(offset_field(tensor), entry("tensor", order[i], tensor.name) + ".offset",
                    "its data overlaps that of " + quoted(before.name));
      }
    }
    return true;
  }

  // Where a tensor's offset field lies: after name, dimension count, dimensions and type.
  static uint64_t offset_field(const TensorInfo& tensor) {
    return tensor.header_offset + 8 + tensor.name.size() + 4 + 8 * uint64_t{tensor.dimensions} + 4;
  }

  std::span<const std::byte> bytes_;
  ByteCursor cursor_;
  uint64_t tensor_count_ = 0;
  uint64_t value_count_ = 0;
  GgufFile file_;
};

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes) {
  try {
    return GgufParser(bytes).run();
  } catch (const std::exception& problem) {  // Out of memory; nothing else throws.
    return ParseError{0, "file", std::string("cannot be parsed: ") + problem.what()};
  }
}

}  // namespace moevk::model
