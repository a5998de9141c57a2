// SPDX-License-Identifier: MIT
//
// In:  the bytes of a GGUF file (v2 or v3, little-endian), mapped or in memory.
// Out: its metadata and tensor table as views into those bytes, ranges checked; or a ParseError.
// Why: files come from strangers. Every count and length is compared with the bytes that are left
//      before anything is allocated: memory stays a small multiple of the header's size.
// Note: ne[0] is the fastest axis. ffn_gate_exps has ne = [hidden, ffn, experts], which is row-
//      major [experts, ffn, hidden], that is [experts, out, in].
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/model/mapped_file.h"
#include "tools/model/result.h"
#include "tools/model/tensor_store.h"

namespace moevk::model {

// The format's numbers.
enum class ValueType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

const char* value_type_name(ValueType type);

// Bytes of a scalar; 0 for strings and arrays.
uint64_t scalar_bytes(ValueType type);

// One metadata entry. Strings and arrays are views into the file.
struct GgufValue {
  std::string_view key;
  ValueType type = ValueType::u8;
  ValueType element_type = ValueType::u8;  // Of an array; never array itself.
  uint64_t count = 1;                      // Elements of an array; 1 otherwise.
  std::span<const std::byte> payload;      // A scalar's bytes, a string's characters, an array's elements.
  uint64_t offset = 0;                     // Where the payload starts in the file.

  // Empty where the type does not fit; as_u64 takes every integer type that is not negative.
  std::optional<uint64_t> as_u64() const;
  std::optional<double> as_f64() const;  // f32, f64 and integers
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;

  // The same for element `index` of an array of numbers.
  std::optional<uint64_t> element_u64(uint64_t index) const;
  std::optional<double> element_f64(uint64_t index) const;

  // At most `limit` first strings of an array of strings.
  std::vector<std::string_view> strings(size_t limit) const;
};

class GgufFile : public TensorStore {
 public:
  // Maps and parses a file; the object owns the mapping.
  static Result<GgufFile> open(const std::string& path);
  // Parses bytes that the caller keeps alive.
  static Result<GgufFile> parse(std::span<const std::byte> bytes);

  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t data_offset() const { return data_offset_; }  // Where the tensors' data begins.
  const std::string& path() const { return file_.path(); }
  std::span<const std::byte> bytes() const { return bytes_; }

  const std::vector<GgufValue>& metadata() const { return metadata_; }          // In the file's order.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }  // In the file's order.
  const GgufValue* find_value(std::string_view key) const;                      // Null where absent.
  const TensorInfo* find_tensor(std::string_view name) const override;          // Null where absent.
  std::span<const std::byte> tensor_bytes(const TensorInfo& tensor) const override;
  const std::string& tensor_path(const TensorInfo&) const override { return file_.path(); }

 private:
  friend class GgufParser;
  GgufFile() = default;

  MappedFile file_;  // Empty where the bytes are the caller's.
  std::span<const std::byte> bytes_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  uint64_t data_offset_ = 0;
  std::vector<GgufValue> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> values_by_key_;    // Indices into metadata_, sorted by key.
  std::vector<uint32_t> tensors_by_name_;  // Indices into tensors_, sorted by name.
};

}  // namespace moevk::model
