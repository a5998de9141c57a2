// SPDX-License-Identifier: MIT
//
// In:  a folder with libggml, a folder with its backends.
// Out: the functions of its public C API that a layer needs.
// Why: nothing here links to ggml (tests/support/shared_library.h).
#pragma once

#include <string>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "tests/support/shared_library.h"

namespace moevk::bench {

struct GgmlLibrary : moe_tests::SharedLibrary {
  // Loads libggml.so.0 from `folder`, then every backend that ggml finds in `backends`. They stay loaded: backends keep
  // threads. Throws std::runtime_error.
  GgmlLibrary(const std::string& folder, const std::string& backends);

  // ggml.h
  MOEVK_PEER_FUNCTION(version, ggml_version);
  MOEVK_PEER_FUNCTION(log_set, ggml_log_set);
  MOEVK_PEER_FUNCTION(init, ggml_init);
  MOEVK_PEER_FUNCTION(free, ggml_free);
  MOEVK_PEER_FUNCTION(new_tensor_2d, ggml_new_tensor_2d);
  MOEVK_PEER_FUNCTION(new_tensor_3d, ggml_new_tensor_3d);
  MOEVK_PEER_FUNCTION(set_name, ggml_set_name);
  MOEVK_PEER_FUNCTION(set_input, ggml_set_input);
  MOEVK_PEER_FUNCTION(set_output, ggml_set_output);
  MOEVK_PEER_FUNCTION(nbytes, ggml_nbytes);
  MOEVK_PEER_FUNCTION(op_name, ggml_op_name);
  MOEVK_PEER_FUNCTION(mul_mat, ggml_mul_mat);
  MOEVK_PEER_FUNCTION(mul_mat_id, ggml_mul_mat_id);
  MOEVK_PEER_FUNCTION(soft_max, ggml_soft_max);
  MOEVK_PEER_FUNCTION(argsort_top_k, ggml_argsort_top_k);
  MOEVK_PEER_FUNCTION(get_rows, ggml_get_rows);
  MOEVK_PEER_FUNCTION(sum_rows, ggml_sum_rows);
  MOEVK_PEER_FUNCTION(clamp, ggml_clamp);
  MOEVK_PEER_FUNCTION(div, ggml_div);
  MOEVK_PEER_FUNCTION(mul, ggml_mul);
  MOEVK_PEER_FUNCTION(add, ggml_add);
  MOEVK_PEER_FUNCTION(cont, ggml_cont);
  MOEVK_PEER_FUNCTION(reshape_2d, ggml_reshape_2d);
  MOEVK_PEER_FUNCTION(reshape_3d, ggml_reshape_3d);
  MOEVK_PEER_FUNCTION(view_2d, ggml_view_2d);
  MOEVK_PEER_FUNCTION(swiglu_split, ggml_swiglu_split);
  MOEVK_PEER_FUNCTION(new_graph_custom, ggml_new_graph_custom);
  MOEVK_PEER_FUNCTION(build_forward_expand, ggml_build_forward_expand);
  MOEVK_PEER_FUNCTION(graph_n_nodes, ggml_graph_n_nodes);
  MOEVK_PEER_FUNCTION(graph_node, ggml_graph_node);
  // ggml-alloc.h, ggml-backend.h
  MOEVK_PEER_FUNCTION(alloc_ctx_tensors_from_buft, ggml_backend_alloc_ctx_tensors_from_buft);
  MOEVK_PEER_FUNCTION(buft_alloc_buffer, ggml_backend_buft_alloc_buffer);
  MOEVK_PEER_FUNCTION(buffer_free, ggml_backend_buffer_free);
  MOEVK_PEER_FUNCTION(buffer_set_usage, ggml_backend_buffer_set_usage);
  MOEVK_PEER_FUNCTION(tensor_set, ggml_backend_tensor_set);
  MOEVK_PEER_FUNCTION(tensor_get, ggml_backend_tensor_get);
  MOEVK_PEER_FUNCTION(load_all_from_path, ggml_backend_load_all_from_path);
  MOEVK_PEER_FUNCTION(dev_count, ggml_backend_dev_count);
  MOEVK_PEER_FUNCTION(dev_get, ggml_backend_dev_get);
  MOEVK_PEER_FUNCTION(dev_type, ggml_backend_dev_type);
  MOEVK_PEER_FUNCTION(dev_name, ggml_backend_dev_name);
  MOEVK_PEER_FUNCTION(dev_description, ggml_backend_dev_description);
  MOEVK_PEER_FUNCTION(dev_backend_reg, ggml_backend_dev_backend_reg);
  MOEVK_PEER_FUNCTION(dev_buffer_type, ggml_backend_dev_buffer_type);
  MOEVK_PEER_FUNCTION(dev_supports_op, ggml_backend_dev_supports_op);
  MOEVK_PEER_FUNCTION(dev_init, ggml_backend_dev_init);
  MOEVK_PEER_FUNCTION(reg_get_proc_address, ggml_backend_reg_get_proc_address);
  MOEVK_PEER_FUNCTION(backend_free, ggml_backend_free);
  MOEVK_PEER_FUNCTION(sched_new, ggml_backend_sched_new);
  MOEVK_PEER_FUNCTION(sched_free, ggml_backend_sched_free);
  MOEVK_PEER_FUNCTION(sched_alloc_graph, ggml_backend_sched_alloc_graph);
  MOEVK_PEER_FUNCTION(sched_graph_compute, ggml_backend_sched_graph_compute);
  MOEVK_PEER_FUNCTION(sched_get_tensor_backend, ggml_backend_sched_get_tensor_backend);
};

}  // namespace moevk::bench
