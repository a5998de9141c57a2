// SPDX-License-Identifier: MIT
//
// The opaque objects of the ABI and what every entry does with its arguments: handles with a tag that tells kinds
// apart, structs read by their size, errors written, and the fence that keeps exceptions in.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>

#include "backend/vulkan_backend.h"
#include "plugin_api/moe_plugin_packed.h"
#include "runtime/device.h"
#include "runtime/weight_upload.h"

struct moe_instance {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::VulkanBackend> vulkan;  // null with MOE_INSTANCE_NO_VULKAN
  std::string why_no_gpu;
};
struct moe_device {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::Device> object;
};
struct moe_upload {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::WeightUpload> object;
};
struct moe_layer {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::Layer> object;
};
struct moe_buffer {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::Buffer> object;
};
struct moe_context {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::Context> object;
};

namespace moevk {

// Of one call. A plan lists its chunks of tokens, so this bounds its size.
inline constexpr uint64_t kMostTokens = 1u << 20;

template <class Handle>
inline constexpr uint32_t kTag = 0;
template <>
inline constexpr uint32_t kTag<moe_instance> = 0x6D6F6501;
template <>
inline constexpr uint32_t kTag<moe_device> = 0x6D6F6502;
template <>
inline constexpr uint32_t kTag<moe_upload> = 0x6D6F6503;
template <>
inline constexpr uint32_t kTag<moe_layer> = 0x6D6F6504;
template <>
inline constexpr uint32_t kTag<moe_buffer> = 0x6D6F6505;
template <>
inline constexpr uint32_t kTag<moe_context> = 0x6D6F6506;

template <class Handle, class Object>
Handle* new_handle(const std::shared_ptr<SharedState>& state, std::shared_ptr<Object> object) {
  auto* handle = new Handle{kTag<Handle>, state, std::move(object)};
  ++state->live_objects;
  return handle;
}

template <class Handle>
void delete_handle(Handle* handle) {
  if (handle == nullptr || handle->tag != kTag<Handle>) return;
  handle->tag = 0;
  const std::shared_ptr<SharedState> state = handle->state;  // outlives the object
  delete handle;
  --state->live_objects;
}

template <class Handle>
Status check_handle(const Handle* handle, const char* name) {
  if (handle == nullptr) return invalid(name, "is NULL");
  if (handle->tag != kTag<Handle>) return invalid(name, "is another kind of object, or destroyed");
  return {};
}

template <class T>
Status check_out(T* out, const char* name) {
  return out != nullptr ? Status() : invalid(name, "is NULL");
}

// Copies a caller's struct. Nothing but this reads structs of the ABI.
template <class T>
Status read_struct(const T* in, const char* name, T* out) {
  if (in == nullptr) return invalid(name, "is NULL");
  const std::string path(name);
  if (in->struct_size < sizeof(T)) {  // 0.1 is the first release: there is no shorter struct yet
    return invalid(path + ".struct_size", "is " + std::to_string(in->struct_size) + ", less than the " +
                                              std::to_string(sizeof(T)) + " bytes of version 0.1");
  }
  if (in->struct_size > (1u << 20))
    return invalid(path + ".struct_size", "is " + std::to_string(in->struct_size) + ": uninitialised?");
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(T); i < in->struct_size; ++i) {
    if (bytes[i] != 0) {
      return invalid(path, "byte " + std::to_string(i) + " is set, but this version knows " +
                               std::to_string(sizeof(T)) + " bytes of the struct");
    }
  }
  if (in->next != nullptr) {
    return invalid(path + ".next",
                   "chained struct of type " + std::to_string(in->next->type) + " is unknown to this version");
  }
  *out = *in;
  return {};
}

// Fills a caller's struct up to the size it has, keeping its header.
template <class T>
Status write_struct(const T& value, T* out, const char* name) {
  if (out == nullptr) return invalid(name, "is NULL");
  constexpr size_t kHeader = offsetof(T, next) + sizeof(out->next);
  if (out->struct_size < kHeader || out->struct_size % 8 != 0) {
    return invalid(std::string(name) + ".struct_size",
                   "is " + std::to_string(out->struct_size) + ", no size of this struct");
  }
  if (out->next != nullptr)
    return invalid(std::string(name) + ".next",
                   "chained struct of type " + std::to_string(out->next->type) + " is unknown to this version");
  const size_t size = std::min<size_t>(out->struct_size, sizeof(T));
  std::memcpy(reinterpret_cast<char*>(out) + kHeader, reinterpret_cast<const char*>(&value) + kHeader, size - kHeader);
  return {};
}

// Fills a caller's array: *count elements of room, as far apart as the struct is large, which the first one says; the
// others need not be initialised. *count becomes how many there are.
template <class T, class Make>
Status write_array(size_t size, T* out, uint32_t* count, Make make) {
  const uint32_t room = out != nullptr ? *count : 0;
  *count = static_cast<uint32_t>(size);
  const uint64_t stride = room != 0 ? out->struct_size : 0;
  for (uint32_t i = 0; i < room && i < size; ++i) {
    auto* to = reinterpret_cast<T*>(reinterpret_cast<char*>(out) + i * stride);
    if (i != 0) {
      to->struct_size = stride;
      to->next = nullptr;
    }
    MOE_RETURN_IF_ERROR(write_struct<T>(make(i), to, "out"));
  }
  return {};
}

template <size_t N>
void copy_text(char (&to)[N], const std::string& from) {
  const size_t length = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), length);
  std::memset(to + length, 0, N - length);
}

inline moe_status report(const Status& status, moe_error* error) {
  if (error != nullptr) {
    error->code = status.code();
    error->vk_result = status.vk_result();
    copy_text(error->argument, status.argument());
    copy_text(error->text, status.text());
  }
  return status.code();
}

// Allocates nothing: there may be no memory.
inline moe_status report_literal(moe_status code, const char* text, moe_error* error) noexcept {
  if (error != nullptr) {
    error->code = code;
    error->vk_result = 0;
    std::memset(error->argument, 0, sizeof error->argument);
    std::memset(error->text, 0, sizeof error->text);
    std::strncpy(error->text, text, sizeof error->text - 1);
  }
  return code;
}

// Runs the body of an entry. No exception leaves; a moe_error that cannot be written to is refused.
template <class Body>
moe_status guarded(moe_error* error, Body body) noexcept {
  if (error != nullptr && error->struct_size < sizeof(moe_error)) return MOE_ERROR_INVALID_ARGUMENT;
  try {
    return report(body(), error);
  } catch (const std::bad_alloc&) {
    return report_literal(MOE_ERROR_OUT_OF_HOST_MEMORY, "out of host memory", error);
  } catch (const std::exception& e) {
    return report_literal(MOE_ERROR_INTERNAL, e.what(), error);
  } catch (...) {
    return report_literal(MOE_ERROR_INTERNAL, "unknown exception", error);
  }
}

// A host's workspace of a context or recording: whose it is, and its range.
Status check_workspace_range(const Buffer& workspace, const Device* device, uint64_t offset, uint64_t bytes);
// The views of a call, checked against the layer; path names begin with "args".
Result<Call> read_call(Stage stage, moe_layer* layer, const moe_call_args* args, const Device* device,
                       uint64_t max_tokens);

const moe_introspection* introspection_table();
const moe_external_memory* external_memory_table();
const moe_packed_rows* packed_rows_table();
const void* vulkan_interop_table();  // its type needs Vulkan's headers

}  // namespace moevk
