// SPDX-License-Identifier: MIT
//
// Header, metadata as they were, a new tensor table, data in the file's order (see gguf_rewriter.h).
#include "tools/model/gguf_rewriter.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

#include "tools/model/block_encoder.h"
#include "tools/model/half.h"
#include "tools/model/utf8_path.h"

namespace moevk::model {
namespace {

constexpr uint64_t kPieceNumbers = 1u << 20;  // weights at a time, about
constexpr char kFileType[] = "general.file_type";

float number_at(uint32_t type, const std::byte* from, uint64_t i) {
  if (type == kGgmlF32) {
    float value;
    std::memcpy(&value, from + 4 * i, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, from + 2 * i, 2);
  return type == kGgmlF16 ? half_to_float(bits) : bfloat_to_float(bits);
}

// Runs work(first, last) over 0..count on all cores; on fewer where threads cannot be had.
template <class Work>
void share_out(uint64_t count, const Work& work) {
  const uint64_t shares = std::clamp<uint64_t>(std::thread::hardware_concurrency(), 1, std::max<uint64_t>(count, 1));
  std::vector<std::thread> threads;
  threads.reserve(shares);
  uint64_t first = 0;
  for (uint64_t i = 1; i < shares; ++i) {
    const uint64_t last = count * i / shares;
    try {
      threads.emplace_back(work, first, last);
    } catch (const std::system_error&) {
      break;  // this thread does the rest
    }
    first = last;
  }
  work(first, count);
  for (std::thread& thread : threads) thread.join();
}

class Rewriter {
 public:
  Rewriter(const GgufFile& file, const Rewrite& rewrite) : file_(file), rewrite_(rewrite) {}

  Result<uint64_t> write(const std::string& path) {
    if (const auto refused = check()) return *refused;
    std::error_code ignored;
    if (std::filesystem::exists(path_of(path), ignored)) {
      return ParseError{0, path, "exists; nothing is overwritten"};
    }
    const std::string part = path + ".part";
    out_.reset(create_file(part));
    if (out_ == nullptr) return ParseError{0, part, std::strerror(errno)};
    const bool whole = put_all() && std::fflush(out_.get()) == 0;
    const int error = errno;
    const bool closed = std::fclose(out_.release()) == 0;
    if (whole && closed) {
      std::filesystem::rename(path_of(part), path_of(path), ignored);
      if (!ignored) return written_;
      error_ = {0, path, ignored.message()};
    } else if (error_.message.empty()) {
      error_ = {0, part, std::strerror(error)};
    }
    std::filesystem::remove(path_of(part), ignored);
    return error_;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  bool rewrites(const TensorInfo& tensor) const {
    return std::find(rewrite_.tensors.begin(), rewrite_.tensors.end(), &tensor) != rewrite_.tensors.end();
  }
  const GgmlType& type_of(const TensorInfo& tensor) const {
    return rewrites(tensor) ? *find_ggml_type(rewrite_.type) : *tensor.type;
  }
  uint64_t bytes_of(const TensorInfo& tensor) const {
    const GgmlType& type = type_of(tensor);
    return rewrites(tensor) ? tensor.numbers / type.block_numbers * type.block_bytes : tensor.bytes;
  }

  std::optional<ParseError> check() const {
    if (!can_encode(rewrite_.type)) return ParseError{0, "type", "is none of " + encodable_types()};
    const GgmlType& type = *find_ggml_type(rewrite_.type);
    for (const TensorInfo* tensor : rewrite_.tensors) {
      const std::string name = printable(tensor->name);
      if (!is_plain_float(tensor->type->id)) {
        return ParseError{tensor->header_offset, name,
                          std::string("is ") + tensor->type->name + ": quantise from f32, f16 or bf16"};
      }
      if (tensor->ne[0] % type.block_numbers != 0) {
        return ParseError{tensor->header_offset, name,
                          "has rows of " + std::to_string(tensor->ne[0]) + ", no multiple of the " +
                              std::to_string(type.block_numbers) + " of a block of " + type.name};
      }
    }
    return std::nullopt;
  }

  bool put(const void* bytes, uint64_t count) {
    written_ += count;
    return count == 0 || std::fwrite(bytes, 1, static_cast<size_t>(count), out_.get()) == count;
  }
  template <class T>
  bool put_number(T value) {
    return put(&value, sizeof value);
  }
  bool pad() {
    static constexpr std::array<std::byte, 64> kZeros{};
    uint64_t missing = (file_.alignment() - written_ % file_.alignment()) % file_.alignment();
    for (; missing > kZeros.size(); missing -= kZeros.size()) {
      if (!put(kZeros.data(), kZeros.size())) return false;
    }
    return put(kZeros.data(), missing);
  }

  bool put_all() {
    for (const TensorInfo& tensor : file_.tensors()) total_ += tensor.bytes;
    if (!put_metadata() || !put_table()) return false;
    for (const TensorInfo& tensor : file_.tensors()) {
      if (!pad() || !(rewrites(tensor) ? put_encoded(tensor) : put_copied(tensor))) return false;
    }
    return pad();
  }

  // As they are, but for the number that says what most weights are.
  bool put_metadata() {
    const uint64_t end = file_.tensors().front().header_offset;
    const std::span<const std::byte> bytes = file_.bytes();
    const GgufValue* value = file_.find_value(kFileType);
    if (value == nullptr || value->type != ValueType::u32) return put(bytes.data(), end);
    return put(bytes.data(), value->offset) && put_number(file_type_of(rewrite_.type)) &&
           put(bytes.data() + value->offset + 4, end - value->offset - 4);
  }

  bool put_table() {
    uint64_t at = 0;
    for (const TensorInfo& tensor : file_.tensors()) {
      bool fine = put_number(uint64_t{tensor.name.size()}) && put(tensor.name.data(), tensor.name.size()) &&
                  put_number(tensor.dimensions);
      for (uint32_t i = 0; i < tensor.dimensions; ++i) fine = fine && put_number(tensor.ne[i]);
      if (!fine || !put_number(type_of(tensor).id) || !put_number(at)) return false;
      const uint64_t alignment = file_.alignment();
      at += (bytes_of(tensor) + alignment - 1) / alignment * alignment;
    }
    return true;
  }

  bool told(uint64_t bytes) {
    done_ += bytes;
    if (!rewrite_.progress || rewrite_.progress(done_, total_)) return true;
    error_ = {0, "quantising", "was stopped"};
    return false;
  }

  bool put_copied(const TensorInfo& tensor) {
    const std::span<const std::byte> bytes = file_.tensor_bytes(tensor);
    for (uint64_t at = 0; at < bytes.size();) {
      const uint64_t piece = std::min<uint64_t>(bytes.size() - at, 4 * kPieceNumbers);
      if (!put(bytes.data() + at, piece) || !told(piece)) return false;
      at += piece;
    }
    return true;
  }

  bool put_encoded(const TensorInfo& tensor) {
    const GgmlType& to = *find_ggml_type(rewrite_.type);
    const std::byte* from = file_.tensor_bytes(tensor).data();
    const uint64_t size = tensor.bytes / tensor.numbers;
    std::vector<float> numbers;
    std::vector<std::byte> codes;
    for (uint64_t at = 0; at < tensor.numbers; at += numbers.size()) {
      numbers.resize(static_cast<size_t>(std::min(tensor.numbers - at, kPieceNumbers)));
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = number_at(tensor.type->id, from, at + i);
      if (!holds(tensor, numbers)) return false;
      codes.resize(numbers.size() / to.block_numbers * to.block_bytes);
      share_out(numbers.size() / to.block_numbers, [&](uint64_t first, uint64_t last) {
        encode_row(rewrite_.type, numbers.data() + first * to.block_numbers, (last - first) * to.block_numbers,
                   codes.data() + first * to.block_bytes);
      });
      if (!put(codes.data(), codes.size()) || !told(numbers.size() * size)) return false;
    }
    return true;
  }

  bool holds(const TensorInfo& tensor, const std::vector<float>& numbers) {
    const bool wide = rewrite_.type == kGgmlF32 || rewrite_.type == kGgmlBf16 || rewrite_.type == kGgmlMxfp4;
    const float most = wide ? 3.0e38f : 65504.0f;
    for (const float number : numbers) {
      if (std::isfinite(number) && std::fabs(number) <= most) continue;
      error_ = {tensor.header_offset, printable(tensor.name),
                "has the weight " + std::to_string(number) + ", which " + find_ggml_type(rewrite_.type)->name +
                    " cannot hold"};
      return false;
    }
    return true;
  }

  const GgufFile& file_;
  const Rewrite& rewrite_;
  std::unique_ptr<std::FILE, Close> out_;
  uint64_t written_ = 0, done_ = 0, total_ = 0;
  ParseError error_;
};

}  // namespace

Result<uint64_t> rewrite_gguf(const GgufFile& file, const std::string& path, const Rewrite& rewrite) {
  if (file.tensors().empty()) return ParseError{0, "tensors", "there are none"};
  return Rewriter(file, rewrite).write(path);
}

}  // namespace moevk::model
