// SPDX-License-Identifier: MIT
//
// In:  paths.
// Out: function pointers (see ggml_library.h).
// Why: one list of names; a missing one is named.
#include "bench/ggml_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace moevk::bench {
namespace {

template <class Function>
void find(void* library, const char* name, Function& function) {
  void* symbol = dlsym(library, name);  // of libggml, or of libggml-base, which it links to
  if (symbol == nullptr) throw std::runtime_error(std::string("libggml has no ") + name);
  std::memcpy(&function, &symbol, sizeof symbol);
}

void only_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace

GgmlLibrary::GgmlLibrary(const std::string& folder, const std::string& backends) {
  const std::string path = folder + "/libggml.so.0";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  find(library, "ggml_version", version);
  if (std::string(version()) != MOEVK_GGML_VERSION) {
    throw std::runtime_error(path + " is version " + version() + ", the headers are of " MOEVK_GGML_VERSION);
  }
#define MOEVK_GGML(member) find(library, "ggml_" #member, member)
#define MOEVK_GGML_BACKEND(member) find(library, "ggml_backend_" #member, member)
  MOEVK_GGML(log_set);
  MOEVK_GGML(init);
  MOEVK_GGML(free);
  MOEVK_GGML(new_tensor_2d);
  MOEVK_GGML(new_tensor_3d);
  MOEVK_GGML(set_name);
  MOEVK_GGML(set_input);
  MOEVK_GGML(set_output);
  MOEVK_GGML(nbytes);
  MOEVK_GGML(op_name);
  MOEVK_GGML(mul_mat);
  MOEVK_GGML(mul_mat_id);
  MOEVK_GGML(soft_max);
  MOEVK_GGML(argsort_top_k);
  MOEVK_GGML(get_rows);
  MOEVK_GGML(sum_rows);
  MOEVK_GGML(clamp);
  MOEVK_GGML(div);
  MOEVK_GGML(mul);
  MOEVK_GGML(add);
  MOEVK_GGML(cont);
  MOEVK_GGML(reshape_2d);
  MOEVK_GGML(reshape_3d);
  MOEVK_GGML(view_2d);
  MOEVK_GGML(swiglu_split);
  MOEVK_GGML(new_graph_custom);
  MOEVK_GGML(build_forward_expand);
  MOEVK_GGML(graph_n_nodes);
  MOEVK_GGML(graph_node);
  MOEVK_GGML_BACKEND(alloc_ctx_tensors_from_buft);
  MOEVK_GGML_BACKEND(buft_alloc_buffer);
  MOEVK_GGML_BACKEND(buffer_free);
  MOEVK_GGML_BACKEND(buffer_set_usage);
  MOEVK_GGML_BACKEND(tensor_set);
  MOEVK_GGML_BACKEND(tensor_get);
  MOEVK_GGML_BACKEND(load_all_from_path);
  MOEVK_GGML_BACKEND(dev_count);
  MOEVK_GGML_BACKEND(dev_get);
  MOEVK_GGML_BACKEND(dev_type);
  MOEVK_GGML_BACKEND(dev_name);
  MOEVK_GGML_BACKEND(dev_description);
  MOEVK_GGML_BACKEND(dev_backend_reg);
  MOEVK_GGML_BACKEND(dev_buffer_type);
  MOEVK_GGML_BACKEND(dev_supports_op);
  MOEVK_GGML_BACKEND(dev_init);
  MOEVK_GGML_BACKEND(reg_get_proc_address);
  find(library, "ggml_backend_free", backend_free);
  MOEVK_GGML_BACKEND(sched_new);
  MOEVK_GGML_BACKEND(sched_free);
  MOEVK_GGML_BACKEND(sched_alloc_graph);
  MOEVK_GGML_BACKEND(sched_graph_compute);
  MOEVK_GGML_BACKEND(sched_get_tensor_backend);
#undef MOEVK_GGML
#undef MOEVK_GGML_BACKEND
  log_set(only_errors, nullptr);
  load_all_from_path(backends.c_str());
  if (dev_count() == 0) throw std::runtime_error(backends + " holds no backend that ggml loads");
}

}  // namespace moevk::bench
