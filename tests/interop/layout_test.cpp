// SPDX-License-Identifier: MIT
//
// The layout of the extensions' structs, as tests/abi/layout_test.cpp has it for the core: a line that no longer
// compiles means that a released host would read the wrong bytes.
#include <cstddef>

#include "plugin_api/moe_plugin_memory.h"
#include "plugin_api/moe_plugin_vulkan.h"

#define PIN_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type " has changed its size")
#define PIN(type, field, at) static_assert(offsetof(type, field) == (at), #type "." #field " has moved")

PIN_SIZE(moe_memory_desc, 72);
PIN(moe_memory_desc, struct_size, 0);
PIN(moe_memory_desc, next, 8);
PIN(moe_memory_desc, kind, 16);
PIN(moe_memory_desc, flags, 20);
PIN(moe_memory_desc, bytes, 24);
PIN(moe_memory_desc, offset_bytes, 32);
PIN(moe_memory_desc, from, 40);

PIN_SIZE(moe_memory_support, 272);
PIN(moe_memory_support, struct_size, 0);
PIN(moe_memory_support, next, 8);
PIN(moe_memory_support, can_import, 16);
PIN(moe_memory_support, can_export, 20);
PIN(moe_memory_support, alignment_bytes, 24);
PIN(moe_memory_support, reason, 32);

PIN_SIZE(moe_memory_info, 264);
PIN(moe_memory_info, struct_size, 0);
PIN(moe_memory_info, next, 8);
PIN(moe_memory_info, copied, 16);
PIN(moe_memory_info, reserved, 20);
PIN(moe_memory_info, reason, 24);

PIN_SIZE(moe_memory_handle, 88);
PIN(moe_memory_handle, struct_size, 0);
PIN(moe_memory_handle, next, 8);
PIN(moe_memory_handle, handle, 16);
PIN(moe_memory_handle, allocation_bytes, 24);
PIN(moe_memory_handle, offset_bytes, 32);
PIN(moe_memory_handle, bytes, 40);
PIN(moe_memory_handle, memory_type, 48);
PIN(moe_memory_handle, dedicated, 52);
PIN(moe_memory_handle, device_uuid, 56);
PIN(moe_memory_handle, driver_uuid, 72);

PIN_SIZE(moe_external_memory, 48);
PIN(moe_external_memory, struct_size, 0);
PIN(moe_external_memory, next, 8);
PIN(moe_external_memory, query, 16);
PIN(moe_external_memory, import_buffer, 24);
PIN(moe_external_memory, create_exportable_buffer, 32);
PIN(moe_external_memory, export_buffer, 40);

PIN_SIZE(moe_vulkan_requirement, 256);
PIN(moe_vulkan_requirement, struct_size, 0);
PIN(moe_vulkan_requirement, next, 8);
PIN(moe_vulkan_requirement, kind, 16);
PIN(moe_vulkan_requirement, level, 20);
PIN(moe_vulkan_requirement, supported, 24);
PIN(moe_vulkan_requirement, reserved, 28);
PIN(moe_vulkan_requirement, name, 32);
PIN(moe_vulkan_requirement, reason, 96);

PIN_SIZE(moe_vulkan_device_desc, 120);
PIN(moe_vulkan_device_desc, struct_size, 0);
PIN(moe_vulkan_device_desc, next, 8);
PIN(moe_vulkan_device_desc, get_instance_proc_addr, 16);
PIN(moe_vulkan_device_desc, instance, 24);
PIN(moe_vulkan_device_desc, physical_device, 32);
PIN(moe_vulkan_device_desc, device, 40);
PIN(moe_vulkan_device_desc, queue, 48);
PIN(moe_vulkan_device_desc, queue_family, 56);
PIN(moe_vulkan_device_desc, api_version, 60);
PIN(moe_vulkan_device_desc, enabled_extensions, 64);
PIN(moe_vulkan_device_desc, enabled_extension_count, 72);
PIN(moe_vulkan_device_desc, reserved, 76);
PIN(moe_vulkan_device_desc, enabled_features, 80);
PIN(moe_vulkan_device_desc, user, 88);
PIN(moe_vulkan_device_desc, lock_queue, 96);
PIN(moe_vulkan_device_desc, unlock_queue, 104);
PIN(moe_vulkan_device_desc, memory_budget_bytes, 112);

PIN_SIZE(moe_recording_desc, 56);
PIN(moe_recording_desc, struct_size, 0);
PIN(moe_recording_desc, next, 8);
PIN(moe_recording_desc, stage, 16);
PIN(moe_recording_desc, reserved, 20);
PIN(moe_recording_desc, args, 24);
PIN(moe_recording_desc, workspace, 32);
PIN(moe_recording_desc, workspace_offset_bytes, 40);
PIN(moe_recording_desc, workspace_bytes, 48);

PIN_SIZE(moe_recording_info, 32);
PIN(moe_recording_info, struct_size, 0);
PIN(moe_recording_info, next, 8);
PIN(moe_recording_info, workspace_bytes, 16);
PIN(moe_recording_info, dispatches, 24);
PIN(moe_recording_info, barriers, 28);

PIN_SIZE(moe_vulkan_semaphore, 24);
PIN(moe_vulkan_semaphore, semaphore, 0);
PIN(moe_vulkan_semaphore, value, 8);
PIN(moe_vulkan_semaphore, stages, 16);
PIN(moe_vulkan_semaphore, reserved, 20);

PIN_SIZE(moe_vulkan_submit, 48);
PIN(moe_vulkan_submit, struct_size, 0);
PIN(moe_vulkan_submit, next, 8);
PIN(moe_vulkan_submit, waits, 16);
PIN(moe_vulkan_submit, signals, 24);
PIN(moe_vulkan_submit, wait_count, 32);
PIN(moe_vulkan_submit, signal_count, 36);
PIN(moe_vulkan_submit, fence, 40);

PIN_SIZE(moe_vulkan_interop, 96);
PIN(moe_vulkan_interop, struct_size, 0);
PIN(moe_vulkan_interop, next, 8);
PIN(moe_vulkan_interop, get_requirements, 16);
PIN(moe_vulkan_interop, add_features, 24);
PIN(moe_vulkan_interop, import_device, 32);
PIN(moe_vulkan_interop, query_recording, 40);
PIN(moe_vulkan_interop, create_recording, 48);
PIN(moe_vulkan_interop, update_recording, 56);
PIN(moe_vulkan_interop, destroy_recording, 64);
PIN(moe_vulkan_interop, record, 72);
PIN(moe_vulkan_interop, flush, 80);
PIN(moe_vulkan_interop, get_timeline, 88);

PIN(moe_memory_desc, from.host.pointer, 40);
PIN(moe_memory_desc, from.handle.handle, 40);
PIN(moe_memory_desc, from.handle.allocation_bytes, 48);
PIN(moe_memory_desc, from.handle.memory_type, 56);
PIN(moe_memory_desc, from.handle.dedicated, 60);
PIN(moe_memory_desc, from.vulkan.buffer, 40);
PIN(moe_memory_desc, from.vulkan.usage, 48);
