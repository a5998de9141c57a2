// SPDX-License-Identifier: MIT
//
// In:  a folder with libggml, a folder with its backends.
// Out: the functions of its public C API that a layer needs.
// Why: nothing here links to ggml. The headers are those of the package that the libraries come from; a library of
//      another version than the headers is refused, since its structs may differ.
#pragma once

#include <string>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace moevk::bench {

struct GgmlLibrary {
  // Loads libggml.so.0 from `folder`, then every backend that ggml finds in `backends`. They stay loaded: backends keep
  // threads. Throws std::runtime_error.
  GgmlLibrary(const std::string& folder, const std::string& backends);

  // ggml.h
  decltype(&::ggml_version) version;
  decltype(&::ggml_log_set) log_set;
  decltype(&::ggml_init) init;
  decltype(&::ggml_free) free;
  decltype(&::ggml_new_tensor_2d) new_tensor_2d;
  decltype(&::ggml_new_tensor_3d) new_tensor_3d;
  decltype(&::ggml_set_name) set_name;
  decltype(&::ggml_set_input) set_input;
  decltype(&::ggml_set_output) set_output;
  decltype(&::ggml_nbytes) nbytes;
  decltype(&::ggml_op_name) op_name;
  decltype(&::ggml_mul_mat) mul_mat;
  decltype(&::ggml_mul_mat_id) mul_mat_id;
  decltype(&::ggml_soft_max) soft_max;
  decltype(&::ggml_argsort_top_k) argsort_top_k;
  decltype(&::ggml_get_rows) get_rows;
  decltype(&::ggml_sum_rows) sum_rows;
  decltype(&::ggml_clamp) clamp;
  decltype(&::ggml_div) div;
  decltype(&::ggml_mul) mul;
  decltype(&::ggml_add) add;
  decltype(&::ggml_cont) cont;
  decltype(&::ggml_reshape_2d) reshape_2d;
  decltype(&::ggml_reshape_3d) reshape_3d;
  decltype(&::ggml_view_2d) view_2d;
  decltype(&::ggml_swiglu_split) swiglu_split;
  decltype(&::ggml_new_graph_custom) new_graph_custom;
  decltype(&::ggml_build_forward_expand) build_forward_expand;
  decltype(&::ggml_graph_n_nodes) graph_n_nodes;
  decltype(&::ggml_graph_node) graph_node;
  // ggml-alloc.h, ggml-backend.h
  decltype(&::ggml_backend_alloc_ctx_tensors_from_buft) alloc_ctx_tensors_from_buft;
  decltype(&::ggml_backend_buft_alloc_buffer) buft_alloc_buffer;
  decltype(&::ggml_backend_buffer_free) buffer_free;
  decltype(&::ggml_backend_buffer_set_usage) buffer_set_usage;
  decltype(&::ggml_backend_tensor_set) tensor_set;
  decltype(&::ggml_backend_tensor_get) tensor_get;
  decltype(&::ggml_backend_load_all_from_path) load_all_from_path;
  decltype(&::ggml_backend_dev_count) dev_count;
  decltype(&::ggml_backend_dev_get) dev_get;
  decltype(&::ggml_backend_dev_type) dev_type;
  decltype(&::ggml_backend_dev_name) dev_name;
  decltype(&::ggml_backend_dev_description) dev_description;
  decltype(&::ggml_backend_dev_backend_reg) dev_backend_reg;
  decltype(&::ggml_backend_dev_buffer_type) dev_buffer_type;
  decltype(&::ggml_backend_dev_supports_op) dev_supports_op;
  decltype(&::ggml_backend_dev_init) dev_init;
  decltype(&::ggml_backend_reg_get_proc_address) reg_get_proc_address;
  decltype(&::ggml_backend_free) backend_free;
  decltype(&::ggml_backend_sched_new) sched_new;
  decltype(&::ggml_backend_sched_free) sched_free;
  decltype(&::ggml_backend_sched_alloc_graph) sched_alloc_graph;
  decltype(&::ggml_backend_sched_graph_compute) sched_graph_compute;
  decltype(&::ggml_backend_sched_get_tensor_backend) sched_get_tensor_backend;
};

}  // namespace moevk::bench
