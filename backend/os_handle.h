// SPDX-License-Identifier: MIT
//
// File descriptors (POSIX) and HANDLEs (Windows) of shared memory: duplicating, closing, and the Vulkan structs that
// import them. The one place that differs by platform.
#pragma once

#include "backend/vulkan_functions.h"

namespace moevk {

#if defined(_WIN32)
inline constexpr bool kHasWin32Handles = true;
#else
inline constexpr bool kHasWin32Handles = false;
#endif

// Owns a handle until a driver has taken it.
class OsHandle {
 public:
  static Result<OsHandle> duplicate(int64_t handle);
  static void close(int64_t handle);
  explicit OsHandle(int64_t handle) : handle_(handle) {}
  OsHandle(const OsHandle&) = delete;
  OsHandle& operator=(const OsHandle&) = delete;
  OsHandle(OsHandle&& other) noexcept : handle_(other.handle_), owned_(std::exchange(other.owned_, false)) {}
  OsHandle& operator=(OsHandle&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~OsHandle() {
    if (owned_) close(handle_);
  }
  int64_t get() const { return handle_; }
  void taken_by_driver();  // a driver owns imported descriptors; of an NT handle it makes its own reference

 private:
  int64_t handle_;
  bool owned_ = true;
};

// The struct to chain to VkMemoryAllocateInfo; valid while it lives.
class HandleImport {
 public:
  HandleImport(VkExternalMemoryHandleTypeFlagBits type, const OsHandle& handle);
  const void* chain() const { return storage_; }

 private:
  alignas(8) unsigned char storage_[64];
};

Result<int64_t> export_os_handle(const DeviceFunctions& vk, VkDevice device, VkDeviceMemory memory,
                                 VkExternalMemoryHandleTypeFlagBits type);

}  // namespace moevk
