// SPDX-License-Identifier: MIT
//
// The one exported symbol: agrees on a version and hands out the table of functions, which the entries_*.cpp files
// implement.
#include "kernel_table.h"
#include "plugin_api/entries.h"
#include "plugin_api/moe_plugin_vulkan.h"

namespace moevk {
namespace {

const void* MOE_CALL get_extension(const char* name) {
  if (name != nullptr && std::strcmp(name, MOE_EXTENSION_INTROSPECTION) == 0) return introspection_table();
  if (name != nullptr && std::strcmp(name, MOE_EXTENSION_EXTERNAL_MEMORY) == 0) return external_memory_table();
  if (name != nullptr && std::strcmp(name, MOE_EXTENSION_PACKED_ROWS) == 0) return packed_rows_table();
  if (name != nullptr && std::strcmp(name, MOE_EXTENSION_VULKAN_INTEROP) == 0) return vulkan_interop_table();
  return nullptr;
}

const moe_api* api_table() {
  static const std::string build = std::string("moevk " MOEVK_VERSION ", ") + kKernelCompiler +
#if defined(__VERSION__)
                                   ", C++ compiler " __VERSION__;
#else
                                   "";
#endif
  static const moe_api table = [] {
    moe_api t = moe_init<moe_api>();
    t.version = MOE_ABI_VERSION_CURRENT;
    t.build = build.c_str();
    t.create_instance = create_instance;
    t.destroy_instance = destroy_instance;
    t.get_device_count = get_device_count;
    t.get_device_info = get_device_info;
    t.choose_device = choose_device;
    t.why_no_gpu = why_no_gpu;
    t.open_device = open_device;
    t.close_device = delete_handle<moe_device>;
    t.query_support = query_support;
    t.estimate = estimate;
    t.list_tensors = list_layer_tensors;
    t.begin_weights = begin_weights;
    t.add_tensor = add_tensor;
    t.commit_weights = commit_weights;
    t.cancel_weights = delete_handle<moe_upload>;
    t.get_layer_info = get_layer_info;
    t.destroy_layer = delete_handle<moe_layer>;
    t.prepare = prepare;
    t.create_buffer = create_buffer;
    t.destroy_buffer = delete_handle<moe_buffer>;
    t.write_buffer = write_buffer;
    t.read_buffer = read_buffer;
    t.create_context = create_context;
    t.destroy_context = delete_handle<moe_context>;
    t.forward = forward;
    t.route = route;
    t.plan_dispatch = plan_dispatch;
    t.experts = experts;
    t.combine = combine;
    t.flush = flush;
    t.wait = wait;
    t.get_completed = get_completed;
    t.abort = abort_encoded;
    t.get_extension = get_extension;
    return t;
  }();
  return &table;
}

}  // namespace
}  // namespace moevk

extern "C" MOE_EXPORT moe_status MOE_CALL moe_plugin_entry(uint32_t min_version, uint32_t max_version,
                                                           const moe_api** out, moe_error* error) {
  using namespace moevk;
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    if (min_version > max_version) return invalid("min_version", "is above max_version");
    if (MOE_ABI_VERSION_CURRENT < min_version || MOE_ABI_VERSION_CURRENT > max_version) {
      const auto show = [](uint32_t v) { return std::to_string(v >> 16) + "." + std::to_string(v & 0xFFFF); };
      return {MOE_ERROR_VERSION, "max_version",
              "this library speaks " + show(MOE_ABI_VERSION_CURRENT) + ", the host " + show(min_version) + " to " +
                  show(max_version)};
    }
    *out = api_table();
    return {};
  });
}
