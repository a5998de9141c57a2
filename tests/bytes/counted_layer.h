// SPDX-License-Identifier: MIT
//
// In:  a layer's shape, a format, numbers of tokens.
// Out: the bytes of each dispatch of one forward, counted on the device, beside those that no layer can avoid.
// Why: the table of docs/performance.md and its test make their figures by the same lines.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/bytes/byte_counter.h"
#include "tools/moevk/host.h"

namespace moe_bytes {

struct CountedDispatch {
  std::string kernel;
  DispatchBytes bytes;
};

struct CountedCall {
  std::string format;
  uint64_t tokens = 0;
  uint64_t experts = 0;   // with at least one token
  bool combines = false;  // down adds a token's slots itself: route outputs are neither written nor read
  std::vector<CountedDispatch> dispatches;
  double least = 0;          // the formula's bytes, of the experts that were chosen
  double least_weights = 0;  // of these, the experts' matrices
  std::vector<float> y;      // [tokens, hidden]

  uint64_t distinct() const;    // lines of all dispatches, each once a dispatch
  AccessBytes weights() const;  // the experts' matrices, of all dispatches
};

// A host's device on which every kernel of the plugin is counted.
class CountedDevice {
 public:
  // The device with this index. Throws where it cannot count: no device addresses, no push descriptors.
  CountedDevice(const moevk::cli::Host& host, uint32_t index, bool by_subgroups);
  CountedDevice(const CountedDevice&) = delete;
  CountedDevice& operator=(const CountedDevice&) = delete;

  // One forward for each number of tokens, of one layer with random weights. H, F, E and k as in "512,256,32,4".
  std::vector<CountedCall> count(const std::string& shape, const std::string& format,
                                 const std::vector<uint64_t>& tokens);
  const moevk::cli::Host& host() const { return host_; }

 private:
  const moevk::cli::Host& host_;
  std::unique_ptr<moe_interop::VulkanHost> vulkan_;
  std::unique_ptr<ByteCounter> counter_;
  moe::Device device_;
};

// A host whose imported device a ByteCounter can count. The device of the library's with this index.
std::unique_ptr<moe_interop::VulkanHost> counted_host(const moevk::cli::Host& host, uint32_t index);
// Why a device cannot be counted on; empty: it can.
std::string cannot_count(const moevk::cli::Host& host, uint32_t index);

// The same layer and tokens on a device whose kernels are as they ship: [tokens, hidden].
std::vector<float> plain_outputs(const moevk::cli::Host& host, uint32_t index, const std::string& shape,
                                 const std::string& format, uint64_t tokens);

}  // namespace moe_bytes
