// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: what of ggml's public C interface this adapter uses, as declarations of our own.
// Why: the build needs no ggml. Layouts are facts of ggml 0.21 to 0.27 (ggml.h, ggml-backend.h) and are checked against
//      the running ggml before anything is registered (host_ggml.cpp). Numbers of operations and types move between
//      versions, so none stands here.
#ifndef MOEVK_HOSTS_GGML_GGML_TYPES_H_
#define MOEVK_HOSTS_GGML_GGML_TYPES_H_

#include <cstddef>
#include <cstdint>

namespace moevk::ggml {

constexpr int kMaxDims = 4;
constexpr int kMaxSources = 10;
constexpr int kParamWords = 16;
constexpr int kMaxName = 64;

struct Buffer;
struct BufferType;
struct Device;
struct Registry;
struct Backend;
struct Graph;
struct Context;

// ggml_tensor: ne[0] is the innermost axis, nb[i] the bytes between neighbours along axis i.
struct Tensor {
  int32_t type;
  Buffer* buffer;
  int64_t ne[kMaxDims];
  size_t nb[kMaxDims];
  int32_t op;
  int32_t op_params[kParamWords];
  int32_t flags;
  Tensor* src[kMaxSources];
  Tensor* view_src;
  size_t view_offs;
  void* data;
  char name[kMaxName];
  void* extra;
  char padding[8];
};

// Flags of a tensor.
constexpr int32_t kFlagOutput = 2;
constexpr int32_t kFlagCompute = 16;  // a node without it is skipped

// ggml_status.
constexpr int32_t kStatusFailed = -1;
constexpr int32_t kStatusSuccess = 0;

constexpr int32_t kUsageWeights = 1;  // ggml_backend_buffer_usage
constexpr int32_t kDeviceCpu = 0;     // ggml_backend_dev_type
constexpr int32_t kDeviceAccel = 3;

// ggml_log_level.
constexpr int32_t kLogDebug = 1;
constexpr int32_t kLogInfo = 2;
constexpr int32_t kLogWarn = 3;
constexpr int32_t kLogError = 4;

struct DeviceProps {
  const char* name;
  const char* description;
  size_t memory_free;
  size_t memory_total;
  int32_t type;
  const char* device_id;  // PCI address, or NULL
  bool async;
  bool host_buffer;
  bool buffer_from_host_ptr;
  bool events;
  bool mmap_support;  // from 0.21 on
};

struct InitParams {
  size_t mem_size;
  void* mem_buffer;
  bool no_alloc;
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_GGML_TYPES_H_
