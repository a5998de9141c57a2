// SPDX-License-Identifier: MIT
//
// In:  a path.
// Out: the file's bytes, mapped read-only, as long as the object lives. Move-only.
// Why: weights are larger than memory that one wants to copy; pages come in when they are read. A
//      file that somebody truncates while it is mapped still kills the reader (SIGBUS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tools/model/result.h"

namespace moevk::model {

class MappedFile {
 public:
  // Refuses what is not a regular file. The error's message holds the path and the system's text.
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(address_), size_bytes_}; }
  const std::string& path() const { return path_; }

 private:
  void* address_ = nullptr;  // Owned mapping; null for an empty file.
  size_t size_bytes_ = 0;
  std::string path_;
};

}  // namespace moevk::model
