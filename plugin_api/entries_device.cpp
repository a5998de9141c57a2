// SPDX-License-Identifier: MIT
//
// Entries for instances, devices and buffers.
#include "plugin_api/entries.h"

#include <cctype>

#include "runtime/reference/reference_device.h"

namespace moevk {

moe_status MOE_CALL create_instance(const moe_instance_desc* desc, moe_instance** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    moe_instance_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    constexpr uint32_t kKnown = MOE_INSTANCE_VALIDATION | MOE_INSTANCE_NO_VULKAN;
    if ((d.flags & ~kKnown) != 0)
      return invalid("desc.flags", "has unknown bits: " + std::to_string(d.flags & ~kKnown));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    if ((d.allocate == nullptr) != (d.deallocate == nullptr))
      return invalid("desc.allocate", "allocate and deallocate come both or neither");
    MOE_ASSIGN_OR_RETURN(Options options, options_from_environment());
    const bool validation = options.validation || (d.flags & MOE_INSTANCE_VALIDATION) != 0;
    auto state = std::make_shared<SharedState>(d, std::move(options));
    auto instance = std::make_unique<moe_instance>(moe_instance{kTag<moe_instance>, state, nullptr, ""});
    if ((d.flags & MOE_INSTANCE_NO_VULKAN) != 0) {
      instance->why_no_gpu = "MOE_INSTANCE_NO_VULKAN was set";
    } else {
      MOE_ASSIGN_OR_RETURN(instance->vulkan, VulkanBackend::create(state, validation));
      instance->why_no_gpu = instance->vulkan->why_no_gpu();
    }
    *out = instance.release();
    return {};
  });
}

void MOE_CALL destroy_instance(moe_instance* instance) {
  if (instance == nullptr || instance->tag != kTag<moe_instance>) return;
  instance->tag = 0;
  delete instance;
}

static uint32_t vulkan_devices(const moe_instance* instance) {
  return instance->vulkan != nullptr ? static_cast<uint32_t>(instance->vulkan->devices().size()) : 0;
}

moe_status MOE_CALL get_device_count(moe_instance* instance, uint32_t* count, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    *count = vulkan_devices(instance) + 1;
    return {};
  });
}

static moe_device_info device_info(const moe_instance* instance, uint32_t index) {
  if (index < vulkan_devices(instance)) return instance->vulkan->devices()[index];
  moe_device_info info = moe_init<moe_device_info>();
  info.kind = MOE_DEVICE_KIND_REFERENCE;
  info.usable = 1;
  copy_text(info.name, "CPU reference");
  copy_text(info.driver, "moevk, float64");
  return info;
}

static Status check_device_index(const moe_instance* instance, uint32_t index, const char* name) {
  if (index <= vulkan_devices(instance)) return {};
  return {MOE_ERROR_NO_DEVICE, name,
          "is " + std::to_string(index) + "; there are " + std::to_string(vulkan_devices(instance) + 1) + " devices"};
}

moe_status MOE_CALL get_device_info(moe_instance* instance, uint32_t index, moe_device_info* info, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(info, "info"));
    MOE_RETURN_IF_ERROR(check_device_index(instance, index, "index"));
    return write_struct(device_info(instance, index), info, "info");
  });
}

static bool contains_ignoring_case(const std::string& text, const std::string& part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

moe_status MOE_CALL choose_device(moe_instance* instance, uint32_t* index, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(index, "index"));
    const uint32_t count = vulkan_devices(instance) + 1;
    const std::string& wanted = instance->state->options().device;
    if (!wanted.empty()) {
      std::string unusable;
      const bool number = std::all_of(wanted.begin(), wanted.end(), [](char c) { return c >= '0' && c <= '9'; });
      for (uint32_t i = 0; i < count; ++i) {
        const moe_device_info info = device_info(instance, i);
        if (number ? std::to_string(i) != wanted : !contains_ignoring_case(info.name, wanted)) continue;
        if (info.usable != 0) {
          *index = i;
          return {};
        }
        unusable = std::string(info.name) + " cannot be used: " + info.reason;
      }
      return {MOE_ERROR_NO_DEVICE, "MOEVK_DEVICE",
              unusable.empty() ? "no device is called \"" + wanted + "\"" : unusable};
    }
    constexpr uint32_t kOrder[] = {MOE_DEVICE_KIND_DISCRETE_GPU, MOE_DEVICE_KIND_INTEGRATED_GPU,
                                   MOE_DEVICE_KIND_VIRTUAL_GPU,  MOE_DEVICE_KIND_OTHER,
                                   MOE_DEVICE_KIND_CPU_VULKAN,   MOE_DEVICE_KIND_REFERENCE};
    for (uint32_t kind : kOrder) {
      for (uint32_t i = 0; i < count; ++i) {
        const moe_device_info info = device_info(instance, i);
        if (info.kind != kind || info.usable == 0) continue;
        *index = i;
        return {};
      }
    }
    return {MOE_ERROR_INTERNAL, "", "there is always the reference"};
  });
}

const char* MOE_CALL why_no_gpu(moe_instance* instance) {
  return instance != nullptr && instance->tag == kTag<moe_instance> ? instance->why_no_gpu.c_str() : "instance is NULL";
}

moe_status MOE_CALL open_device(moe_instance* instance, const moe_device_desc* desc, moe_device** out,
                                moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    moe_device_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_RETURN_IF_ERROR(check_device_index(instance, d.index, "desc.index"));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    std::shared_ptr<Device> device;
    if (d.index < vulkan_devices(instance)) {
      MOE_ASSIGN_OR_RETURN(device, instance->vulkan->open(d.index, d.memory_budget_bytes));
    } else {
      device = make_reference_device(instance->state, d.memory_budget_bytes);
    }
    *out = new_handle<moe_device>(instance->state, std::move(device));
    return {};
  });
}

moe_status MOE_CALL create_buffer(moe_device* device, uint64_t bytes, moe_buffer** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    if (bytes == 0) return invalid("bytes", "is 0");
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer, device->object->create_buffer(bytes));
    *out = new_handle<moe_buffer>(device->state, std::move(buffer));
    return {};
  });
}

static Status check_range(const moe_buffer* buffer, uint64_t offset, const void* data, const char* name,
                          uint64_t bytes) {
  MOE_RETURN_IF_ERROR(check_handle(buffer, "buffer"));
  if (data == nullptr && bytes != 0) return invalid(name, "is NULL");
  const uint64_t size = buffer->object->bytes();
  if (offset > size || bytes > size - offset) {
    return invalid("bytes", std::to_string(offset) + " + " + std::to_string(bytes) + " is beyond the buffer's " +
                                std::to_string(size));
  }
  return {};
}

moe_status MOE_CALL write_buffer(moe_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes,
                                 moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_range(buffer, offset, source, "source", bytes));
    return buffer->object->write(offset, source, bytes);
  });
}

moe_status MOE_CALL read_buffer(moe_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes,
                                moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_range(buffer, offset, destination, "destination", bytes));
    return buffer->object->read(offset, destination, bytes);
  });
}

}  // namespace moevk
