// SPDX-License-Identifier: MIT
//
// In:  paths.
// Out: function pointers (see llama_library.h).
// Why: one list of names; a missing one is named.
#include "tests/peers/llama_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace moevk::peers {
namespace {

template <class Function>
void find(void* library, const char* name, Function& function) {
  void* symbol = dlsym(library, name);  // of libllama, or of what it links to
  if (symbol == nullptr) throw std::runtime_error(std::string("libllama has no ") + name);
  std::memcpy(&function, &symbol, sizeof symbol);
}

void no_log(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace

LlamaLibrary::LlamaLibrary(const std::string& folder, const std::string& cpu_backend) {
  const std::string path = folder + "/libllama.so.0";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays loaded: ggml keeps threads and static state
  if (library == nullptr) throw std::runtime_error(dlerror());
  find(library, "llama_version", version);
  if (std::string(version()) != MOEVK_LLAMA_VERSION) {
    throw std::runtime_error(path + " is version " + version() + ", the headers are of " MOEVK_LLAMA_VERSION);
  }
  find(library, "llama_log_set", log_set);
  find(library, "llama_backend_init", backend_init);
  find(library, "llama_model_default_params", model_default_params);
  find(library, "llama_context_default_params", context_default_params);
  find(library, "llama_model_init_from_user", model_init_from_user);
  find(library, "llama_model_load_from_file", model_load_from_file);
  find(library, "llama_model_free", model_free);
  find(library, "llama_init_from_model", init_from_model);
  find(library, "llama_free", free);
  find(library, "llama_batch_init", batch_init);
  find(library, "llama_batch_free", batch_free);
  find(library, "llama_decode", decode);
  find(library, "llama_get_logits_ith", get_logits_ith);
  find(library, "llama_get_memory", get_memory);
  find(library, "llama_memory_clear", memory_clear);
  find(library, "llama_set_warmup", set_warmup);
  find(library, "llama_tokenize", tokenize);
  find(library, "llama_model_get_vocab", model_get_vocab);
  find(library, "llama_vocab_n_tokens", vocab_n_tokens);
  find(library, "ggml_backend_load", backend_load);
  find(library, "ggml_backend_dev_by_name", dev_by_name);
  find(library, "ggml_backend_dev_memory", dev_memory);
  find(library, "ggml_op_name", op_name);
  find(library, "ggml_backend_tensor_set", tensor_set);
  find(library, "gguf_init_empty", gguf_init_empty);
  find(library, "gguf_init_from_buffer", gguf_init_from_buffer);
  find(library, "gguf_free", gguf_free);
  find(library, "gguf_find_key", gguf_find_key);
  find(library, "gguf_get_val_u32", gguf_get_val_u32);
  find(library, "gguf_remove_key", gguf_remove_key);
  find(library, "gguf_set_val_u32", gguf_set_val_u32);
  find(library, "gguf_set_val_f32", gguf_set_val_f32);
  find(library, "gguf_set_val_bool", gguf_set_val_bool);
  find(library, "gguf_set_arr_data", gguf_set_arr_data);
  find(library, "gguf_set_kv", gguf_set_kv);
  find(library, "gguf_add_tensor", gguf_add_tensor);
  find(library, "gguf_write_to_file", gguf_write_to_file);
  log_set(no_log, nullptr);
  backend_init();
  if (backend_load(cpu_backend.c_str()) == nullptr) throw std::runtime_error(cpu_backend + " does not load");
}

}  // namespace moevk::peers
