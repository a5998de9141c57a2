// SPDX-License-Identifier: MIT
//
// In:  a folder with libllama and libggml.
// Out: the functions of their public C APIs that a capture needs.
// Why: nothing here links to llama.cpp. The headers are those of the package that the libraries come from; a library of
//      another version than the headers is refused, since its structs may differ.
#pragma once

#include <string>

#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"

namespace moevk::peers {

struct LlamaLibrary {
  // Loads libllama.so.0 from `folder` and ggml's CPU backend `cpu_backend` (a path). Throws std::runtime_error.
  LlamaLibrary(const std::string& folder, const std::string& cpu_backend);

  decltype(&::llama_version) version;
  decltype(&::llama_log_set) log_set;
  decltype(&::llama_backend_init) backend_init;
  decltype(&::llama_model_default_params) model_default_params;
  decltype(&::llama_context_default_params) context_default_params;
  decltype(&::llama_model_init_from_user) model_init_from_user;
  decltype(&::llama_model_load_from_file) model_load_from_file;
  decltype(&::llama_model_free) model_free;
  decltype(&::llama_init_from_model) init_from_model;
  decltype(&::llama_free) free;
  decltype(&::llama_batch_init) batch_init;
  decltype(&::llama_batch_free) batch_free;
  decltype(&::llama_decode) decode;
  decltype(&::llama_get_logits_ith) get_logits_ith;
  decltype(&::llama_get_memory) get_memory;
  decltype(&::llama_memory_clear) memory_clear;
  void (*set_warmup)(llama_context*, bool);  // deprecated in the header, and what its programs use
  decltype(&::llama_tokenize) tokenize;
  decltype(&::llama_model_get_vocab) model_get_vocab;
  decltype(&::llama_vocab_n_tokens) vocab_n_tokens;
  decltype(&::ggml_backend_load) backend_load;
  decltype(&::ggml_backend_dev_by_name) dev_by_name;
  decltype(&::ggml_backend_dev_memory) dev_memory;
  decltype(&::ggml_op_name) op_name;
  decltype(&::ggml_backend_tensor_set) tensor_set;
  decltype(&::gguf_init_empty) gguf_init_empty;
  decltype(&::gguf_init_from_buffer) gguf_init_from_buffer;
  decltype(&::gguf_free) gguf_free;
  decltype(&::gguf_find_key) gguf_find_key;
  decltype(&::gguf_get_val_u32) gguf_get_val_u32;
  decltype(&::gguf_remove_key) gguf_remove_key;
  decltype(&::gguf_set_val_u32) gguf_set_val_u32;
  decltype(&::gguf_set_val_f32) gguf_set_val_f32;
  decltype(&::gguf_set_val_bool) gguf_set_val_bool;
  decltype(&::gguf_set_arr_data) gguf_set_arr_data;
  decltype(&::gguf_set_kv) gguf_set_kv;
  decltype(&::gguf_add_tensor) gguf_add_tensor;
  decltype(&::gguf_write_to_file) gguf_write_to_file;
};

}  // namespace moevk::peers
