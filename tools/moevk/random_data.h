// SPDX-License-Identifier: MIT
//
// In:  a seed.
// Out: tokens and weights, the same on every machine.
// Why: weights are made while they are uploaded, by position, so that a layer of many gigabytes needs no copy in
//      host memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/moevk/host.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {

// The same for the same two numbers, on every machine.
uint64_t random_word(uint64_t seed, uint64_t position);

// [tokens, hidden], normal deviates, each row scaled to RMS 1 (what a layer sees after RMSNorm).
std::vector<float> random_tokens(uint64_t tokens, uint64_t hidden, uint64_t seed);

// Uploads a layer whose weights are uniform with variance 1 / input width. `router_bias` (or empty)
// is the tensor router.bias of a layer that has one.
moe::Layer upload_random_layer(const Host& host, moe_device* device, const moe_layer_desc& desc, uint64_t seed,
                               const std::vector<float>& router_bias, const std::string& label);

// A moe_upload_desc::progress whose user is a Progress.
int32_t MOE_CALL draw_upload(void* user, uint64_t done_bytes, uint64_t total_bytes);

}  // namespace moevk::cli
