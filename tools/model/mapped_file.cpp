// SPDX-License-Identifier: MIT
//
// In:  a path.
// Out: a read-only mapping of it (see mapped_file.h).
// Why: the only place in the model reader that asks the operating system for more than stdio.
#include "tools/model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <system_error>
#include <utility>

namespace moevk::model {
namespace {

ParseError system_error_of(const std::string& path, const char* what, int code) {
  return {0, "file",
          path + ": cannot " + what + ": " + std::generic_category().message(code) + " (errno " + std::to_string(code) +
              ")"};
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return ParseError{0, "file", "the path holds a zero byte"};
  }
  // O_NONBLOCK: opening a named pipe must not wait for a writer. It means nothing for a regular
  // file.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return system_error_of(path, "open", errno);
  }
  const Descriptor closer{fd};
  struct stat facts = {};
  if (::fstat(fd, &facts) != 0) {
    return system_error_of(path, "stat", errno);
  }
  if (!S_ISREG(facts.st_mode)) {
    return ParseError{0, "file", path + ": is not a regular file"};
  }
  MappedFile file;
  file.path_ = path;
  if (facts.st_size > 0) {
    const auto size = static_cast<uint64_t>(facts.st_size);
    if (size > SIZE_MAX / 2) {
      return ParseError{0, "file", path + ": too large for this machine's addresses"};
    }
    void* address = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (address == MAP_FAILED) {
      return system_error_of(path, "map", errno);
    }
    file.address_ = address;
    file.size_bytes_ = static_cast<size_t>(size);
  }
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) {
    ::munmap(address_, size_bytes_);
  }
}

}  // namespace moevk::model
