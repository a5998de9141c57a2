// SPDX-License-Identifier: MIT
//
// In:  the headers of a user's own tree of ggml (MOEVK_GGML_SOURCE_DIR); no other build compiles this file.
// Out: see tree_tables.h; a compile error where a struct of that ggml is not laid out as vtables.h and ggml_types.h
// say.
// Why: with the headers at hand nothing has to be believed.
#include "hosts/ggml/tree_tables.h"

#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "hosts/ggml/vtables.h"

namespace moevk::ggml {
namespace {

// A member of ours against one of ggml's.
#define MOEVK_SAME(ours, our_member, theirs, their_member)                      \
  static_assert(offsetof(ours, our_member) == offsetof(theirs, their_member) && \
                    sizeof(ours::our_member) == sizeof(theirs::their_member),   \
                "this tree's " #theirs "::" #their_member " is not where this adapter has it")

using TheirTensor = ggml_tensor;
MOEVK_SAME(Tensor, type, TheirTensor, type);
MOEVK_SAME(Tensor, buffer, TheirTensor, buffer);
MOEVK_SAME(Tensor, ne, TheirTensor, ne);
MOEVK_SAME(Tensor, nb, TheirTensor, nb);
MOEVK_SAME(Tensor, op, TheirTensor, op);
MOEVK_SAME(Tensor, op_params, TheirTensor, op_params);
MOEVK_SAME(Tensor, flags, TheirTensor, flags);
MOEVK_SAME(Tensor, src, TheirTensor, src);
MOEVK_SAME(Tensor, view_src, TheirTensor, view_src);
MOEVK_SAME(Tensor, view_offs, TheirTensor, view_offs);
MOEVK_SAME(Tensor, data, TheirTensor, data);
MOEVK_SAME(Tensor, name, TheirTensor, name);
static_assert(sizeof(Tensor) == sizeof(ggml_tensor), "this tree's ggml_tensor has another size");

MOEVK_SAME(DeviceProps, name, ggml_backend_dev_props, name);
MOEVK_SAME(DeviceProps, description, ggml_backend_dev_props, description);
MOEVK_SAME(DeviceProps, memory_free, ggml_backend_dev_props, memory_free);
MOEVK_SAME(DeviceProps, memory_total, ggml_backend_dev_props, memory_total);
MOEVK_SAME(DeviceProps, type, ggml_backend_dev_props, type);
MOEVK_SAME(DeviceProps, device_id, ggml_backend_dev_props, device_id);
MOEVK_SAME(DeviceProps, async, ggml_backend_dev_props, caps.async);
MOEVK_SAME(DeviceProps, host_buffer, ggml_backend_dev_props, caps.host_buffer);
MOEVK_SAME(DeviceProps, buffer_from_host_ptr, ggml_backend_dev_props, caps.buffer_from_host_ptr);
MOEVK_SAME(DeviceProps, events, ggml_backend_dev_props, caps.events);
MOEVK_SAME(DeviceProps, mmap_support, ggml_backend_dev_props, caps.mmap_support);
static_assert(sizeof(DeviceProps) == sizeof(ggml_backend_dev_props), "this tree's ggml_backend_dev_props has more");

MOEVK_SAME(InitParams, mem_size, ggml_init_params, mem_size);
MOEVK_SAME(InitParams, mem_buffer, ggml_init_params, mem_buffer);
MOEVK_SAME(InitParams, no_alloc, ggml_init_params, no_alloc);

MOEVK_SAME(BufferTable, free_buffer, ggml_backend_buffer_i, free_buffer);
MOEVK_SAME(BufferTable, get_base, ggml_backend_buffer_i, get_base);
MOEVK_SAME(BufferTable, memset_tensor, ggml_backend_buffer_i, memset_tensor);
MOEVK_SAME(BufferTable, set_tensor, ggml_backend_buffer_i, set_tensor);
MOEVK_SAME(BufferTable, get_tensor, ggml_backend_buffer_i, get_tensor);
MOEVK_SAME(BufferTable, cpy_tensor, ggml_backend_buffer_i, cpy_tensor);
MOEVK_SAME(BufferTable, clear, ggml_backend_buffer_i, clear);
static_assert(sizeof(BufferTable) == sizeof(ggml_backend_buffer_i),
              "this tree's ggml_backend_buffer_i has another size");
MOEVK_SAME(Buffer, type, ggml_backend_buffer, buft);
MOEVK_SAME(Buffer, context, ggml_backend_buffer, context);
MOEVK_SAME(Buffer, bytes, ggml_backend_buffer, size);

MOEVK_SAME(BackendTable, get_name, ggml_backend_i, get_name);
MOEVK_SAME(BackendTable, free, ggml_backend_i, free);
MOEVK_SAME(BackendTable, graph_compute, ggml_backend_i, graph_compute);
MOEVK_SAME(Backend, guid, ggml_backend, guid);
MOEVK_SAME(Backend, table, ggml_backend, iface);
MOEVK_SAME(Backend, device, ggml_backend, device);
MOEVK_SAME(Backend, context, ggml_backend, context);

MOEVK_SAME(DeviceTable, get_name, ggml_backend_device_i, get_name);
MOEVK_SAME(DeviceTable, get_description, ggml_backend_device_i, get_description);
MOEVK_SAME(DeviceTable, get_memory, ggml_backend_device_i, get_memory);
MOEVK_SAME(DeviceTable, get_type, ggml_backend_device_i, get_type);
MOEVK_SAME(DeviceTable, get_props, ggml_backend_device_i, get_props);
MOEVK_SAME(DeviceTable, init_backend, ggml_backend_device_i, init_backend);
MOEVK_SAME(DeviceTable, get_buffer_type, ggml_backend_device_i, get_buffer_type);
MOEVK_SAME(DeviceTable, supports_op, ggml_backend_device_i, supports_op);
MOEVK_SAME(DeviceTable, supports_buft, ggml_backend_device_i, supports_buft);
MOEVK_SAME(DeviceTable, offload_op, ggml_backend_device_i, offload_op);
MOEVK_SAME(Device, table, ggml_backend_device, iface);
MOEVK_SAME(Device, registry, ggml_backend_device, reg);
MOEVK_SAME(Device, context, ggml_backend_device, context);

MOEVK_SAME(RegistryTable, get_name, ggml_backend_reg_i, get_name);
MOEVK_SAME(RegistryTable, get_device_count, ggml_backend_reg_i, get_device_count);
MOEVK_SAME(RegistryTable, get_device, ggml_backend_reg_i, get_device);
MOEVK_SAME(RegistryTable, get_proc_address, ggml_backend_reg_i, get_proc_address);
MOEVK_SAME(Registry, api_version, ggml_backend_reg, api_version);
MOEVK_SAME(Registry, table, ggml_backend_reg, iface);
MOEVK_SAME(Registry, context, ggml_backend_reg, context);
#undef MOEVK_SAME

static_assert(kFlagOutput == GGML_TENSOR_FLAG_OUTPUT && kFlagCompute == GGML_TENSOR_FLAG_COMPUTE);
static_assert(kStatusFailed == GGML_STATUS_FAILED && kStatusSuccess == GGML_STATUS_SUCCESS);
static_assert(kUsageWeights == GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
static_assert(kDeviceCpu == GGML_BACKEND_DEVICE_TYPE_CPU && kDeviceAccel == GGML_BACKEND_DEVICE_TYPE_ACCEL);
static_assert(kLogDebug == GGML_LOG_LEVEL_DEBUG && kLogInfo == GGML_LOG_LEVEL_INFO && kLogWarn == GGML_LOG_LEVEL_WARN &&
              kLogError == GGML_LOG_LEVEL_ERROR);

}  // namespace

int32_t tree_api_version() { return GGML_BACKEND_API_VERSION; }

BufferTypePlaces tree_buffer_type() {
  using Type = ggml_backend_buffer_type;
  constexpr size_t kWord = sizeof(void*);
  return {sizeof(Type) / kWord,
          offsetof(Type, iface.get_name) / kWord,
          offsetof(Type, iface.alloc_buffer) / kWord,
          offsetof(Type, iface.get_alignment) / kWord,
          offsetof(Type, iface.is_host) / kWord,
          offsetof(Type, device) / kWord};
}

}  // namespace moevk::ggml
