// SPDX-License-Identifier: MIT
//
// In:  a seed.
// Out: tokens and weights, the same on every machine.
// Why: weights are made while they are uploaded, by position, so that a layer of many gigabytes needs no copy in
//      host memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/moevk/host.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {

// The same for the same two numbers, on every machine.
uint64_t random_word(uint64_t seed, uint64_t position);

// [tokens, hidden], normal deviates, each row scaled to RMS 1 (what a layer sees after RMSNorm).
std::vector<float> random_tokens(uint64_t tokens, uint64_t hidden, uint64_t seed);

// A tensor of a layer whose weights are uniform with variance 1 / input width, made where it is read.
class RandomSource {
 public:
  // `seed`: that of the layer + 1 + the tensor's place in list_tensors gives what upload_random_layer uploads.
  RandomSource(const moe_tensor_info& tensor, const moe_layer_desc& desc, uint64_t seed);
  ~RandomSource();
  RandomSource(const RandomSource&) = delete;
  RandomSource& operator=(const RandomSource&) = delete;

  // Whole elements or blocks: offset and bytes are multiples of their size, else false.
  bool read(uint64_t offset, void* destination, uint64_t bytes) const;
  // Makes `source` call this object, which must outlive add_tensor.
  void lend_to(moe_tensor_source& source) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The tensors that a layer needs, in the library's order.
std::vector<moe_tensor_info> tensors_of(const Host& host, moe_device* device, const moe_layer_desc& desc);

// Uploads a layer whose weights are uniform with variance 1 / input width. `router_bias` (or empty)
// is the tensor router.bias of a layer that has one, `router` (or empty) its router.weight [E, H].
moe::Layer upload_random_layer(const Host& host, moe_device* device, const moe_layer_desc& desc, uint64_t seed,
                               const std::vector<float>& router_bias, const std::string& label,
                               const std::vector<float>& router = {});

// A moe_upload_desc::progress whose user is a Progress.
int32_t MOE_CALL draw_upload(void* user, uint64_t done_bytes, uint64_t total_bytes);

}  // namespace moevk::cli
