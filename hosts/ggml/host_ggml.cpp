// SPDX-License-Identifier: MIT
//
// In:  see host_ggml.h.
// Out: see host_ggml.h.
// Why: ggml may be in the process's global scope (llama.cpp's programs) or opened privately by a binding, so both are
//      looked through.
#include "hosts/ggml/host_ggml.h"
#include "hosts/ggml/tree_tables.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace moevk::ggml {
namespace {

const HostGgml* log_host = nullptr;

struct Finder {
  std::string missing;

  template <class F>
  void find(F& function, const char* name, bool required = true) {
    void* symbol = find_symbol(name);
    if (symbol == nullptr && required && missing.empty()) missing = name;
    std::memcpy(reinterpret_cast<void*>(&function), &symbol, sizeof function);
  }
};

struct Name {
  int32_t* number;
  const char* name;
};

// Numbers of the names in `wanted`. ggml looks names up without a bound, so the search ends with the name `last`, which
// every known version has behind all that are wanted.
template <size_t N>
void number(const char* (*name_of)(int32_t), const Name (&wanted)[N], const char* last) {
  constexpr int32_t kMost = 200;
  for (int32_t i = 0; i < kMost; ++i) {
    const char* name = name_of(i);
    if (name == nullptr) continue;
    for (const Name& one : wanted) {
      if (std::strcmp(name, one.name) == 0) *one.number = i;
    }
    if (std::strcmp(name, last) == 0) return;
  }
}

}  // namespace

void* find_symbol(const char* name) {
  if (void* symbol = dlsym(RTLD_DEFAULT, name)) return symbol;
  // Opened privately, its libraries are not in the global scope; packagers put versions into their names.
  std::vector<std::string> files;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* user) {
        const std::string path = info->dlpi_name != nullptr ? info->dlpi_name : "";
        const std::string file = path.substr(path.rfind('/') + 1);
        const bool ggml = file.rfind("libggml.", 0) == 0 || file.rfind("libggml-base.", 0) == 0;
        if (ggml) static_cast<std::vector<std::string>*>(user)->push_back(path);
        return 0;
      },
      &files);
  for (const std::string& file : files) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) continue;
    void* symbol = dlsym(library, name);
    dlclose(library);  // its owner holds it still
    if (symbol != nullptr) return symbol;
  }
  return nullptr;
}

int32_t known_api_version(const std::string& ggml_version, std::string& why) {
  unsigned major = 0, minor = 0;
  if (std::sscanf(ggml_version.c_str(), "%u.%u", &major, &minor) != 2) {
    why = "ggml's version \"" + ggml_version + "\" is not a version number";
    return 0;
  }
#if defined(MOEVK_GGML_VERSION)
  if (ggml_version == MOEVK_GGML_VERSION || ggml_version.starts_with(MOEVK_GGML_VERSION "-")) return tree_api_version();
  why = "this build of the adapter is for ggml " MOEVK_GGML_VERSION " alone, and this is ggml " + ggml_version;
  return 0;
#else
  if (major == 0 && minor == 25) return 2;
  if (major == 0 && minor == 27) return 3;
  why = "this adapter knows the backend tables of ggml 0.25 and 0.27, and this is ggml " + ggml_version;
  return 0;
#endif
}

bool find_host_ggml(HostGgml& out, std::string& why) {
  Finder finder;
  // Copies in two dimensions came into the middle of two tables without a new API number.
  void (*tensor_set_2d)() = nullptr;
  finder.find(tensor_set_2d, "ggml_backend_tensor_set_2d");
  finder.find(out.version, "ggml_version");
  finder.find(out.op_name, "ggml_op_name");
  finder.find(out.glu_op_name, "ggml_glu_op_name");
  finder.find(out.unary_op_name, "ggml_unary_op_name");
  finder.find(out.type_name, "ggml_type_name");
  finder.find(out.block_columns, "ggml_blck_size");
  finder.find(out.type_bytes, "ggml_type_size");
  finder.find(out.graph_n_nodes, "ggml_graph_n_nodes");
  finder.find(out.graph_node, "ggml_graph_node");
  finder.find(out.new_graph_custom, "ggml_new_graph_custom");
  finder.find(out.graph_overhead_custom, "ggml_graph_overhead_custom");
  finder.find(out.graph_add_node, "ggml_graph_add_node");
  finder.find(out.init, "ggml_init");
  finder.find(out.free, "ggml_free");
  finder.find(out.buft_is_host, "ggml_backend_buft_is_host");
  finder.find(out.buffer_get_type, "ggml_backend_buffer_get_type");
  finder.find(out.buffer_get_usage, "ggml_backend_buffer_get_usage");
  finder.find(out.backend_get_device, "ggml_backend_get_device");
  finder.find(out.dev_backend_reg, "ggml_backend_dev_backend_reg");
  finder.find(out.buft_get_device, "ggml_backend_buft_get_device");
  finder.find(out.init_by_type, "ggml_backend_init_by_type");
  finder.find(out.backend_free, "ggml_backend_free");
  finder.find(out.graph_compute, "ggml_backend_graph_compute");
  finder.find(out.dev_by_type, "ggml_backend_dev_by_type");
  finder.find(out.reg_get_proc_address, "ggml_backend_reg_get_proc_address");
  finder.find(out.log_internal, "ggml_log_internal", false);
  if (!finder.missing.empty()) {
    why = "this process has no " + finder.missing +
          ": the host links ggml statically or is too old; a host with shared ggml libraries is needed";
    return false;
  }
  Ops& ops = out.ops;
  const Name names[] = {{&ops.none, "NONE"},
                        {&ops.add, "ADD"},
                        {&ops.add_id, "ADD_ID"},
                        {&ops.argsort, "ARGSORT"},
                        {&ops.clamp, "CLAMP"},
                        {&ops.cont, "CONT"},
                        {&ops.div, "DIV"},
                        {&ops.fill, "FILL"},
                        {&ops.get_rows, "GET_ROWS"},
                        {&ops.glu, "GLU"},
                        {&ops.mul, "MUL"},
                        {&ops.mul_mat, "MUL_MAT"},
                        {&ops.mul_mat_id, "MUL_MAT_ID"},
                        {&ops.repeat, "REPEAT"},
                        {&ops.reshape, "RESHAPE"},
                        {&ops.scale, "SCALE"},
                        {&ops.set_rows, "SET_ROWS"},
                        {&ops.soft_max, "SOFT_MAX"},
                        {&ops.sqr, "SQR"},
                        {&ops.sqrt, "SQRT"},
                        {&ops.sum_rows, "SUM_ROWS"},
                        {&ops.top_k, "TOP_K"},
                        {&ops.unary, "UNARY"},
                        {&ops.view, "VIEW"}};
  number(out.op_name, names, "GLU");
  const Name glu[] = {{&ops.reglu, "REGLU"},         {&ops.geglu, "GEGLU"},
                      {&ops.swiglu, "SWIGLU"},       {&ops.swiglu_oai, "SWIGLU_OAI"},
                      {&ops.geglu_erf, "GEGLU_ERF"}, {&ops.swiglu_clamp, "SWIGLU_CLAMP"}};
  number(out.glu_op_name, glu, "SWIGLU_CLAMP");
  const Name unary[] = {{&ops.sigmoid, "SIGMOID"},   {&ops.silu, "SILU"}, {&ops.gelu, "GELU"},
                        {&ops.gelu_erf, "GELU_ERF"}, {&ops.relu, "RELU"}, {&ops.softplus, "SOFTPLUS"},
                        {&ops.tanh, "TANH"}};
  number(out.unary_op_name, unary, "GELU_ERF");
  const Name types[] = {{&ops.f32, "f32"}, {&ops.f16, "f16"}, {&ops.bf16, "bf16"}, {&ops.i32, "i32"}};
  number(out.type_name, types, "bf16");
  if (ops.mul_mat_id == Ops::kNone || ops.none == Ops::kNone || ops.f32 == Ops::kNone || ops.i32 == Ops::kNone) {
    why = "ggml does not name its operations as this adapter knows them";
    return false;
  }
  return true;
}

void set_log_host(const HostGgml* host) { log_host = host; }

bool tracing() {
  static const bool on = [] {
    const char* trace = std::getenv("MOEVK_TRACE");
    return trace != nullptr && std::strstr(trace, "ggml") != nullptr;
  }();
  return on;
}

void log_line(int32_t level, const std::string& text) {
  if (level == kLogDebug && tracing()) level = kLogInfo;
  if (log_host != nullptr && log_host->log_internal != nullptr) {
    log_host->log_internal(level, "moevk: %s\n", text.c_str());
  } else if (level >= kLogWarn || tracing()) {
    std::fprintf(stderr, "moevk: %s\n", text.c_str());
  }
}

}  // namespace moevk::ggml
