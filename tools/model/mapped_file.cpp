// SPDX-License-Identifier: MIT
//
// In:  a path.
// Out: a read-only mapping of it (see mapped_file.h).
// Why: the only place in the model reader that asks the operating system for more than stdio.
#include "tools/model/mapped_file.h"

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#include <cerrno>
#include <system_error>
#include <utility>

#include "tools/model/utf8_path.h"

namespace moevk::model {
namespace {

struct Mapping {
  void* address = nullptr;
  size_t size_bytes = 0;
};

ParseError not_regular(const std::string& path) { return {0, "file", path + ": is not a regular file"}; }

ParseError too_large(const std::string& path) { return {0, "file", path + ": too large for this machine's addresses"}; }

#if defined(_WIN32)

ParseError system_error_of(const std::string& path, const char* what, DWORD code) {
  const int number = static_cast<int>(code);
  return {0, "file",
          path + ": cannot " + what + ": " + std::system_category().message(number) + " (Windows error " +
              std::to_string(number) + ")"};
}

struct Handle {
  HANDLE handle;
  ~Handle() { CloseHandle(handle); }
};

Result<Mapping> map(const std::string& path) {
  // Backup semantics open folders, too, so that one is called by its name.
  const HANDLE handle = CreateFileW(path_of(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                                    OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  if (handle == INVALID_HANDLE_VALUE) return system_error_of(path, "open", GetLastError());
  const Handle closer{handle};
  BY_HANDLE_FILE_INFORMATION facts = {};
  if (GetFileType(handle) != FILE_TYPE_DISK) return not_regular(path);
  if (GetFileInformationByHandle(handle, &facts) == 0) return system_error_of(path, "stat", GetLastError());
  if ((facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return not_regular(path);
  const uint64_t size = uint64_t{facts.nFileSizeHigh} << 32 | facts.nFileSizeLow;
  if (size > SIZE_MAX / 2) return too_large(path);
  if (size == 0) return Mapping{};
  const HANDLE section = CreateFileMappingW(handle, nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (section == nullptr) return system_error_of(path, "map", GetLastError());
  const Handle section_closer{section};
  void* address = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
  if (address == nullptr) return system_error_of(path, "map", GetLastError());
  return Mapping{address, static_cast<size_t>(size)};
}

void unmap(const Mapping& mapping) { UnmapViewOfFile(mapping.address); }

#else

ParseError system_error_of(const std::string& path, const char* what, int code) {
  return {0, "file",
          path + ": cannot " + what + ": " + std::generic_category().message(code) + " (errno " + std::to_string(code) +
              ")"};
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

Result<Mapping> map(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer. It means nothing for a regular
  // file.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_error_of(path, "open", errno);
  const Descriptor closer{fd};
  struct stat facts = {};
  if (::fstat(fd, &facts) != 0) return system_error_of(path, "stat", errno);
  if (!S_ISREG(facts.st_mode)) return not_regular(path);
  if (facts.st_size == 0) return Mapping{};
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size > SIZE_MAX / 2) return too_large(path);
  void* address = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) return system_error_of(path, "map", errno);
  return Mapping{address, static_cast<size_t>(size)};
}

void unmap(const Mapping& mapping) { ::munmap(mapping.address, mapping.size_bytes); }

#endif

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return ParseError{0, "file", "the path holds a zero byte"};
  }
  auto mapping = map(path);
  if (!mapping) {
    return mapping.error();
  }
  MappedFile file;
  file.path_ = path;
  file.address_ = mapping->address;
  file.size_bytes_ = mapping->size_bytes;
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
    unmap({address_, size_bytes_});
  }
}

}  // namespace moevk::model
