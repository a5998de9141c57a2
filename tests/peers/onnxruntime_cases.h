// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: layers that com.microsoft::MoE, or QMoE, can express, each as a descriptor of ours and as a node.
// Why: a family's descriptor is its preset's, with other sizes; the node's attributes follow from it. So it is the
//      preset that is judged.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/peers/judged_device.h"
#include "tests/peers/onnx_model.h"

namespace moevk::peers {

// The operator cannot say what a layer's descriptor says.
class NotExpressible : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct OnnxCase {
  std::string name;
  std::string family;   // the name of its first preset; empty: no family has this form
  moe_layer_desc desc;  // Routes from logits: the operator takes them, too.
  uint64_t tokens = 0;
  uint64_t seed = 0;
  bool expressible = true;  // Known to be; of others it is found out, and said.
  // An attribute that a provider may leave unread: where the output is the same without it, nothing was judged.
  std::string may_be_ignored = {};
  double bound = kPeerBound;
};

// A case for every preset, and what the operator can do beyond.
std::vector<OnnxCase> onnx_moe_cases();
// Layers of integer weights, whose operator is QMoE.
std::vector<OnnxCase> onnx_qmoe_cases();

// Random weights and inputs of a case, and both views of them.
struct OnnxLayer {
  LayerInputs inputs;
  OnnxNode node;                           // its run-time inputs are x and the logits
  std::vector<moe_tensor_source> tensors;  // point into `node`
};
// Throws NotExpressible, with what the operator lacks.
OnnxLayer make_onnx_layer(const OnnxCase& one);

}  // namespace moevk::peers
