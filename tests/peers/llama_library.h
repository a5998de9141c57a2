// SPDX-License-Identifier: MIT
//
// In:  a folder with libllama and libggml.
// Out: the functions of their public C APIs that a capture needs.
// Why: nothing here links to llama.cpp (tests/support/shared_library.h).
#pragma once

#include <string>

#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"
#include "tests/support/shared_library.h"

namespace moevk::peers {

struct LlamaLibrary : moe_tests::SharedLibrary {
  // Loads libllama.so.0 from `folder` and ggml's CPU backend `cpu_backend` (a path). Throws std::runtime_error.
  LlamaLibrary(const std::string& folder, const std::string& cpu_backend);

  MOEVK_PEER_FUNCTION(version, llama_version);
  MOEVK_PEER_FUNCTION(log_set, llama_log_set);
  MOEVK_PEER_FUNCTION(backend_init, llama_backend_init);
  MOEVK_PEER_FUNCTION(model_default_params, llama_model_default_params);
  MOEVK_PEER_FUNCTION(context_default_params, llama_context_default_params);
  MOEVK_PEER_FUNCTION(model_init_from_user, llama_model_init_from_user);
  MOEVK_PEER_FUNCTION(model_load_from_file, llama_model_load_from_file);
  MOEVK_PEER_FUNCTION(model_free, llama_model_free);
  MOEVK_PEER_FUNCTION(init_from_model, llama_init_from_model);
  MOEVK_PEER_FUNCTION(free, llama_free);
  MOEVK_PEER_FUNCTION(batch_init, llama_batch_init);
  MOEVK_PEER_FUNCTION(batch_free, llama_batch_free);
  MOEVK_PEER_FUNCTION(decode, llama_decode);
  MOEVK_PEER_FUNCTION(get_logits_ith, llama_get_logits_ith);
  MOEVK_PEER_FUNCTION(get_memory, llama_get_memory);
  MOEVK_PEER_FUNCTION(memory_clear, llama_memory_clear);
  // Deprecated in the header, and what its programs use.
  void (*set_warmup)(llama_context*, bool) = find("llama_set_warmup");
  MOEVK_PEER_FUNCTION(tokenize, llama_tokenize);
  MOEVK_PEER_FUNCTION(model_get_vocab, llama_model_get_vocab);
  MOEVK_PEER_FUNCTION(vocab_n_tokens, llama_vocab_n_tokens);
  MOEVK_PEER_FUNCTION(backend_load, ggml_backend_load);
  MOEVK_PEER_FUNCTION(dev_by_name, ggml_backend_dev_by_name);
  MOEVK_PEER_FUNCTION(dev_memory, ggml_backend_dev_memory);
  MOEVK_PEER_FUNCTION(op_name, ggml_op_name);
  MOEVK_PEER_FUNCTION(tensor_set, ggml_backend_tensor_set);
  MOEVK_PEER_FUNCTION(gguf_init_empty, gguf_init_empty);
  MOEVK_PEER_FUNCTION(gguf_init_from_buffer, gguf_init_from_buffer);
  MOEVK_PEER_FUNCTION(gguf_free, gguf_free);
  MOEVK_PEER_FUNCTION(gguf_find_key, gguf_find_key);
  MOEVK_PEER_FUNCTION(gguf_get_val_u32, gguf_get_val_u32);
  MOEVK_PEER_FUNCTION(gguf_remove_key, gguf_remove_key);
  MOEVK_PEER_FUNCTION(gguf_set_val_u32, gguf_set_val_u32);
  MOEVK_PEER_FUNCTION(gguf_set_val_f32, gguf_set_val_f32);
  MOEVK_PEER_FUNCTION(gguf_set_val_bool, gguf_set_val_bool);
  MOEVK_PEER_FUNCTION(gguf_set_arr_data, gguf_set_arr_data);
  MOEVK_PEER_FUNCTION(gguf_set_kv, gguf_set_kv);
  MOEVK_PEER_FUNCTION(gguf_add_tensor, gguf_add_tensor);
  MOEVK_PEER_FUNCTION(gguf_write_to_file, gguf_write_to_file);
};

}  // namespace moevk::peers
