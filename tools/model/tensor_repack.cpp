// SPDX-License-Identifier: MIT
//
// In:  words of a packed tensor.
// Out: the same numbers as the ABI has them (see tensor_repack.h).
// Why: orders as AutoGPTQ's QuantLinear.pack, AutoAWQ's WQLinear_GEMM and compressed-tensors' pack_to_int32 write them.
#include "tools/model/tensor_repack.h"

#include <array>
#include <cstring>
#include <string>

namespace moevk::model {
namespace {

using Bytes = std::vector<std::byte>;

// Where output i of eight stands in a word of AWQ's: it holds outputs 0 2 4 6 1 3 5 7, low bits first.
constexpr std::array<uint32_t, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};

uint32_t word_at(std::span<const std::byte> words, uint64_t index) {
  uint32_t word = 0;
  std::memcpy(&word, words.data() + 4 * index, 4);
  return word;
}

// [a, b] -> [b, a]
template <class T>
Bytes transposed(std::span<const std::byte> stored, uint64_t a, uint64_t b) {
  Bytes out(stored.size());
  for (uint64_t i = 0; i < a; ++i) {
    for (uint64_t j = 0; j < b; ++j) {
      std::memcpy(out.data() + (j * a + i) * sizeof(T), stored.data() + (i * b + j) * sizeof(T), sizeof(T));
    }
  }
  return out;
}

// Squares of 8 inputs by 8 outputs.
Bytes awq_codes(const Repacking& r, std::span<const std::byte> stored) {
  Bytes out(r.bytes());
  const uint64_t words = r.rows / 8;
  for (uint64_t c = 0; c < r.columns; c += 8) {
    for (uint64_t w = 0; w < words; ++w) {
      std::array<uint32_t, 8> rows{};
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t word = word_at(stored, (c + i) * words + w);
        for (uint32_t o = 0; o < 8; ++o) rows[o] |= (word >> (4 * kAwqPlace[o]) & 15u) << (4 * i);
      }
      for (uint32_t o = 0; o < 8; ++o) std::memcpy(out.data() + ((8 * w + o) * r.columns + c) / 2, &rows[o], 4);
    }
  }
  return out;
}

uint32_t stored_zero(const Repacking& r, std::span<const std::byte> stored, uint64_t row, uint64_t group) {
  const uint64_t per = 32 / r.bits;
  const uint32_t mask = (1u << r.bits) - 1;
  const auto place = static_cast<uint32_t>(row % per);
  if (r.order == WordOrder::zeros_by_output) {
    return word_at(stored, row / per * r.columns + group) >> (place * r.bits) & mask;
  }
  const uint32_t shift = (r.order == WordOrder::awq_zeros ? kAwqPlace[place] : place) * r.bits;
  return word_at(stored, group * (r.rows / per) + row / per) >> shift & mask;
}

Result<Bytes> zeros(const Repacking& r, std::span<const std::byte> stored) {
  Bytes out(r.bytes());
  const uint32_t largest = (1u << r.bits) - 1, centre = 1u << (r.bits - 1);
  const uint64_t row_bits = r.whole_rows ? r.bits : (r.columns * r.bits + 7) / 8 * 8;
  for (uint64_t row = 0; row < r.rows; ++row) {
    for (uint64_t group = 0; group < r.columns; ++group) {
      const uint32_t raw = stored_zero(r, stored, row, group);
      uint32_t zero = raw + (r.less_one ? 1u : 0u);
      // Some writers give the first format's name to files with the second's zero points. Where all are the middle, the
      // file says so in either way.
      if (r.symmetric && r.less_one && raw == centre) zero = centre;
      const std::string where = "[" + std::to_string(group) + ", output " + std::to_string(row) + "]";
      if (r.symmetric && zero != centre) {
        return ParseError{0, "",
                          "has the zero point " + std::to_string(zero) + " at " + where +
                              ", but config.json says that weights are symmetric around " + std::to_string(centre)};
      }
      if (zero > largest) {
        return ParseError{0, "",
                          "stores " + std::to_string(raw) + " at " + where + ", a zero point of 0 or of " +
                              std::to_string(zero) + " after adding 1: implementations differ"};
      }
      const uint64_t bit = row * row_bits + group * r.bits;
      out[bit / 8] |= static_cast<std::byte>(zero << (bit % 8));
    }
  }
  return out;
}

}  // namespace

uint64_t Repacking::bytes() const {
  switch (order) {
    case WordOrder::halves_by_group: return rows * columns * 2;
    case WordOrder::zeros_by_group:
    case WordOrder::awq_zeros:
    case WordOrder::zeros_by_output: return whole_rows ? (rows * bits + 7) / 8 : rows * ((columns * bits + 7) / 8);
    default: return rows * columns * bits / 8;
  }
}

Result<Bytes> repacked(const Repacking& r, std::span<const std::byte> stored) {
  switch (r.order) {
    case WordOrder::words_of_inputs: return transposed<uint32_t>(stored, r.columns * r.bits / 32, r.rows);
    case WordOrder::awq_codes: return awq_codes(r, stored);
    case WordOrder::halves_by_group: return transposed<uint16_t>(stored, r.columns, r.rows);
    case WordOrder::zeros_by_group:
    case WordOrder::awq_zeros:
    case WordOrder::zeros_by_output: return zeros(r, stored);
    case WordOrder::as_stored: break;
  }
  return Bytes(stored.begin(), stored.end());
}

}  // namespace moevk::model
