// SPDX-License-Identifier: MIT
//
// The extension "moe.vulkan_interop": a host's device, recordings into its command buffers, submits with its
// semaphores.
#include "backend/vulkan_context.h"
#include "backend/vulkan_import.h"
#include "backend/vulkan_recording.h"
#include "plugin_api/entries.h"
#include "plugin_api/moe_plugin_vulkan.h"

struct moe_recording {
  uint32_t tag;
  std::shared_ptr<moevk::SharedState> state;
  std::shared_ptr<moevk::VulkanRecording> object;
};

namespace moevk {

template <>
inline constexpr uint32_t kTag<moe_recording> = 0x6D6F6507;

namespace {

// ---- before vkCreateDevice, and import ----------------------------------------------------------

moe_status MOE_CALL get_requirements(PFN_vkGetInstanceProcAddr get, VkInstance instance, VkPhysicalDevice device,
                                     uint32_t api_version, moe_vulkan_requirement* out, uint32_t* count,
                                     moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    MOE_ASSIGN_OR_RETURN(const HostPhysicalDevice physical, ask_physical_device(get, instance, device, api_version));
    const std::vector<Requirement> list = list_requirements(physical);
    return write_array<moe_vulkan_requirement>(list.size(), out, count, [&](size_t i) {
      moe_vulkan_requirement one = moe_init<moe_vulkan_requirement>();
      one.kind = list[i].extension ? MOE_VULKAN_EXTENSION : MOE_VULKAN_FEATURE;
      one.level = list[i].required ? MOE_VULKAN_REQUIRED : MOE_VULKAN_RECOMMENDED;
      one.supported = list[i].supported ? 1 : 0;
      copy_text(one.name, list[i].name);
      copy_text(one.reason, list[i].reason);
      return one;
    });
  });
}

moe_status MOE_CALL add_host_features(PFN_vkGetInstanceProcAddr get, VkInstance instance, VkPhysicalDevice device,
                                      uint32_t api_version, VkPhysicalDeviceFeatures2* features, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_ASSIGN_OR_RETURN(const HostPhysicalDevice physical, ask_physical_device(get, instance, device, api_version));
    return add_features(physical, features);
  });
}

moe_status MOE_CALL import_device(moe_instance* instance, const moe_vulkan_device_desc* desc, moe_device** out,
                                  moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    moe_vulkan_device_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    if (d.device == VK_NULL_HANDLE) return invalid("desc.device", "is NULL");
    if (d.queue == VK_NULL_HANDLE) return invalid("desc.queue", "is NULL");
    if (d.enabled_features == nullptr) return invalid("desc.enabled_features", "is NULL");
    if (d.enabled_extensions == nullptr && d.enabled_extension_count != 0) {
      return invalid("desc.enabled_extensions", "is NULL");
    }
    for (uint32_t i = 0; i < d.enabled_extension_count; ++i) {
      if (d.enabled_extensions[i] == nullptr) {
        return invalid("desc.enabled_extensions[" + std::to_string(i) + "]", "is NULL");
      }
    }
    if ((d.lock_queue == nullptr) != (d.unlock_queue == nullptr)) {
      return invalid("desc.lock_queue", "lock_queue and unlock_queue come both or neither");
    }
    ImportDesc import;
    Result<HostPhysicalDevice> physical =
        ask_physical_device(d.get_instance_proc_addr, d.instance, d.physical_device, d.api_version);
    if (!physical.ok()) {
      const Status& s = physical.status();
      return {s.code(), s.argument().empty() ? "" : "desc." + s.argument(), s.text(), s.vk_result()};
    }
    import.physical = std::move(physical.value());
    import.instance = d.instance;
    import.enabled = read_enabled(import.physical, d.enabled_features, d.enabled_extensions, d.enabled_extension_count);
    import.lent = {d.device, d.queue, d.user, d.lock_queue, d.unlock_queue};
    import.queue_family = d.queue_family;
    import.budget_bytes = d.memory_budget_bytes;
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, import_vulkan_device(instance->state, import));
    *out = new_handle<moe_device>(instance->state, std::move(device));
    return {};
  });
}

// ---- recordings ---------------------------------------------------------------------------------

Result<Call> read_recording_call(moe_layer* layer, const moe_recording_desc& desc) {
  if (desc.stage > MOE_STAGE_COMBINE) return invalid("desc.stage", "is no MOE_STAGE_* value");
  if (desc.reserved != 0) return invalid("desc.reserved", "is not 0");
  const Device* device = layer->object->device();
  if (dynamic_cast<const VulkanDevice*>(device) == nullptr) {
    return unsupported("layer", "is on the CPU reference, which records nothing");
  }
  MOE_ASSIGN_OR_RETURN(Call call, read_call(static_cast<Stage>(desc.stage), layer, desc.args, device, kMostTokens));
  for (size_t i = 0; i < kViewCount; ++i) {
    if (call.views[i].host == nullptr) continue;
    return invalid(std::string("args.") + view_name(static_cast<ViewId>(i)) + ".host",
                   "is set: a recording works on buffers");
  }
  return call;
}

Result<WorkspaceRange> read_workspace(const moe_recording_desc& desc, const Device* device) {
  WorkspaceRange range;
  if (desc.workspace == nullptr) {
    if (desc.workspace_bytes != 0 || desc.workspace_offset_bytes != 0) {
      return invalid("desc.workspace", "is NULL, but a range of it is given");
    }
    return range;
  }
  MOE_RETURN_IF_ERROR(check_handle(desc.workspace, "desc.workspace"));
  range = {desc.workspace->object, desc.workspace_offset_bytes, desc.workspace_bytes};
  MOE_RETURN_IF_ERROR(check_workspace_range(*range.buffer, device, range.offset, range.bytes));
  return range;
}

moe_status MOE_CALL query_recording(moe_layer* layer, const moe_recording_desc* desc, moe_recording_info* out,
                                    moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    moe_recording_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_ASSIGN_OR_RETURN(const Call call, read_recording_call(layer, d));
    MOE_ASSIGN_OR_RETURN(const VulkanRecording::Info info, VulkanRecording::query(call));
    moe_recording_info result = moe_init<moe_recording_info>();
    result.workspace_bytes = info.workspace_bytes;
    result.dispatches = info.dispatches;
    result.barriers = info.barriers;
    return write_struct(result, out, "out");
  });
}

moe_status MOE_CALL create_recording(moe_layer* layer, const moe_recording_desc* desc, moe_recording** out,
                                     moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    moe_recording_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_ASSIGN_OR_RETURN(const Call call, read_recording_call(layer, d));
    MOE_ASSIGN_OR_RETURN(const WorkspaceRange workspace, read_workspace(d, layer->object->device()));
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<VulkanRecording> recording, VulkanRecording::create(call, workspace));
    *out = new_handle<moe_recording>(layer->state, std::move(recording));
    return {};
  });
}

moe_status MOE_CALL update_recording(moe_recording* recording, const moe_recording_desc* desc, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(recording, "recording"));
    moe_recording_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    moe_layer layer{kTag<moe_layer>, recording->state, recording->object->call().layer};
    MOE_ASSIGN_OR_RETURN(const Call call, read_recording_call(&layer, d));
    MOE_ASSIGN_OR_RETURN(const WorkspaceRange workspace, read_workspace(d, call.layer->device()));
    return recording->object->update(call, workspace);
  });
}

moe_status MOE_CALL record(moe_recording* recording, VkCommandBuffer commands, uint32_t flags, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(recording, "recording"));
    if (commands == VK_NULL_HANDLE) return invalid("commands", "is NULL");
    if ((flags & ~MOE_RECORD_NO_ENTRY_BARRIER) != 0) return invalid("flags", "has unknown bits");
    return recording->object->record(commands, (flags & MOE_RECORD_NO_ENTRY_BARRIER) == 0);
  });
}

// ---- submits ------------------------------------------------------------------------------------

Status read_semaphores(const moe_vulkan_semaphore* in, uint32_t count, const char* name, std::vector<VkSemaphore>* out,
                       std::vector<uint64_t>* values) {
  if (count > 1024) return invalid(std::string("submit.") + name, "has more than 1024 semaphores");
  if (in == nullptr && count != 0) return invalid(std::string("submit.") + name, "is NULL");
  for (uint32_t i = 0; i < count; ++i) {
    const std::string path = std::string("submit.") + name + "[" + std::to_string(i) + "]";
    if (in[i].semaphore == VK_NULL_HANDLE) return invalid(path + ".semaphore", "is VK_NULL_HANDLE");
    if (in[i].reserved != 0) return invalid(path + ".reserved", "is not 0");
    out->push_back(in[i].semaphore);
    values->push_back(in[i].value);
  }
  return {};
}

Result<VulkanContext*> vulkan_context(moe_context* context) {
  MOE_RETURN_IF_ERROR(check_handle(context, "context"));
  auto* object = dynamic_cast<VulkanContext*>(context->object.get());
  if (object == nullptr) return unsupported("context", "is on the CPU reference, which has no semaphores");
  return object;
}

moe_status MOE_CALL flush_with(moe_context* context, const moe_vulkan_submit* submit, uint64_t* value,
                               moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(value, "value"));
    MOE_ASSIGN_OR_RETURN(VulkanContext* const object, vulkan_context(context));
    moe_vulkan_submit s;
    MOE_RETURN_IF_ERROR(read_struct(submit, "submit", &s));
    SubmitSync sync;
    MOE_RETURN_IF_ERROR(read_semaphores(s.waits, s.wait_count, "waits", &sync.waits, &sync.wait_values));
    MOE_RETURN_IF_ERROR(read_semaphores(s.signals, s.signal_count, "signals", &sync.signals, &sync.signal_values));
    for (uint32_t i = 0; i < s.wait_count; ++i) {
      sync.wait_stages.push_back(s.waits[i].stages != 0 ? s.waits[i].stages
                                                        : VkPipelineStageFlags{VK_PIPELINE_STAGE_ALL_COMMANDS_BIT});
    }
    sync.fence = s.fence;
    MOE_ASSIGN_OR_RETURN(*value, object->flush(&sync));
    return {};
  });
}

moe_status MOE_CALL get_timeline(moe_context* context, VkSemaphore* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    MOE_ASSIGN_OR_RETURN(const VulkanContext* const object, vulkan_context(context));
    *out = object->timeline();
    return {};
  });
}

}  // namespace

const void* vulkan_interop_table() {
  static const moe_vulkan_interop table = [] {
    moe_vulkan_interop t = moe_init<moe_vulkan_interop>();
    t.get_requirements = get_requirements;
    t.add_features = add_host_features;
    t.import_device = import_device;
    t.query_recording = query_recording;
    t.create_recording = create_recording;
    t.update_recording = update_recording;
    t.destroy_recording = delete_handle<moe_recording>;
    t.record = record;
    t.flush = flush_with;
    t.get_timeline = get_timeline;
    return t;
  }();
  return &table;
}

}  // namespace moevk
