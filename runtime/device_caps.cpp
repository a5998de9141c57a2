// SPDX-License-Identifier: MIT
//
// The table of facts, once: text out, text in, lowering, and the floor below which a device is refused.
#include "runtime/device_caps.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <sstream>
#include <string_view>
#include <vector>

#include "kernel_table.h"

namespace moevk {
namespace {

// Visits (name, member) of every fact in the order of the text.
template <class Caps, class Visit>
void for_each_fact(Caps& caps, Visit visit) {
  visit("name", caps.name);
  visit("driver", caps.driver);
  visit("kind", caps.kind);
  visit("vendor_id", caps.vendor_id);
  visit("device_id", caps.device_id);
  visit("api_version", caps.api_version);
  visit("max_workgroup_invocations", caps.max_workgroup_invocations);
  visit("max_workgroup_size_x", caps.max_workgroup_size_x);
  visit("max_workgroup_count", caps.max_workgroup_count);
  visit("shared_memory_bytes", caps.shared_memory_bytes);
  visit("push_constant_bytes", caps.push_constant_bytes);
  visit("max_stage_storage_buffers", caps.max_stage_storage_buffers);
  visit("max_bound_sets", caps.max_bound_sets);
  visit("max_storage_buffer_range", caps.max_storage_buffer_range);
  visit("max_allocation_bytes", caps.max_allocation_bytes);
  visit("storage_offset_alignment", caps.storage_offset_alignment);
  visit("subgroup_size", caps.subgroup_size);
  visit("timeline_semaphore", caps.timeline_semaphore);
  visit("buffer_device_address", caps.buffer_device_address);
  visit("storage_buffer_array_indexing", caps.storage_buffer_array_indexing);
  visit("push_descriptors", caps.push_descriptors);
  visit("unified_memory", caps.unified_memory);
  visit("timestamps", caps.timestamps);
  visit("float_controls_rte", caps.float_controls_rte);
  visit("float_controls_inf_nan", caps.float_controls_inf_nan);
  visit("unpack_half", caps.unpack_half);
  visit("integer_dot", caps.integer_dot);
  visit("timestamp_period_ns", caps.timestamp_period_ns);
  visit("device_local_bytes", caps.device_local_bytes);
  visit("host_packing", caps.host_packing);
  visit("struck_kernels", caps.struck_kernels);
}

std::string print(const std::string& value) { return value; }
std::string print(uint32_t value) { return std::to_string(value); }
std::string print(uint64_t value) { return std::to_string(value); }
std::string print(double value) {
  std::array<char, 32> text;  // the shortest that reads back as the same value
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

bool parse(const std::string& text, std::string* out) {
  *out = text;
  return true;
}
bool parse(const std::string& text, uint64_t* out) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  char* end = nullptr;
  errno = 0;
  *out = std::strtoull(text.c_str(), &end, 0);
  return errno == 0 && *end == '\0';
}
bool parse(const std::string& text, uint32_t* out) {
  uint64_t wide = 0;
  if (!parse(text, &wide) || wide > UINT32_MAX) return false;
  *out = static_cast<uint32_t>(wide);
  return true;
}
bool parse(const std::string& text, double* out) {
  char* end = nullptr;
  *out = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && *out >= 0;
}

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Facts of which less is not less of a device.
constexpr const char* kFixedFacts[] = {"name", "driver", "kind", "vendor_id", "device_id", "storage_offset_alignment"};

template <class T>
Status check_lowered(const std::string& name, const T& value, const T& before) {
  if (value <= before) return {};
  return invalid("MOEVK_LIMITS", name + " may only go down; the device has " + print(before));
}

// Adds kernels, joined by '+', to the struck ones.
Status strike_kernels(const std::string& names, DeviceCaps* caps) {
  std::istringstream parts(names);
  std::string name;
  while (std::getline(parts, name, '+')) {
    bool known = false;
    for (const KernelInfo& kernel : kKernels) known = known || name == kernel.name;
    if (!known) return invalid("MOEVK_LIMITS", "\"" + name + "\" is no kernel");
    if (!is_struck(*caps, name)) caps->struck_kernels += (caps->struck_kernels.empty() ? "" : "+") + name;
  }
  return {};
}

// Sets the facts that "name=value,..." names; with `lower`, only to what is not above them.
Status set_limits(const std::string& limits, bool lower, DeviceCaps* caps) {
  std::istringstream parts(limits);
  std::string part;
  while (std::getline(parts, part, ',')) {
    if (trim(part).empty()) continue;
    const size_t equals = part.find('=');
    const std::string name = trim(part.substr(0, equals));
    const std::string value = equals == std::string::npos ? "" : trim(part.substr(equals + 1));
    if (std::find(std::begin(kFixedFacts), std::end(kFixedFacts), name) != std::end(kFixedFacts)) {
      return invalid("MOEVK_LIMITS", name + " cannot be lowered: less of it is not less of a device");
    }
    if (name == "struck_kernels") {
      MOE_RETURN_IF_ERROR(strike_kernels(value, caps));
      continue;
    }
    Status status = invalid("MOEVK_LIMITS", "\"" + name + "\" is no fact of a device");
    for_each_fact(*caps, [&](const char* fact, auto& member) {
      if (name != fact) return;
      auto lowered = member;
      if (!parse(value, &lowered)) {
        status = invalid("MOEVK_LIMITS", "\"" + value + "\" is no value for " + name);
        return;
      }
      status = lower ? check_lowered(name, lowered, member) : Status();
      if (status.ok()) member = lowered;
    });
    MOE_RETURN_IF_ERROR(std::move(status));
  }
  return {};
}

}  // namespace

bool is_struck(const DeviceCaps& caps, const std::string& kernel) {
  return ("+" + caps.struck_kernels + "+").find("+" + kernel + "+") != std::string::npos;
}

std::string caps_text(const DeviceCaps& caps) {
  std::string text;
  for_each_fact(caps, [&](const char* name, const auto& value) {
    // Nearly everywhere, so not worth a line.
    if (std::string_view(name) == "struck_kernels" && caps.struck_kernels.empty()) return;
    if (std::string_view(name) == "host_packing" && caps.host_packing == 0) return;
    text += std::string(name) + " = " + print(value) + "\n";
  });
  return text;
}

Result<DeviceCaps> caps_from_text(const std::string& text) {
  DeviceCaps caps;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::string where = "caps line " + std::to_string(number);
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const size_t equals = line.find('=');
    if (equals == std::string::npos) return invalid(where, "\"" + line + "\" is not \"name = value\"");
    const std::string name = trim(line.substr(0, equals));
    const std::string value = trim(line.substr(equals + 1));
    bool known = false;
    bool good = true;
    for_each_fact(caps, [&](const char* fact, auto& member) {
      if (name == fact) {
        known = true;
        good = parse(value, &member);
      }
    });
    if (!known) return invalid(where, "\"" + name + "\" is no fact of a device");
    if (!good) return invalid(where, "\"" + value + "\" is no value for " + name);
  }
  return caps;
}

Status check_limits(const std::string& limits) {
  DeviceCaps any;
  return set_limits(limits, false, &any);
}

Status lower_caps(const std::string& limits, DeviceCaps* caps) {
  DeviceCaps lowered = *caps;
  MOE_RETURN_IF_ERROR(set_limits(limits, true, &lowered));
  *caps = std::move(lowered);
  return {};
}

uint32_t api_version_limit(const std::string& limits) {
  DeviceCaps any;
  any.api_version = UINT32_MAX;
  return set_limits(limits, false, &any).ok() ? any.api_version : UINT32_MAX;
}

std::string below_floor(const DeviceCaps& caps) {
  std::vector<std::string> missing;
  const auto need = [&](bool there, const std::string& what) {
    if (!there) missing.push_back(what);
  };
  const auto at_least = [&](uint64_t has, uint64_t least, const std::string& what) {
    need(has >= least, what + " is " + std::to_string(has) + ", at least " + std::to_string(least) + " is needed");
  };
  at_least(caps.api_version, (1u << 22) | (1u << 12), "Vulkan version (encoded)");
  need(caps.timeline_semaphore != 0, "timelineSemaphore is missing");
  at_least(caps.max_workgroup_invocations, kNumberWorkgroup, "maxComputeWorkGroupInvocations");
  at_least(caps.max_workgroup_size_x, kNumberWorkgroup, "maxComputeWorkGroupSize[0]");
  at_least(caps.max_workgroup_count, 65535, "maxComputeWorkGroupCount");
  at_least(caps.shared_memory_bytes, 16384, "maxComputeSharedMemorySize");
  at_least(caps.push_constant_bytes, 128, "maxPushConstantsSize");
  at_least(caps.max_storage_buffer_range, 1u << 20, "maxStorageBufferRange");
  if (caps.buffer_device_address != 0) {
    at_least(caps.max_stage_storage_buffers, 10, "maxPerStageDescriptorStorageBuffers");
  } else {
    at_least(caps.max_stage_storage_buffers, 10 + kNumberMaxBoundWindows,
             "maxPerStageDescriptorStorageBuffers (without bufferDeviceAddress)");
    need(caps.storage_buffer_array_indexing != 0,
         "neither bufferDeviceAddress nor shaderStorageBufferArrayDynamicIndexing is there");
    at_least(caps.max_bound_sets, 2, "maxBoundDescriptorSets");
  }
  std::string text;
  for (const std::string& one : missing) text += (text.empty() ? "" : "; ") + one;
  return text;
}

}  // namespace moevk
