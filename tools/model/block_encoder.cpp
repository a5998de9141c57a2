// SPDX-License-Identifier: MIT
//
// One row a type, with a function over one block (see block_encoder.h). Here are those whose codes follow from the block
// alone; super_block_encoder.cpp
// and codebook_encoder.cpp have the others.
#include "tools/model/block_encoder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>

#include "tools/model/ggml_type.h"
#include "tools/model/half.h"
#include "tools/model/super_block_encoder.h"

namespace moevk::model {
namespace {

constexpr uint32_t kBlock = 32;

void put16(std::byte* to, uint16_t value) { std::memcpy(to, &value, 2); }

// The weight with the largest magnitude, its sign kept; the first of several.
float signed_largest(const float* x) {
  float most = 0, value = 0;
  for (uint32_t i = 0; i < kBlock; ++i) {
    if (most >= std::fabs(x[i])) continue;
    most = std::fabs(x[i]);
    value = x[i];
  }
  return value;
}

float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

// Codes of half a block each in the low and the high bits.
void put_nibbles(std::byte* to, const std::array<uint32_t, kBlock>& codes) {
  for (uint32_t i = 0; i < kBlock / 2; ++i) {
    to[i] = static_cast<std::byte>((codes[i] & 15u) | (codes[i + kBlock / 2] & 15u) << 4);
  }
}

void put_fifth_bits(std::byte* to, const std::array<uint32_t, kBlock>& codes) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < kBlock; ++i) bits |= (codes[i] >> 4 & 1u) << i;
  std::memcpy(to, &bits, 4);
}

// Around zero: the largest magnitude has the code 0, and zero the code in the middle.
std::array<uint32_t, kBlock> centred_codes(const float* x, int32_t middle, float* scale) {
  const float d = signed_largest(x) / static_cast<float>(-middle);
  const float factor = inverse(d);
  std::array<uint32_t, kBlock> codes{};
  for (uint32_t i = 0; i < kBlock; ++i) {
    const float code = x[i] * factor + (static_cast<float>(middle) + 0.5f);
    codes[i] = static_cast<uint32_t>(std::min(2 * middle - 1, static_cast<int32_t>(code)));
  }
  *scale = d;
  return codes;
}

// From the least to the largest weight.
std::array<uint32_t, kBlock> ranged_codes(const float* x, int32_t most, float* scale, float* least) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float d = (*high - *low) / static_cast<float>(most);
  const float factor = inverse(d);
  std::array<uint32_t, kBlock> codes{};
  for (uint32_t i = 0; i < kBlock; ++i) {
    codes[i] = static_cast<uint32_t>(std::min(most, static_cast<int32_t>((x[i] - *low) * factor + 0.5f)));
  }
  *scale = d;
  *least = *low;
  return codes;
}

template <uint32_t kBits>
void put_codes(std::byte* to, const std::array<uint32_t, kBlock>& codes) {
  if (kBits == 5) put_fifth_bits(to, codes);
  put_nibbles(to + (kBits == 5 ? 4 : 0), codes);
}

// Q4_0, Q5_0
template <uint32_t kBits>
void encode_centred(const float* x, std::byte* to) {
  float d = 0;
  const auto codes = centred_codes(x, 1 << (kBits - 1), &d);
  put16(to, float_to_half(d));
  put_codes<kBits>(to + 2, codes);
}

// Q4_1, Q5_1
template <uint32_t kBits>
void encode_ranged(const float* x, std::byte* to) {
  float d = 0, least = 0;
  const auto codes = ranged_codes(x, (1 << kBits) - 1, &d, &least);
  put16(to, float_to_half(d));
  put16(to + 2, float_to_half(least));
  put_codes<kBits>(to + 4, codes);
}

void encode_q8_0(const float* x, std::byte* to) {
  const float d = std::fabs(signed_largest(x)) / 127.0f;
  const float factor = inverse(d);
  put16(to, float_to_half(d));
  for (uint32_t i = 0; i < kBlock; ++i)
    to[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(x[i] * factor)));
}

// OCP MX: the largest weight's power of two, less that of the largest e2m1, 4 (it goes to 6). Codes are the nearest
// values, the first of two that are as near.
void encode_mxfp4(const float* x, std::byte* to) {
  static constexpr std::array<int32_t, 16> kTwice = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  const float most = std::fabs(signed_largest(x));
  const auto exponent = static_cast<uint8_t>(most > 0 ? std::floor(std::log2(most)) - 2 + 127 : 0);
  const float half_unit = std::ldexp(1.0f, exponent - 128);
  std::array<uint32_t, kBlock> codes{};
  for (uint32_t i = 0; i < kBlock; ++i) {
    float nearest = std::fabs(static_cast<float>(kTwice[0]) * half_unit - x[i]);
    for (uint32_t code = 1; code < 16; ++code) {
      const float distance = std::fabs(static_cast<float>(kTwice[code]) * half_unit - x[i]);
      if (distance >= nearest) continue;
      nearest = distance;
      codes[i] = code;
    }
  }
  to[0] = static_cast<std::byte>(exponent);
  put_nibbles(to + 1, codes);
}

struct Encoder {
  uint32_t type;
  const char* name;
  uint32_t file_type;                       // LLAMA_FTYPE_* of llama.h
  void (*block)(const float*, std::byte*);  // NULL: numbers by themselves
};

constexpr Encoder kEncoders[] = {{kGgmlF32, "F32", 0, nullptr},
                                 {kGgmlF16, "F16", 1, nullptr},
                                 {kGgmlBf16, "BF16", 32, nullptr},
                                 {kGgmlQ1_0, "Q1_0", 40, encode_q1_0},
                                 {kGgmlQ2_0, "Q2_0", 41, encode_q2_0},
                                 {kGgmlQ4_0, "Q4_0", 2, encode_centred<4>},
                                 {kGgmlQ4_1, "Q4_1", 3, encode_ranged<4>},
                                 {kGgmlQ5_0, "Q5_0", 8, encode_centred<5>},
                                 {kGgmlQ5_1, "Q5_1", 9, encode_ranged<5>},
                                 {kGgmlQ8_0, "Q8_0", 7, encode_q8_0},
                                 {kGgmlQ2_K, "Q2_K", 10, encode_q2_k},
                                 {kGgmlQ3_K, "Q3_K", 11, encode_q3_k},
                                 {kGgmlQ4_K, "Q4_K", 14, encode_q4_k},
                                 {kGgmlQ5_K, "Q5_K", 16, encode_q5_k},
                                 {kGgmlQ6_K, "Q6_K", 18, encode_q6_k},
                                 {kGgmlIq3S, "IQ3_S", 26, encode_iq3_s},
                                 {kGgmlIq4Nl, "IQ4_NL", 25, encode_iq4_nl},
                                 {kGgmlIq4Xs, "IQ4_XS", 30, encode_iq4_xs},
                                 {kGgmlTq1_0, "TQ1_0", 36, encode_tq1_0},
                                 {kGgmlTq2_0, "TQ2_0", 37, encode_tq2_0},
                                 {kGgmlMxfp4, "MXFP4", 38, encode_mxfp4}};

const Encoder* find_encoder(uint32_t type) {
  const auto* found =
      std::find_if(std::begin(kEncoders), std::end(kEncoders), [&](const Encoder& e) { return e.type == type; });
  return found == std::end(kEncoders) ? nullptr : found;
}

}  // namespace

bool can_encode(uint32_t ggml_type) { return find_encoder(ggml_type) != nullptr; }

std::string encodable_types() {
  std::string text;
  for (const Encoder& one : kEncoders) text += (text.empty() ? "" : ", ") + std::string(one.name);
  return text;
}

uint32_t encodable_type(const std::string& name) {
  std::string upper = name;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const Encoder& one : kEncoders) {
    if (upper == one.name) return one.type;
  }
  return UINT32_MAX;
}

uint32_t file_type_of(uint32_t ggml_type) { return find_encoder(ggml_type)->file_type; }

void encode_row(uint32_t ggml_type, const float* from, uint64_t count, std::byte* to) {
  const Encoder* encoder = find_encoder(ggml_type);
  if (encoder->block != nullptr) {
    const GgmlType& type = *find_ggml_type(ggml_type);
    for (uint64_t at = 0; at < count; at += type.block_numbers, to += type.block_bytes) encoder->block(from + at, to);
    return;
  }
  if (ggml_type == kGgmlF32) {
    std::memcpy(to, from, count * 4);
    return;
  }
  for (uint64_t i = 0; i < count; ++i)
    put16(to + 2 * i, ggml_type == kGgmlF16 ? float_to_half(from[i]) : float_to_bfloat(from[i]));
}

}  // namespace moevk::model
