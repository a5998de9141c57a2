// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: the tables of functions by which ggml calls a backend, for its backend APIs 2 (ggml 0.25) and 3 (ggml 0.27).
// Why: ggml does not ship the header that has them. Their layout is a fact of a version of ggml, so this file is used
//      for no other (host_ggml.cpp reads ggml_version()). Functions that this backend leaves out are `absent`. What has
//      no number is the same in both APIs. Facts of ggml-backend-impl.h, seen again in the code of 0.25.1's library.
#ifndef MOEVK_HOSTS_GGML_VTABLES_H_
#define MOEVK_HOSTS_GGML_VTABLES_H_

#include "hosts/ggml/ggml_types.h"

namespace moevk::ggml {

using Absent = void (*)();

struct BufferTypeTable2 {
  const char* (*get_name)(BufferType*);
  Buffer* (*alloc_buffer)(BufferType*, size_t bytes);
  size_t (*get_alignment)(BufferType*);
  size_t (*get_max_size)(BufferType*);
  size_t (*get_alloc_size)(BufferType*, const Tensor*);
  bool (*is_host)(BufferType*);
};

struct BufferTypeTable3 {
  const char* (*get_name)(BufferType*);
  Buffer* (*alloc_buffer)(BufferType*, size_t bytes);
  Absent alloc_buffer_n;
  size_t (*get_alignment)(BufferType*);
  size_t (*get_max_size)(BufferType*);
  size_t (*get_alloc_size)(BufferType*, const Tensor*);
  Absent get_alloc_size_n;
  bool (*is_host)(BufferType*);
};

// BufferType is what ggml has a pointer to: one of these, or that of a tree (tree_tables.h).
struct BufferType2 {
  BufferTypeTable2 table;
  Device* device;
  void* context;
};

struct BufferType3 {
  BufferTypeTable3 table;
  Device* device;
  void* context;
};

// In a struct of `words` pointers, where those lie that this backend fills; all others stay NULL.
struct BufferTypePlaces {
  size_t words, get_name, alloc_buffer, get_alignment, is_host, device;
};

template <class Type>
constexpr BufferTypePlaces places_of() {
  constexpr size_t kWord = sizeof(void*);
  return {sizeof(Type) / kWord,
          offsetof(Type, table.get_name) / kWord,
          offsetof(Type, table.alloc_buffer) / kWord,
          offsetof(Type, table.get_alignment) / kWord,
          offsetof(Type, table.is_host) / kWord,
          offsetof(Type, device) / kWord};
}

struct BufferTable {
  void (*free_buffer)(Buffer*);
  void* (*get_base)(Buffer*);
  int32_t (*init_tensor)(Buffer*, Tensor*);  // a ggml_status
  void (*memset_tensor)(Buffer*, Tensor*, uint8_t value, size_t offset, size_t bytes);
  void (*set_tensor)(Buffer*, Tensor*, const void* data, size_t offset, size_t bytes);
  void (*get_tensor)(Buffer*, const Tensor*, void* data, size_t offset, size_t bytes);
  Absent set_tensor_2d;
  Absent get_tensor_2d;
  bool (*cpy_tensor)(Buffer*, const Tensor* source, Tensor* destination);
  void (*clear)(Buffer*, uint8_t value);
  Absent reset;
};

struct Buffer {
  BufferTable table;
  BufferType* type;
  void* context;
  size_t bytes;
  int32_t usage;
};

struct BackendTable {
  const char* (*get_name)(Backend*);
  void (*free)(Backend*);
  Absent set_tensor_async;
  Absent get_tensor_async;
  Absent set_tensor_2d_async;
  Absent get_tensor_2d_async;
  Absent cpy_tensor_async;
  Absent synchronize;
  Absent graph_plan_create;
  Absent graph_plan_free;
  Absent graph_plan_update;
  Absent graph_plan_compute;
  int32_t (*graph_compute)(Backend*, Graph*);
  Absent event_record;
  Absent event_wait;
  Absent graph_optimize;
};

struct Backend {
  uint8_t (*guid)[16];
  BackendTable table;
  Device* device;
  void* context;
};

struct DeviceTable {
  const char* (*get_name)(Device*);
  const char* (*get_description)(Device*);
  void (*get_memory)(Device*, size_t* free, size_t* total);
  int32_t (*get_type)(Device*);
  void (*get_props)(Device*, DeviceProps*);
  Backend* (*init_backend)(Device*, const char* params);
  BufferType* (*get_buffer_type)(Device*);
  Absent get_host_buffer_type;
  Absent buffer_from_host_ptr;
  bool (*supports_op)(Device*, const Tensor*);
  bool (*supports_buft)(Device*, BufferType*);
  bool (*offload_op)(Device*, const Tensor*);
  Absent event_new;
  Absent event_free;
  Absent event_synchronize;
};

struct Device {
  DeviceTable table;
  Registry* registry;
  void* context;
};

struct RegistryTable {
  const char* (*get_name)(Registry*);
  size_t (*get_device_count)(Registry*);
  Device* (*get_device)(Registry*, size_t index);
  void* (*get_proc_address)(Registry*, const char* name);
};

struct Registry {
  int32_t api_version;
  RegistryTable table;
  void* context;
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_VTABLES_H_
