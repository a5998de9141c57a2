// SPDX-License-Identifier: MIT
//
// POSIX and Windows side by side.
#include "backend/os_handle.h"

#include <cerrno>
#include <cstring>
#include <new>

#if defined(_WIN32)
#include <windows.h>

#include <vulkan/vulkan_win32.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace moevk {

#if defined(_WIN32)

Result<OsHandle> OsHandle::duplicate(int64_t handle) {
  HANDLE copy = nullptr;
  const HANDLE self = GetCurrentProcess();
  if (DuplicateHandle(self, reinterpret_cast<HANDLE>(handle), self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS) == 0) {
    return invalid("desc.from.handle.handle", "is no HANDLE of this process");
  }
  return OsHandle(reinterpret_cast<int64_t>(copy));
}

void OsHandle::close(int64_t handle) { CloseHandle(reinterpret_cast<HANDLE>(handle)); }
void OsHandle::taken_by_driver() {}

HandleImport::HandleImport(VkExternalMemoryHandleTypeFlagBits type, const OsHandle& handle) : storage_() {
  static_assert(sizeof(VkImportMemoryWin32HandleInfoKHR) <= sizeof storage_);
  auto* info = new (storage_) VkImportMemoryWin32HandleInfoKHR{};
  info->sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_WIN32_HANDLE_INFO_KHR;
  info->handleType = type;
  info->handle = reinterpret_cast<HANDLE>(handle.get());
}

Result<int64_t> export_os_handle(const DeviceFunctions& vk, VkDevice device, VkDeviceMemory memory,
                                 VkExternalMemoryHandleTypeFlagBits type) {
  const auto get = reinterpret_cast<PFN_vkGetMemoryWin32HandleKHR>(vk.vkGetMemoryWin32HandleKHR);
  VkMemoryGetWin32HandleInfoKHR info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_GET_WIN32_HANDLE_INFO_KHR;
  info.memory = memory;
  info.handleType = type;
  HANDLE handle = nullptr;
  const VkResult result = get(device, &info, &handle);
  if (result != VK_SUCCESS) return vk_status(result, "vkGetMemoryWin32HandleKHR", __FILE__, __LINE__);
  return reinterpret_cast<int64_t>(handle);
}

#else

Result<OsHandle> OsHandle::duplicate(int64_t handle) {
  const int copy = handle >= 0 && handle <= INT32_MAX ? fcntl(static_cast<int>(handle), F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0) {
    return invalid("desc.from.handle.handle",
                   "is no file descriptor that can be used: " + std::string(std::strerror(errno)));
  }
  return OsHandle(copy);
}

void OsHandle::close(int64_t handle) { ::close(static_cast<int>(handle)); }
void OsHandle::taken_by_driver() { owned_ = false; }

HandleImport::HandleImport(VkExternalMemoryHandleTypeFlagBits type, const OsHandle& handle) : storage_() {
  static_assert(sizeof(VkImportMemoryFdInfoKHR) <= sizeof storage_);
  auto* info = new (storage_) VkImportMemoryFdInfoKHR{};
  info->sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR;
  info->handleType = type;
  info->fd = static_cast<int>(handle.get());
}

Result<int64_t> export_os_handle(const DeviceFunctions& vk, VkDevice device, VkDeviceMemory memory,
                                 VkExternalMemoryHandleTypeFlagBits type) {
  VkMemoryGetFdInfoKHR info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR;
  info.memory = memory;
  info.handleType = type;
  int fd = -1;
  MOEVK_TRY(vk.vkGetMemoryFdKHR(device, &info, &fd));
  return int64_t{fd};
}

#endif

}  // namespace moevk
