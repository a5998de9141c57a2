// SPDX-License-Identifier: MIT
//
// In:  one operation, as ggml's scheduler or llama.cpp's loader asks for it.
// Out: whether this device takes it.
// Why: the loader places each weight by a dummy operation, and the scheduler each operation by this answer. Taking an
//      operation for its kind would attract norms and embeddings; what is taken here hangs on a MoE block's weights.
#ifndef MOEVK_HOSTS_GGML_CLAIMS_H_
#define MOEVK_HOSTS_GGML_CLAIMS_H_

#include <functional>
#include <string>

#include "hosts/ggml/host_ggml.h"

namespace moevk::ggml {

struct ClaimRules {
  const Ops& ops;
  // Whether a tensor's memory is this device's, or not given yet.
  std::function<bool(const Tensor&)> is_ours;
  // Whether the device can run layers of this matrix; else the reason.
  std::function<bool(const Tensor& mul_mat_id, std::string& why)> is_supported;
};

// Routers, experts and their biases, by the names that GGUF gives them.
bool is_moe_weight(const Tensor& tensor);

// A leaf with the matrices of a layer's experts, as a model file has it; a scheduler's copy of one is none.
bool is_expert_matrix(const Ops& ops, const Tensor& tensor);

bool claims(const ClaimRules& rules, const Tensor& op, std::string& why);

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_CLAIMS_H_
