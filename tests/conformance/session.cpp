// SPDX-License-Identifier: MIT
//
// An instance and two of its devices, and what the library tells about them beside the calls.
#include "tests/conformance/session.h"

#include <cctype>
#include <cstdlib>

#include "plugin_api/moe_plugin.hpp"

namespace moe_conformance {

Session open_session(const moe_api* api, uint32_t device_index, bool validation) {
  Session s;
  s.api = api;
  s.validation = validation;
  s.introspection = static_cast<const moe_introspection*>(api->get_extension(MOE_EXTENSION_INTROSPECTION));
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  if (validation) desc.flags |= MOE_INSTANCE_VALIDATION;
  moe_instance* instance = nullptr;
  moe::check([&](moe_error* error) { return api->create_instance(&desc, &instance, error); });
  s.instance = own(instance, api->destroy_instance);
  uint32_t count = 0;
  moe::check([&](moe_error* error) { return api->get_device_count(instance, &count, error); });
  s.device_index = device_index;
  if (device_index == kChooseDevice) {
    moe::check([&](moe_error* error) { return api->choose_device(instance, &s.device_index, error); });
  }
  const auto open = [&](uint32_t index) {
    moe_device_desc device_desc = MOE_INIT(moe_device_desc);
    device_desc.index = index;
    moe_device* device = nullptr;
    moe::check([&](moe_error* error) { return api->open_device(instance, &device_desc, &device, error); });
    return own(device, api->close_device);
  };
  s.device = open(s.device_index);
  s.reference = open(count - 1);
  s.is_reference = s.device_index == count - 1;
  return s;
}

uint64_t validation_messages(const Session& s) {
  if (s.introspection == nullptr) return 0;
  moe_statistics statistics = MOE_INIT(moe_statistics);
  moe::check([&](moe_error* error) { return s.introspection->get_statistics(s.instance.get(), &statistics, error); });
  return statistics.validation_messages;
}

std::vector<std::string> exceeded_limits(const Session& s) {
  std::vector<std::string> problems;
  if (s.introspection == nullptr) return problems;
  moe_statistics used = MOE_INIT(moe_statistics);
  moe::check([&](moe_error* error) { return s.introspection->get_statistics(s.instance.get(), &used, error); });
  const std::string caps = "\n" + caps_text(s);
  const auto within = [&](uint64_t value, const std::string& fact, const char* what) {
    const size_t at = caps.find("\n" + fact + " = ");
    if (at == std::string::npos) return;
    const uint64_t limit = std::strtoull(caps.c_str() + at + fact.size() + 4, nullptr, 10);
    if (limit == 0 || value <= limit) return;  // 0: the reference, which has no such limit
    problems.push_back(std::string(what) + " of " + std::to_string(value) + " bytes is beyond " + fact + " = " +
                       std::to_string(limit));
  };
  within(used.largest_binding_bytes, "max_storage_buffer_range", "a binding");
  within(used.largest_allocation_bytes, "max_allocation_bytes", "an allocation");
  within(used.peak_driver_bytes, "device_local_bytes", "device memory");
  return problems;
}

std::string caps_text(const Session& s) {
  std::string text;
  if (s.introspection == nullptr) return text;
  const auto write = [](void* user, const char* piece, uint64_t bytes) {
    static_cast<std::string*>(user)->append(piece, static_cast<size_t>(bytes));
  };
  moe::check([&](moe_error* error) { return s.introspection->get_caps_text(s.device.get(), write, &text, error); });
  return text;
}

bool names_a_limit(const std::string& reason) {
  constexpr const char* kLimits[] = {
      "max_workgroup_invocations", "max_workgroup_size_x",     "max_workgroup_count",  "shared_memory_bytes",
      "max_stage_storage_buffers", "max_storage_buffer_range", "max_allocation_bytes", "device_local_bytes"};
  const auto in_word = [&](size_t at) {
    return at < reason.size() && (std::isalnum(static_cast<unsigned char>(reason[at])) != 0 || reason[at] == '_');
  };
  for (const std::string limit : kLimits) {
    for (size_t at = reason.find(limit); at != std::string::npos; at = reason.find(limit, at + 1)) {
      if ((at == 0 || !in_word(at - 1)) && !in_word(at + limit.size())) return true;
    }
  }
  return false;
}

}  // namespace moe_conformance
