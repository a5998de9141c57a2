// SPDX-License-Identifier: MIT
//
// In:  a type, a size of weights, a seed.
// Out: blocks (see random_blocks.h).
// Why: codes may be any bits; only scales need care, so that values stay finite through a layer.
#include "tools/moevk/random_blocks.h"

#include <cmath>
#include <iterator>

#include "tools/model/ggml_type.h"
#include "tools/model/half.h"
#include "tools/moevk/random_data.h"

namespace moevk::cli {
namespace {

constexpr size_t kBlocks = 512;
constexpr int kNone = -1;

// Where a block has its scale and its offset as halves, the offset over the scale, and the size of random codes times
// the scales of 4 to 8 bits inside the block.
struct Scales {
  uint32_t type;
  int scale;
  int offset;
  double offset_over_scale;
  double size;
};

constexpr Scales kScales[] = {
    {2, 0, kNone, 0, 4.6},  {3, 0, 2, -7.5, 4.6},      {6, 0, kNone, 0, 9.2},   {7, 0, 2, -15.5, 9.2},
    {8, 0, kNone, 0, 74},   {10, 80, 82, 1, 10},       {11, 108, kNone, 0, 42}, {12, 0, 2, 1, 300},
    {13, 0, 2, 1, 600},     {14, 208, kNone, 0, 1350}, {16, 0, kNone, 0, 55},   {17, 0, kNone, 0, 55},
    {18, 0, kNone, 0, 140}, {19, 0, kNone, 0, 7},      {20, 0, kNone, 0, 70},   {21, 0, kNone, 0, 150},
    {22, 0, kNone, 0, 55},  {23, 0, kNone, 0, 1300},   {34, 52, kNone, 0, 0.8}, {35, 64, kNone, 0, 1.1},
    {41, 0, kNone, 0, 1},   {42, 0, kNone, 0, 1.2},
};
constexpr uint32_t kIq1M = 29, kMxfp4 = 39, kNvfp4 = 40;

void put_half(unsigned char* at, double value) {
  const uint16_t bits = model::float_to_half(static_cast<float>(value));
  at[0] = static_cast<unsigned char>(bits);
  at[1] = static_cast<unsigned char>(bits >> 8);
}

void set_scales(uint32_t type, unsigned char* block, double weight) {
  if (type == kMxfp4) block[0] = static_cast<unsigned char>(127 + std::lround(std::log2(weight / 3)));
  if (type == kNvfp4) {  // e4m3 of about weight / 3
    const int exponent = static_cast<int>(std::lround(std::log2(weight / 3)));
    for (int run = 0; run < 4; ++run) block[run] = static_cast<unsigned char>((exponent < -6 ? 1 : exponent + 7) << 3);
  }
  if (type == kIq1M) {  // the half's digits stand in the top bits of four words
    unsigned char half[2];
    put_half(half, weight / 7);
    for (int word = 0; word < 4; ++word) {
      const int nibble = half[word / 2] >> (word % 2 * 4) & 15;
      block[49 + 2 * word] = static_cast<unsigned char>((block[49 + 2 * word] & 15) | nibble << 4);
    }
  }
  for (const Scales& s : kScales) {
    if (s.type != type) continue;
    put_half(block + s.scale, weight / s.size);
    if (s.offset != kNone) put_half(block + s.offset, weight / s.size * s.offset_over_scale);
  }
}

}  // namespace

RandomBlocks::RandomBlocks(uint32_t ggml_type, double weight, uint64_t seed)
    : block_bytes_(model::find_ggml_type(ggml_type)->block_bytes), seed_(seed), blocks_(kBlocks * block_bytes_) {
  for (size_t i = 0; i < blocks_.size(); ++i) blocks_[i] = static_cast<unsigned char>(random_word(seed, i) >> 56);
  for (size_t i = 0; i < kBlocks; ++i) set_scales(ggml_type, &blocks_[i * block_bytes_], weight);
}

const unsigned char* RandomBlocks::block(uint64_t index) const {
  return &blocks_[random_word(seed_ + 1, index) % kBlocks * block_bytes_];
}

}  // namespace moevk::cli
