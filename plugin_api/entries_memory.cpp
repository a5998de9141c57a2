// SPDX-License-Identifier: MIT
//
// The extension "moe.external_memory": arguments checked here, the work done by the device.
#include "backend/os_handle.h"
#include "plugin_api/entries.h"

namespace moevk {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 60;

Status check_kind(uint32_t kind, const char* name) {
  return kind <= MOE_MEMORY_VK_BUFFER ? Status() : invalid(name, "is no MOE_MEMORY_* value");
}

moe_status MOE_CALL query(moe_device* device, uint32_t kind, moe_memory_support* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_RETURN_IF_ERROR(check_kind(kind, "kind"));
    return write_struct(device->object->memory_support(kind), out, "out");
  });
}

Status check_desc(const moe_memory_desc& d) {
  MOE_RETURN_IF_ERROR(check_kind(d.kind, "desc.kind"));
  const uint32_t known = d.kind == MOE_MEMORY_HOST_POINTER ? MOE_MEMORY_ALLOW_COPY : 0;
  if ((d.flags & ~known) != 0) {
    return invalid("desc.flags", "has bits that this kind does not take: " + std::to_string(d.flags & ~known));
  }
  if (d.bytes == 0 || d.bytes > kMostBytes) return invalid("desc.bytes", "is " + std::to_string(d.bytes));
  if (d.offset_bytes % 4 != 0 || d.offset_bytes > kMostBytes) {
    return invalid("desc.offset_bytes", "is " + std::to_string(d.offset_bytes) + ", no multiple of 4");
  }
  switch (d.kind) {
    case MOE_MEMORY_HOST_POINTER:
      if (d.from.host.pointer == nullptr) return invalid("desc.from.host.pointer", "is NULL");
      if (d.offset_bytes != 0) return invalid("desc.offset_bytes", "is not 0: move the pointer instead");
      break;
    case MOE_MEMORY_VK_BUFFER:
      if (d.from.vulkan.buffer == 0) return invalid("desc.from.vulkan.buffer", "is VK_NULL_HANDLE");
      if (d.from.vulkan.reserved != 0) return invalid("desc.from.vulkan.reserved", "is not 0");
      break;
    default:
      if (d.from.handle.dedicated > 1) return invalid("desc.from.handle.dedicated", "is neither 0 nor 1");
      if (d.from.handle.allocation_bytes > kMostBytes) {
        return invalid("desc.from.handle.allocation_bytes", "is " + std::to_string(d.from.handle.allocation_bytes));
      }
  }
  return {};
}

moe_status MOE_CALL import_buffer(moe_device* device, const moe_memory_desc* desc, moe_buffer** out,
                                  moe_memory_info* info, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    moe_memory_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_RETURN_IF_ERROR(check_desc(d));
    moe_memory_info result = moe_init<moe_memory_info>();
    // Before a handle changes hands: whatever fails later must find it with the caller.
    if (info != nullptr) MOE_RETURN_IF_ERROR(write_struct(result, info, "info"));
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer, device->object->import_buffer(d, &result));
    if (info != nullptr) MOE_RETURN_IF_ERROR(write_struct(result, info, "info"));
    *out = new_handle<moe_buffer>(device->state, std::move(buffer));
    // Last, since nothing can fail any more: the memory has a handle of its own.
    const bool owns = d.kind == MOE_MEMORY_OPAQUE_FD || d.kind == MOE_MEMORY_DMA_BUF || d.kind == MOE_MEMORY_WIN32;
    if (owns) OsHandle::close(d.from.handle.handle);
    return {};
  });
}

moe_status MOE_CALL create_exportable_buffer(moe_device* device, uint32_t kind, uint64_t bytes, moe_buffer** out,
                                             moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_RETURN_IF_ERROR(check_kind(kind, "kind"));
    if (bytes == 0 || bytes > kMostBytes) return invalid("bytes", "is " + std::to_string(bytes));
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer, device->object->create_exportable_buffer(kind, bytes));
    *out = new_handle<moe_buffer>(device->state, std::move(buffer));
    return {};
  });
}

moe_status MOE_CALL export_buffer(moe_buffer* buffer, moe_memory_handle* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(buffer, "buffer"));
    MOE_RETURN_IF_ERROR(write_struct(moe_init<moe_memory_handle>(), out, "out"));  // a handle must not be lost later
    MOE_ASSIGN_OR_RETURN(const moe_memory_handle handle, buffer->object->export_handle());
    return write_struct(handle, out, "out");
  });
}

}  // namespace

const moe_external_memory* external_memory_table() {
  static const moe_external_memory table = [] {
    moe_external_memory t = moe_init<moe_external_memory>();
    t.query = query;
    t.import_buffer = import_buffer;
    t.create_exportable_buffer = create_exportable_buffer;
    t.export_buffer = export_buffer;
    return t;
  }();
  return &table;
}

}  // namespace moevk
