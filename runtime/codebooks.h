// SPDX-License-Identifier: MIT
//
// The codebooks of ggml's IQ formats: which short vectors of weights a code stands for. Facts of the formats, as
// ggml 0.27 decodes them. A codebook is a set of points of a small cube, numbered in ascending order.
#pragma once

#include <cstdint>
#include <vector>

namespace moevk {

// Vectors of 8 elements of 3 levels, or of 4 elements of 8 levels.
enum class Codebook : uint32_t { kIq2Xxs, kIq2Xs, kIq2S, kIq1, kIq3Xxs, kIq3S };
inline constexpr uint32_t kCodebooks = 6;

// Number of code vectors, and elements of each.
uint32_t codebook_size(Codebook book);
inline uint32_t codebook_width(Codebook book) { return book < Codebook::kIq3Xxs ? 8 : 4; }
// Levels of code vector `code`, the first element in the lowest bits: 8 x 2 bits or 4 x 3 bits.
uint32_t codebook_levels(Codebook book, uint32_t code);
// What a level stands for.
int32_t codebook_value(Codebook book, uint32_t level);

// All codebooks as kernels read them, two code vectors a word, in the order of the enum.
const std::vector<uint32_t>& codebook_words();

}  // namespace moevk
