// SPDX-License-Identifier: MIT
//
// Where the bytes come from, and what can go wrong there, by the name of the source's field.
#include "runtime/tensor_reader.h"

#include <cerrno>
#include <cstring>

#include "runtime/platform.h"

namespace moevk {

Status TensorReader::open() {
  if (source_.source != MOE_SOURCE_FILE) return {};
  file_.open(path_from_utf8(source_.path), std::ios::binary);
  if (!file_)
    return {MOE_ERROR_IO, "source.path", std::string("cannot open ") + source_.path + ": " + std::strerror(errno)};
  file_.seekg(0, std::ios::end);
  const auto end = static_cast<uint64_t>(file_.tellg());
  if (source_.file_offset > end || source_.bytes > end - source_.file_offset) {
    return {MOE_ERROR_IO, "source.file_offset",
            std::string(source_.path) + " ends at byte " + std::to_string(end) + ", before the tensor does (" +
                std::to_string(source_.file_offset) + " + " + std::to_string(source_.bytes) + ")"};
  }
  return {};
}

Result<const std::byte*> TensorReader::bytes(uint64_t offset, uint64_t bytes) {
  if (source_.source == MOE_SOURCE_MEMORY) return static_cast<const std::byte*>(source_.memory) + offset;
  if (scratch_.bytes() < bytes) {
    MOE_ASSIGN_OR_RETURN(scratch_, HostMemory::allocate(state_, bytes));
  }
  if (source_.source == MOE_SOURCE_FILE) {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(source_.file_offset + offset));
    file_.read(reinterpret_cast<char*>(scratch_.data()), static_cast<std::streamsize>(bytes));
    if (static_cast<uint64_t>(file_.gcount()) != bytes) {
      return Status(MOE_ERROR_IO, "source.path",
                    std::string(source_.path) + ": cannot read " + std::to_string(bytes) + " bytes at " +
                        std::to_string(source_.file_offset + offset));
    }
  } else if (const int32_t code = source_.read(source_.user, offset, scratch_.data(), bytes); code != 0) {
    return Status(MOE_ERROR_IO, "source.read", "the callback returned error " + std::to_string(code));
  }
  return static_cast<const std::byte*>(scratch_.data());
}

}  // namespace moevk
