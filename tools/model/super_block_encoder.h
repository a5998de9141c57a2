// SPDX-License-Identifier: MIT
//
// In:  f32 weights of a block whose scale is searched for.
// Out: the block as GGUF has it.
// Why: K-quants, IQ4, ternary and one-bit types (see block_encoder.h, which lists them). Weights are finite.
#pragma once

#include <cstddef>

namespace moevk::model {

// 256 weights in runs of 16 or 32, whose scales (and minima) are small integers times those of the block.
void encode_q2_k(const float* x, std::byte* to);
void encode_q3_k(const float* x, std::byte* to);
void encode_q4_k(const float* x, std::byte* to);
void encode_q5_k(const float* x, std::byte* to);
void encode_q6_k(const float* x, std::byte* to);
void encode_iq4_xs(const float* x, std::byte* to);
void encode_iq3_s(const float* x, std::byte* to);  // codebook_encoder.cpp
// One scale a block.
void encode_iq4_nl(const float* x, std::byte* to);  // 32 weights
void encode_q1_0(const float* x, std::byte* to);    // 128
void encode_q2_0(const float* x, std::byte* to);    // 64
void encode_tq1_0(const float* x, std::byte* to);   // 256
void encode_tq2_0(const float* x, std::byte* to);   // 256

}  // namespace moevk::model
