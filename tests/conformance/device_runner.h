// SPDX-License-Identifier: MIT
//
// Runs one layer on one device through the ABI: uploads its weights, calls forward or the four
// stages with memory arranged as the case says, and brings back every output, with what was found
// wrong on the way.
#ifndef MOE_TESTS_CONFORMANCE_DEVICE_RUNNER_H_
#define MOE_TESTS_CONFORMANCE_DEVICE_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/layer_case.h"
#include "tests/conformance/view_memory.h"

namespace moe_conformance {

struct CallResult {
  std::vector<std::byte> y;           // [T, H], packed, in the type of LayerInputs::y_dtype
  uint32_t route_columns = 0;         // of ids and weights: k, or all slots
  std::vector<int32_t> ids;           // [T, route_columns]
  std::vector<float> weights;         // [T, route_columns]
  std::vector<float> logits;          // [T, E]; empty unless the layer computes them
  std::vector<float> scores;          // [T, E]; empty unless the layer selects
  std::vector<int32_t> counts;        // [E]
  std::vector<int32_t> order;         // [T * slots]; stages only
  std::vector<int32_t> offsets;       // [experts_total + 1]; stages only
  std::vector<std::string> problems;  // stray writes
};

class DeviceRunner {
 public:
  // Uploads the layer. Throws moe::Error.
  DeviceRunner(const moe_api* api, moe_device* device, const LayerCase& layer_case);

  // Throws moe::Error. `tokens` rows of every vector in `inputs` are used.
  CallResult forward(const LayerInputs& inputs, uint64_t tokens, const Arrangement& arrangement);
  CallResult staged(const LayerInputs& inputs, uint64_t tokens, const Arrangement& arrangement);
  // forward that asks for no output but y.
  std::vector<std::byte> forward_y_alone(const LayerInputs& inputs, uint64_t tokens, const Arrangement& arrangement);

  moe_layer* layer() const { return layer_.get(); }
  const moe_layer_info& info() const { return info_; }

 private:
  struct Views;
  void finish();
  CallResult collect(Views& views);

  const moe_api* api_;
  moe_device* device_;
  moe_layer_desc desc_;
  moe_layer_info info_;
  Owner<moe_layer> layer_;
  Owner<moe_context> context_;
};

// The whole transaction of one layer. Throws moe::Error.
Owner<moe_layer> upload_layer(const moe_api* api, moe_device* device, const LayerCase& layer_case);

// The inputs of tokens first..first+count-1 alone.
LayerInputs slice_tokens(const LayerCase& layer_case, uint64_t first, uint64_t count);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_DEVICE_RUNNER_H_
