// SPDX-License-Identifier: MIT
//
// Import and export. A file descriptor is duplicated before the driver sees it, so that a failure at any point
// leaves the caller's as it was; the entry closes the caller's when all is done.
#include "backend/external_memory.h"

#include <algorithm>
#include <cstring>

namespace moevk {
namespace {

VkExternalMemoryHandleTypeFlagBits handle_type(uint32_t kind) {
  switch (kind) {
    case MOE_MEMORY_HOST_POINTER: return VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    case MOE_MEMORY_OPAQUE_FD: return VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
    case MOE_MEMORY_DMA_BUF: return VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;
    default: return VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_WIN32_BIT;
  }
}

VkExternalMemoryFeatureFlags external_features(const VulkanDevice& device, uint32_t kind) {
  VkPhysicalDeviceExternalBufferInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO;
  info.usage = buffer_usage(device.caps());
  info.handleType = handle_type(kind);
  VkExternalBufferProperties properties{};
  properties.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES;
  device.instance_vk().vkGetPhysicalDeviceExternalBufferProperties(device.probed().handle, &info, &properties);
  return properties.externalMemoryProperties.externalMemoryFeatures;
}

const char* missing_extension(const VulkanDevice& device, uint32_t kind) {
  const ExternalMemoryCaps& external = device.probed().external;
  switch (kind) {
    case MOE_MEMORY_HOST_POINTER: return external.host_pointer_alignment != 0 ? nullptr : "VK_EXT_external_memory_host";
    case MOE_MEMORY_OPAQUE_FD: return external.opaque_fd ? nullptr : "VK_KHR_external_memory_fd";
    case MOE_MEMORY_DMA_BUF: return external.dma_buf ? nullptr : "VK_EXT_external_memory_dma_buf";
    case MOE_MEMORY_WIN32: return external.win32 && kHasWin32Handles ? nullptr : "VK_KHR_external_memory_win32";
    default: return nullptr;
  }
}

// The first allowed memory type that has `required`, device-local before others; none that needs a feature.
Result<uint32_t> choose_memory_type(const VulkanDevice& device, uint32_t allowed, VkMemoryPropertyFlags required = 0) {
  constexpr VkMemoryPropertyFlags kNever = VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
                                           VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD;
  VkPhysicalDeviceMemoryProperties memory;
  device.instance_vk().vkGetPhysicalDeviceMemoryProperties(device.probed().handle, &memory);
  for (const VkMemoryPropertyFlags wanted : {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, VkMemoryPropertyFlagBits(0)}) {
    for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
      const VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
      const VkMemoryPropertyFlags needed = wanted | required;
      if ((allowed >> i & 1) != 0 && (flags & needed) == needed && (flags & kNever) == 0) return uint32_t{i};
    }
  }
  return unsupported("desc", "no memory type of the device can hold a buffer on this memory");
}

}  // namespace

moe_memory_support external_memory_support(const VulkanDevice& device, uint32_t kind) {
  moe_memory_support support = moe_init<moe_memory_support>();
  if (kind == MOE_MEMORY_VK_BUFFER) {
    support.can_import = 1;
    support.alignment_bytes = 4;
    return support;
  }
  std::string reason;
  if (const char* missing = missing_extension(device, kind); missing != nullptr) {
    reason = std::string(missing) + " is not there, or was not enabled";
  } else {
    const VkExternalMemoryFeatureFlags features = external_features(device, kind);
    support.can_import = (features & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT) != 0 ? 1 : 0;
    support.can_export = (features & VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT) != 0 ? 1 : 0;
    support.alignment_bytes = kind == MOE_MEMORY_HOST_POINTER ? device.probed().external.host_pointer_alignment : 4;
    if (support.can_import == 0) reason = "the driver does not import such memory for storage buffers";
    if (support.can_export == 0 && kind != MOE_MEMORY_HOST_POINTER) {
      reason += std::string(reason.empty() ? "" : ", and ") + "the driver does not export it";
    }
  }
  std::memcpy(support.reason, reason.data(), std::min(reason.size(), sizeof support.reason - 1));
  return support;
}

ExternalBuffer::~ExternalBuffer() {
  const DeviceFunctions& vk = device_->vk();
  if (buffer_ != VK_NULL_HANDLE) vk.vkDestroyBuffer(device_->handle(), buffer_, nullptr);
  if (memory_ != VK_NULL_HANDLE) {
    vk.vkFreeMemory(device_->handle(), memory_, nullptr);
    device_->state().driver_freed(allocation_bytes_);
  }
  if (held_ != 0) {
    device_->allocator()->uncharge(held_);
    device_->state().allocated_bytes -= held_;
  }
}

Status ExternalBuffer::create_buffer(uint32_t kind, uint64_t bytes) {
  dedicated_ = (external_features(*device_, kind) & VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT) != 0;
  VkExternalMemoryBufferCreateInfo external{};
  external.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO;
  external.handleTypes = static_cast<VkExternalMemoryHandleTypeFlags>(handle_type(kind));
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.pNext = &external;
  info.size = bytes;
  info.usage = buffer_usage(device_->caps());
  MOEVK_TRY(device_->vk().vkCreateBuffer(device_->handle(), &info, nullptr, &buffer_));
  return {};
}

// Allocates (or imports) the memory and binds the buffer to it.
Status ExternalBuffer::bind(const VkMemoryAllocateInfo& wanted, OsHandle* imported) {
  VkMemoryDedicatedAllocateInfo dedicated{};
  dedicated.sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO;
  dedicated.buffer = buffer_;
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo info = wanted;
  if (dedicated_) {
    dedicated.pNext = info.pNext;
    info.pNext = &dedicated;
  }
  if (device_->caps().buffer_device_address != 0) {
    flags.pNext = info.pNext;
    info.pNext = &flags;
  }
  allocation_bytes_ = info.allocationSize;
  memory_type_ = info.memoryTypeIndex;
  MOEVK_TRY(device_->vk().vkAllocateMemory(device_->handle(), &info, nullptr, &memory_));
  device_->state().driver_allocated(allocation_bytes_);
  if (imported != nullptr) imported->taken_by_driver();
  MOEVK_TRY(device_->vk().vkBindBufferMemory(device_->handle(), buffer_, memory_, 0));
  return {};
}

Result<std::unique_ptr<ExternalBuffer>> ExternalBuffer::import(std::shared_ptr<VulkanDevice> device,
                                                               const moe_memory_desc& desc) {
  const moe_memory_support support = external_memory_support(*device, desc.kind);
  if (support.can_import == 0) return unsupported("desc.kind", support.reason);
  auto out = std::make_unique<ExternalBuffer>(device);
  MOE_RETURN_IF_ERROR(desc.kind == MOE_MEMORY_HOST_POINTER ? out->import_pages(desc) : out->import_handle(desc));
  return out;
}

Status ExternalBuffer::import_pages(const moe_memory_desc& desc) {
  const DeviceFunctions& vk = device_->vk();
  const VkDevice handle = device_->handle();
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  const uint64_t alignment = device_->probed().external.host_pointer_alignment;
  if (reinterpret_cast<uintptr_t>(desc.from.host.pointer) % alignment != 0 || desc.bytes % alignment != 0) {
    return unsupported("desc.from.host", "pointer and bytes must be multiples of " + std::to_string(alignment) +
                                             " to be used without a copy");
  }
  MOE_RETURN_IF_ERROR(create_buffer(desc.kind, desc.bytes));
  VkMemoryHostPointerPropertiesEXT properties{};
  properties.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT;
  MOEVK_TRY(
      vk.vkGetMemoryHostPointerPropertiesEXT(handle, handle_type(desc.kind), desc.from.host.pointer, &properties));
  VkImportMemoryHostPointerInfoEXT host{};
  host.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT;
  host.handleType = handle_type(desc.kind);
  host.pHostPointer = desc.from.host.pointer;
  VkMemoryRequirements needs;
  vk.vkGetBufferMemoryRequirements(handle, buffer_, &needs);
  if (needs.size > desc.bytes) {
    return unsupported("desc.bytes", "is " + std::to_string(desc.bytes) + "; the driver needs " +
                                         std::to_string(needs.size) + " for such a buffer");
  }
  // Coherent: nobody flushes what either side writes.
  MOE_ASSIGN_OR_RETURN(info.memoryTypeIndex,
                       choose_memory_type(*device_, needs.memoryTypeBits & properties.memoryTypeBits,
                                          VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT));
  info.allocationSize = desc.bytes;
  info.pNext = &host;
  return bind(info, nullptr);
}

Status ExternalBuffer::import_handle(const moe_memory_desc& desc) {
  const DeviceFunctions& vk = device_->vk();
  const VkDevice handle = device_->handle();
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  const uint64_t end = desc.offset_bytes + desc.bytes;
  info.allocationSize = desc.from.handle.allocation_bytes != 0 ? desc.from.handle.allocation_bytes : end;
  if (end > info.allocationSize) {
    return invalid("desc.bytes", "the buffer ends at byte " + std::to_string(end) + " of an allocation of " +
                                     std::to_string(info.allocationSize));
  }
  // The buffer covers the allocation from its start, as the exporter's did (a dedicated one wholly); the offset is in
  // the buffer.
  const bool dedicated = desc.from.handle.dedicated != 0;
  MOE_RETURN_IF_ERROR(create_buffer(desc.kind, dedicated ? info.allocationSize : end));
  dedicated_ = dedicated_ || dedicated;
  VkMemoryRequirements needs;
  vk.vkGetBufferMemoryRequirements(handle, buffer_, &needs);
  uint32_t allowed = needs.memoryTypeBits;
  if (needs.size > info.allocationSize || (dedicated && needs.size != info.allocationSize)) {
    return invalid("desc.from.handle.allocation_bytes", "is " + std::to_string(info.allocationSize) +
                                                            "; the driver needs " + std::to_string(needs.size) +
                                                            " for the buffer");
  }
  if (desc.kind == MOE_MEMORY_DMA_BUF) {
    VkMemoryFdPropertiesKHR properties{};
    properties.sType = VK_STRUCTURE_TYPE_MEMORY_FD_PROPERTIES_KHR;
    if (vk.vkGetMemoryFdPropertiesKHR(handle, handle_type(desc.kind), static_cast<int>(desc.from.handle.handle),
                                      &properties) != VK_SUCCESS) {
      return invalid("desc.from.handle.handle", "the driver does not take it for a dma-buf");
    }
    allowed &= properties.memoryTypeBits;
  }
  const uint32_t type = desc.from.handle.memory_type;
  if (type != MOE_MEMORY_TYPE_ANY) {
    if (type >= 32 || (allowed >> type & 1) == 0) {
      return invalid("desc.from.handle.memory_type",
                     "is " + std::to_string(type) + ", which cannot hold such a buffer on this device");
    }
    info.memoryTypeIndex = type;
  } else if (desc.kind == MOE_MEMORY_DMA_BUF) {
    MOE_ASSIGN_OR_RETURN(info.memoryTypeIndex, choose_memory_type(*device_, allowed));
  } else {
    return invalid("desc.from.handle.memory_type", "must be the exporter's for this kind of handle");
  }
  MOE_ASSIGN_OR_RETURN(OsHandle copy, OsHandle::duplicate(desc.from.handle.handle));
  HandleImport import(handle_type(desc.kind), copy);
  info.pNext = import.chain();
  return bind(info, &copy);
}

Result<std::unique_ptr<ExternalBuffer>> ExternalBuffer::create_exportable(std::shared_ptr<VulkanDevice> device,
                                                                          uint32_t kind, uint64_t bytes) {
  const moe_memory_support support = external_memory_support(*device, kind);
  if (kind == MOE_MEMORY_HOST_POINTER || kind == MOE_MEMORY_VK_BUFFER) {
    return unsupported("kind", "such memory is never exported");
  }
  if (support.can_export == 0) return unsupported("kind", support.reason);
  auto out = std::make_unique<ExternalBuffer>(device);
  const uint64_t size = (bytes + 15) / 16 * 16;
  if (size > device->caps().max_allocation_bytes) {
    return unsupported("bytes", "is " + std::to_string(bytes) + ", more than max_allocation_bytes = " +
                                    std::to_string(device->caps().max_allocation_bytes));
  }
  MOE_RETURN_IF_ERROR(out->create_buffer(kind, size));
  VkMemoryRequirements needs;
  device->vk().vkGetBufferMemoryRequirements(device->handle(), out->buffer_, &needs);
  MOE_RETURN_IF_ERROR(device->allocator()->charge(needs.size, "memory to be exported"));
  out->held_ = needs.size;
  device->state().allocated_bytes += needs.size;
  VkExportMemoryAllocateInfo exported{};
  exported.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO;
  exported.handleTypes = static_cast<VkExternalMemoryHandleTypeFlags>(handle_type(kind));
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.pNext = &exported;
  info.allocationSize = needs.size;
  MOE_ASSIGN_OR_RETURN(info.memoryTypeIndex, choose_memory_type(*device, needs.memoryTypeBits));
  MOE_RETURN_IF_ERROR(out->bind(info, nullptr));
  out->export_kind_ = kind;
  return out;
}

Result<moe_memory_handle> ExternalBuffer::export_handle(uint64_t bytes) const {
  if (export_kind_ == UINT32_MAX) return unsupported("buffer", "was not made by create_exportable_buffer");
  moe_memory_handle out = moe_init<moe_memory_handle>();
  MOE_ASSIGN_OR_RETURN(out.handle,
                       export_os_handle(device_->vk(), device_->handle(), memory_, handle_type(export_kind_)));
  out.allocation_bytes = allocation_bytes_;
  out.bytes = bytes;
  out.memory_type = memory_type_;
  out.dedicated = dedicated_ ? 1 : 0;
  std::copy_n(device_->probed().info.device_uuid, 16, out.device_uuid);
  std::copy_n(device_->probed().info.driver_uuid, 16, out.driver_uuid);
  return out;
}

}  // namespace moevk
