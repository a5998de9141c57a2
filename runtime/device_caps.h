// SPDX-License-Identifier: MIT
//
// What a device can do, as plain facts: all that planning knows of a device. Probed by the backend, or read from a
// .caps file ("name = value" a line) where there is no such device. MOEVK_LIMITS lowers facts by the same names.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/status.h"

namespace moevk {

struct DeviceCaps {
  std::string name;
  std::string driver;
  uint32_t kind = MOE_DEVICE_KIND_OTHER;
  uint32_t vendor_id = 0;
  uint32_t device_id = 0;
  uint32_t api_version = 0;  // VK_MAKE_API_VERSION
  uint32_t max_workgroup_invocations = 0;
  uint32_t max_workgroup_size_x = 0;
  uint32_t max_workgroup_count = 0;  // the least of the three dimensions
  uint32_t shared_memory_bytes = 0;
  uint32_t push_constant_bytes = 0;
  uint32_t max_stage_storage_buffers = 0;
  uint32_t max_bound_sets = 0;
  uint64_t max_storage_buffer_range = 0;  // bytes
  uint64_t max_allocation_bytes = 0;
  uint32_t storage_offset_alignment = 0;  // bytes
  uint32_t subgroup_size = 0;
  uint32_t timeline_semaphore = 0;
  uint32_t buffer_device_address = 0;
  uint32_t storage_buffer_array_indexing = 0;  // by a workgroup-uniform index
  uint32_t push_descriptors = 0;
  uint32_t unified_memory = 0;          // device-local memory that the host maps
  uint32_t timestamps = 0;              // valid bits; 0: the queue has no clock
  uint32_t float_controls_rte = 0;      // round to nearest even can be declared for f32
  uint32_t float_controls_inf_nan = 0;  // so can the preservation of signed zero, infinity, NaN
  uint32_t unpack_half = 0;  // unpackHalf2x16 is exact for subnormals, too: 1 as it is, 2 once that is declared
  // Four products of 8 bits in an instruction: 1 the driver takes it apart; the device itself knows 2 signed bytes, 3 only
  // signed with unsigned ones.
  uint32_t integer_dot = 0;
  double timestamp_period_ns = 0;
  uint64_t device_local_bytes = 0;
  uint32_t host_packing = 0;   // kernels run on the host's own cores, so that the host packs rows sooner
  std::string struck_kernels;  // "gate_up_small+scan": what this driver cannot compile; plans do without
};

bool is_struck(const DeviceCaps& caps, const std::string& kernel);

std::string caps_text(const DeviceCaps& caps);
// Unknown names and values that are no numbers are errors that name the line.
Result<DeviceCaps> caps_from_text(const std::string& text);
// MOEVK_LIMITS, "name=value,...": whether every fact named exists, can be lowered, and has a value; needs no device.
Status check_limits(const std::string& limits);
// The same on a device, where facts may only go down (struck_kernels, names joined by '+', may only grow). On an error
// `caps` stays as it is.
Status lower_caps(const std::string& limits, DeviceCaps* caps);
// The Vulkan version that MOEVK_LIMITS allows: instances are made with no higher one. UINT32_MAX: any.
uint32_t api_version_limit(const std::string& limits);
// Empty if the device reaches the floor, else every missing feature by name.
std::string below_floor(const DeviceCaps& caps);

}  // namespace moevk
