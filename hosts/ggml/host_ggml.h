// SPDX-License-Identifier: MIT
//
// In:  the process that loads this adapter.
// Out: ggml's functions and the numbers of its operations and types, found by name.
// Why: nothing here links to ggml, and its numbers shift from version to version.
#ifndef MOEVK_HOSTS_GGML_HOST_GGML_H_
#define MOEVK_HOSTS_GGML_HOST_GGML_H_

#include <cstring>
#include <string>

#include "hosts/ggml/ggml_types.h"

namespace moevk::ggml {

// Numbers of the operations that a MoE block is built of; kNone where this ggml does not know one.
struct Ops {
  static constexpr int32_t kNone = -1;
  int32_t none = kNone;  // a leaf
  int32_t add = kNone, add_id = kNone, argsort = kNone, clamp = kNone, cont = kNone, div = kNone, fill = kNone,
          get_rows = kNone;
  int32_t glu = kNone, mul = kNone, mul_mat = kNone, mul_mat_id = kNone, repeat = kNone, reshape = kNone;
  int32_t scale = kNone, set_rows = kNone, soft_max = kNone, sqr = kNone, sqrt = kNone, sum_rows = kNone, top_k = kNone;
  int32_t unary = kNone, view = kNone;
  // of GLU, in op_params[0]
  int32_t reglu = kNone, geglu = kNone, swiglu = kNone, swiglu_oai = kNone, geglu_erf = kNone;
  int32_t swiglu_clamp = kNone;
  // of UNARY, in op_params[0]
  int32_t sigmoid = kNone, silu = kNone, gelu = kNone, gelu_erf = kNone, relu = kNone, softplus = kNone, tanh = kNone;
  // types
  int32_t f32 = kNone, f16 = kNone, bf16 = kNone, i32 = kNone;
};

struct HostGgml {
  const char* (*version)();
  const char* (*op_name)(int32_t);
  const char* (*glu_op_name)(int32_t);
  const char* (*unary_op_name)(int32_t);
  const char* (*type_name)(int32_t);
  int64_t (*block_columns)(int32_t type);
  size_t (*type_bytes)(int32_t type);
  int (*graph_n_nodes)(Graph*);
  Tensor* (*graph_node)(Graph*, int);
  Graph* (*new_graph_custom)(Context*, size_t size, bool grads);
  size_t (*graph_overhead_custom)(size_t size, bool grads);
  void (*graph_add_node)(Graph*, Tensor*);
  Context* (*init)(InitParams);
  void (*free)(Context*);
  bool (*buft_is_host)(BufferType*);
  BufferType* (*buffer_get_type)(Buffer*);
  int32_t (*buffer_get_usage)(Buffer*);
  Device* (*backend_get_device)(Backend*);
  Registry* (*dev_backend_reg)(Device*);
  Device* (*buft_get_device)(BufferType*);
  Backend* (*init_by_type)(int32_t type, const char* params);
  void (*backend_free)(Backend*);
  int32_t (*graph_compute)(Backend*, Graph*);
  Device* (*dev_by_type)(int32_t type);
  void* (*reg_get_proc_address)(Registry*, const char*);
  void (*log_internal)(int32_t level, const char* format, ...);  // NULL where it is not exported
  Ops ops;
};

// Fills `out`; else false and the reason. Of a version that known_api_version knows.
bool find_host_ggml(HostGgml& out, std::string& why);

void* find_symbol(const char* name);

// One more function, which has types of vtables.h.
template <class F>
bool find_symbol(const HostGgml&, const char* name, F& function) {
  void* symbol = find_symbol(name);
  std::memcpy(reinterpret_cast<void*>(&function), &symbol, sizeof function);
  return symbol != nullptr;
}

// The backend API of this ggml, where this adapter knows its tables; else 0 and the reason.
int32_t known_api_version(const std::string& ggml_version, std::string& why);

// A line in ggml's log, or on stderr. Traces are lines of level debug, raised to info by MOEVK_TRACE=ggml.
void log_line(int32_t level, const std::string& text);
void set_log_host(const HostGgml* host);
bool tracing();

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_HOST_GGML_H_
