// SPDX-License-Identifier: MIT
//
// The table of block formats, as ggml 0.27 defines them (ggml-common.h), and the movement of bits that it describes.
#include "runtime/block_format.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace moevk {
namespace {

using F = WeightFormat;

// Fields in the order of the planes: codes, further bits of codes, scales. A plane that others follow has whole words.
// TQ1_0 keeps the order of its file: five weights share a byte, so that bits cannot be told apart.
constexpr BlockFormat kFormats[] = {
    {F::kQ4_0, 2, "Q4_0", 32, 18, {{0, 2, 4, 16, 32}, {1, 0, 8, 1, 2}}},
    {F::kQ4_1, 3, "Q4_1", 32, 20, {{0, 4, 4, 16, 32}, {1, 0, 8, 1, 4}}},
    {F::kQ5_0, 6, "Q5_0", 32, 22, {{0, 6, 4, 16, 32}, {1, 2, 8, 1, 4}, {2, 0, 8, 1, 2}}},
    {F::kQ5_1, 7, "Q5_1", 32, 24, {{0, 8, 4, 16, 32}, {1, 4, 8, 1, 4}, {2, 0, 8, 1, 4}}},
    {F::kQ8_0, 8, "Q8_0", 32, 34, {{0, 2, 8, 1, 32}, {1, 0, 8, 1, 2}}},
    {F::kQ2K, 10, "Q2_K", 256, 84, {{0, 16, 2, 32, 256}, {1, 0, 8, 1, 16}, {2, 80, 8, 1, 4}}},
    {F::kQ3K,
     11,
     "Q3_K",
     256,
     110,
     {{0, 32, 2, 32, 256}, {1, 0, 1, 32, 256}, {2, 96, 4, 8, 16}, {2, 104, 2, 4, 16}, {3, 108, 8, 1, 2}}},
    {F::kQ4K, 12, "Q4_K", 256, 144, {{0, 16, 4, 32, 256}, {1, 4, 8, 1, 12}, {1, 0, 8, 1, 4}}},
    {F::kQ5K, 13, "Q5_K", 256, 176, {{0, 48, 4, 32, 256}, {1, 16, 1, 32, 256}, {2, 4, 8, 1, 12}, {2, 0, 8, 1, 4}}},
    {F::kQ6K, 14, "Q6_K", 256, 210, {{0, 0, 4, 64, 256}, {1, 128, 2, 32, 256}, {2, 192, 8, 1, 16}, {3, 208, 8, 1, 2}}},
    {F::kIq2Xxs, 16, "IQ2_XXS", 256, 66, {{0, 2, 8, 1, 64}, {1, 0, 8, 1, 2}}},
    {F::kIq2Xs, 17, "IQ2_XS", 256, 74, {{0, 2, 8, 1, 64}, {1, 66, 8, 1, 8}, {2, 0, 8, 1, 2}}},
    {F::kIq3Xxs, 18, "IQ3_XXS", 256, 98, {{0, 2, 8, 1, 64}, {1, 66, 8, 1, 32}, {2, 0, 8, 1, 2}}},
    {F::kIq1S, 19, "IQ1_S", 256, 50, {{0, 2, 8, 1, 32}, {1, 34, 8, 1, 16}, {2, 0, 8, 1, 2}}},
    {F::kIq4Nl, 20, "IQ4_NL", 32, 18, {{0, 2, 4, 16, 32}, {1, 0, 8, 1, 2}}},
    {F::kIq3S,
     21,
     "IQ3_S",
     256,
     110,
     {{0, 2, 8, 1, 64}, {1, 74, 8, 1, 32}, {2, 66, 8, 1, 8}, {3, 106, 8, 1, 4}, {4, 0, 8, 1, 2}}},
    {F::kIq2S,
     22,
     "IQ2_S",
     256,
     82,
     {{0, 2, 8, 1, 32}, {1, 34, 8, 1, 32}, {2, 66, 8, 1, 8}, {3, 74, 8, 1, 8}, {4, 0, 8, 1, 2}}},
    {F::kIq4Xs, 23, "IQ4_XS", 256, 136, {{0, 8, 4, 16, 256}, {1, 4, 8, 1, 4}, {1, 2, 8, 1, 2}, {1, 0, 8, 1, 2}}},
    {F::kIq1M, 29, "IQ1_M", 256, 56, {{0, 0, 8, 1, 32}, {1, 32, 8, 1, 16}, {2, 48, 8, 1, 8}}},
    {F::kTq1_0, 34, "TQ1_0", 256, 54, {{0, 0, 8, 1, 52}, {1, 52, 8, 1, 2}}},
    {F::kTq2_0, 35, "TQ2_0", 256, 66, {{0, 0, 2, 32, 256}, {1, 64, 8, 1, 2}}},
    {F::kMxfp4, 39, "MXFP4", 32, 17, {{0, 1, 4, 16, 32}, {1, 0, 8, 1, 1}}},
    {F::kNvfp4, 40, "NVFP4", 64, 36, {{0, 4, 4, 8, 64}, {1, 0, 8, 1, 4}}},
    {F::kQ1_0, 41, "Q1_0", 128, 18, {{0, 2, 8, 1, 16}, {1, 0, 8, 1, 2}}},
    {F::kQ2_0, 42, "Q2_0", 64, 18, {{0, 2, 8, 1, 16}, {1, 0, 8, 1, 2}}},
};

// The low `width` bits of each `of` bits.
constexpr uint64_t low_bits(uint32_t width, uint32_t of) {
  uint64_t mask = 0;
  for (uint32_t at = 0; at < 64; at += of) mask |= ((uint64_t{1} << width) - 1) << at;
  return mask;
}

// Eight numbers of `kBits`, one in each byte, together in 8 * kBits bits; and back.
template <uint32_t kBits>
uint64_t squeeze(uint64_t v) {
  v = (v | v >> (8 - kBits)) & low_bits(2 * kBits, 16);
  v = (v | v >> (16 - 2 * kBits)) & low_bits(4 * kBits, 32);
  return (v | v >> (32 - 4 * kBits)) & low_bits(8 * kBits, 64);
}
template <uint32_t kBits>
uint64_t spread(uint64_t v) {
  v = (v | v << (32 - 4 * kBits)) & low_bits(4 * kBits, 32);
  v = (v | v << (16 - 2 * kBits)) & low_bits(2 * kBits, 16);
  return (v | v << (8 - kBits)) & low_bits(kBits, 8);
}

// One field of one block, to or from its place in a plane: kRun numbers at a time, which have one shift.
template <bool kPack, uint32_t kBits, uint32_t kRun>
void move_numbers(const BlockField& f, std::byte* block, std::byte* plane) {
  constexpr uint32_t kPer = 8 / kBits;
  for (uint32_t n = 0; n < f.count; n += kRun) {
    std::byte* from = block + f.byte + n / (f.stride * kPer) * f.stride + n % f.stride;
    std::byte* to = plane + n / kPer;
    const uint32_t shift = n / f.stride % kPer * kBits;
    uint64_t bytes = 0, numbers = 0;
    if (kPack) {
      std::memcpy(&bytes, from, kRun);
      numbers = squeeze<kBits>(bytes >> shift & low_bits(kBits, 8));
      std::memcpy(to, &numbers, kRun / kPer);
    } else {
      std::memcpy(&numbers, to, kRun / kPer);
      if (shift != 0) std::memcpy(&bytes, from, kRun);  // the first of a byte's numbers overwrites it
      bytes |= spread<kBits>(numbers) << shift;
      std::memcpy(from, &bytes, kRun);
    }
  }
}

template <bool kPack>
void move_field(const BlockField& f, std::byte* block, std::byte* plane) {
  if (f.stride == 1) {
    if (kPack) {
      std::memcpy(plane, block + f.byte, f.bytes());
    } else {
      std::memcpy(block + f.byte, plane, f.bytes());
    }
  } else if (f.bits == 4) {
    move_numbers<kPack, 4, 8>(f, block, plane);
  } else if (f.bits == 2 && f.stride == 4) {
    move_numbers<kPack, 2, 4>(f, block, plane);
  } else if (f.bits == 2) {
    move_numbers<kPack, 2, 8>(f, block, plane);
  } else {
    move_numbers<kPack, 1, 8>(f, block, plane);
  }
}

template <bool kPack>
void move_row(const BlockFormat& format, uint64_t columns, std::byte* row, std::byte* packed) {
  const uint64_t blocks = format.blocks(columns);
  const BlockField* const end = std::find_if(std::begin(format.fields), std::end(format.fields),
                                             [](const BlockField& f) { return f.count == 0; });
  for (const BlockField* first = format.fields; first != end;) {
    const BlockField* last = first;
    uint32_t plane_bytes = 0;  // of a block
    for (; last != end && last->plane == first->plane; ++last) plane_bytes += last->bytes();
    for (uint64_t b = 0; b < blocks; ++b) {
      std::byte* at = packed + b * plane_bytes;
      for (const BlockField* f = first; f != last; ++f) {
        move_field<kPack>(*f, row + b * format.bytes, at);
        at += f->bytes();
      }
    }
    packed += blocks * plane_bytes;
    first = last;
  }
}

}  // namespace

const BlockFormat* find_block_format(WeightFormat format) {
  const auto index = static_cast<uint32_t>(format) - static_cast<uint32_t>(F::kQ4_0);
  return index < std::size(kFormats) ? &kFormats[index] : nullptr;
}

const BlockFormat* find_ggml_block_format(uint32_t ggml_type) {
  const auto* found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                   [&](const BlockFormat& f) { return f.ggml_type == ggml_type; });
  return found == std::end(kFormats) ? nullptr : found;
}

void pack_row(const BlockFormat& format, uint64_t columns, const std::byte* row, std::byte* packed) {
  move_row<true>(format, columns, const_cast<std::byte*>(row), packed);
}

void unpack_row(const BlockFormat& format, uint64_t columns, const std::byte* packed, std::byte* row) {
  move_row<false>(format, columns, row, const_cast<std::byte*>(packed));
}

}  // namespace moevk
