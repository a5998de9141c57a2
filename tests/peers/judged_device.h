// SPDX-License-Identifier: MIT
//
// In:  libmoevk, a layer as the ABI takes it, tokens.
// Out: what a device of ours gives, and how far that is from what a peer gave.
// Why: both peers ask the same two devices, the CPU reference and a Vulkan driver, by the same few lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/moevk/host.h"

namespace moevk::peers {

// How far two f32 computations of a layer may be apart: relative RMS, and the largest difference in parts of the largest
// value. Rounding errors of n random terms grow as sqrt(n) 2^-24, which is 2e-6 for the 1024 of the widest layer here;
// the rest is room for three sums in a row, activations and another order of summation.
constexpr double kPeerBound = 1e-5;

// Empty where the layer does not take them.
struct LayerInputs {
  uint64_t tokens = 0;
  std::vector<float> x;            // [T, H]
  std::vector<float> router_x;     // [T, H], with MOE_LAYER_SEPARATE_ROUTER_INPUT
  std::vector<float> logits;       // [T, E], of MOE_ROUTE_FROM_LOGITS
  std::vector<int32_t> token_ids;  // [T], of MOE_ROUTE_FROM_TOKEN_TABLE
};

struct LayerOutputs {
  std::vector<float> y;        // [T, H]
  std::vector<int32_t> ids;    // [T, k]
  std::vector<float> weights;  // [T, k]
  std::vector<float> logits;   // [T, E]; empty where they are given
  std::vector<float> scores;   // [T, E]: what the selection compared; empty where there is none
};

struct JudgedDevice {
  moe::Device device;
  std::string name;  // "reference", or the driver as it names itself
};

// The reference, and the Vulkan device that `which` names (empty: the best). Without a Vulkan device the second is
// missing and `why` says why.
std::vector<JudgedDevice> open_judged_devices(const cli::Host& host, const std::string& which, std::string& why);

// Uploads the layer, runs all tokens in one call, then the first few one by one, as decoding does: those must give the
// same routes. Throws moe::Error, or std::runtime_error where they do not.
LayerOutputs run_layer(const cli::Host& host, moe_device* device, const moe_layer_desc& desc,
                       std::span<const moe_tensor_source> tensors, const LayerInputs& inputs);

// |ours - theirs| against the largest |theirs|.
struct Difference {
  double square = 0, size = 0, largest = 0, scale = 0;
  void add(std::span<const float> ours, std::span<const float> theirs);
  void add(const Difference& other);
  double relative_rms() const;  // 0 where both are 0
  double relative_max() const;
  bool is_within(double bound) const { return relative_rms() <= bound && relative_max() <= bound; }
  std::string text() const;  // "relative RMS 1.2e-07, largest 3.4e-07 of the largest output"
};

// Throws if Vulkan's validation has said anything since the instance was made.
void refuse_validation_messages(const cli::Host& host);

}  // namespace moevk::peers
