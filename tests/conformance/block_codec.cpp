// SPDX-License-Identifier: MIT
//
// Weight `i` of a block, as ggml's formats define it (ggml-common.h of ggml 0.27): a block is a string of bits, lowest
// bit of the first byte first.
#include "tests/conformance/block_codec.h"

#include <algorithm>
#include <cmath>

#include "runtime/codebooks.h"
#include "tests/conformance/affine_codec.h"

namespace moe_conformance {
namespace {

using moevk::Codebook;

class Bits {
 public:
  explicit Bits(const std::byte* data) : data_(data) {}
  // `count` bits from bit `at` of byte `byte` on.
  uint32_t operator()(uint32_t byte, uint32_t at, uint32_t count) const {
    uint32_t value = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t bit = byte * 8 + at + i;
      value |= (static_cast<uint32_t>(data_[bit / 8]) >> (bit % 8) & 1u) << i;
    }
    return value;
  }
  double half(uint32_t byte) const {
    return static_cast<double>(decode_f16(static_cast<uint16_t>((*this)(byte, 0, 16))));
  }

 private:
  const std::byte* data_;
};

// Codes of `bits` bits that stand in runs: the first `stride` weights in the lowest bits of `stride` bytes, the next in
// the bits above.
uint32_t interleaved(const Bits& b, uint32_t byte, uint32_t bits, uint32_t stride, uint32_t i) {
  const uint32_t group = i / (stride * 8 / bits), within = i % (stride * 8 / bits);
  return b(byte + group * stride + within % stride, within / stride * bits, bits);
}

double iq4_level(uint32_t code) {
  static constexpr int kLevels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return kLevels[code];
}

double fp4(uint32_t code) {  // e2m1: sign, two bits of exponent, one of mantissa
  const uint32_t exponent = code >> 1 & 3, mantissa = code & 1;
  const double magnitude =
      exponent == 0 ? 0.5 * mantissa : std::ldexp(1 + 0.5 * mantissa, static_cast<int>(exponent) - 1);
  return (code & 8) != 0 ? -magnitude : magnitude;
}

double unsigned_e4m3(uint32_t x) {
  if (x == 127) return 0;
  const int exponent = static_cast<int>(x >> 3 & 15);
  return exponent == 0 ? std::ldexp(x & 7, -9) : std::ldexp(1 + (x & 7) / 8.0, exponent - 7);
}

bool odd(uint32_t x) { return (x ^= x >> 4, x ^= x >> 2, (x ^ x >> 1) & 1) != 0; }

// Element `i` of a code vector.
double of_book(Codebook book, uint32_t code, uint32_t i) {
  const uint32_t bits = moevk::codebook_width(book) == 8 ? 2 : 3;
  return moevk::codebook_value(book, moevk::codebook_levels(book, code) >> (i * bits) & ((1u << bits) - 1));
}

// A sign bit for each of 8 weights; of seven the last makes their number even.
double signed_by(uint32_t signs, uint32_t i) { return (signs >> i & 1) != 0 ? -1 : 1; }
double signed_by_seven(uint32_t signs, uint32_t i) { return i < 7 ? signed_by(signs, i) : odd(signs) ? -1 : 1; }

double scale_minus_minimum(const Bits& b, uint32_t run, uint32_t code) {  // Q4_K and Q5_K: d, dmin, 12 bytes
  const uint32_t low = run % 4;
  const bool second = run >= 4;
  const uint32_t scale = second ? b(12 + low, 0, 4) | b(4 + low, 6, 2) << 4 : b(4 + low, 0, 6);
  const uint32_t minimum = second ? b(12 + low, 4, 4) | b(8 + low, 6, 2) << 4 : b(8 + low, 0, 6);
  return b.half(0) * scale * code - b.half(2) * minimum;
}

double weight(uint32_t type, const Bits& b, uint32_t i) {
  switch (type) {
    case 2: return b.half(0) * (static_cast<int>(interleaved(b, 2, 4, 16, i)) - 8);
    case 3: return b.half(0) * interleaved(b, 4, 4, 16, i) + b.half(2);
    case 6: return b.half(0) * (static_cast<int>(interleaved(b, 6, 4, 16, i) + 16 * b(2, i, 1)) - 16);
    case 7: return b.half(0) * (interleaved(b, 8, 4, 16, i) + 16 * b(4, i, 1)) + b.half(2);
    case 8: return b.half(0) * static_cast<int8_t>(b(2 + i, 0, 8));
    case 10: return b.half(80) * b(i / 16, 0, 4) * interleaved(b, 16, 2, 32, i) - b.half(82) * b(i / 16, 4, 4);
    case 11: {
      const uint32_t run = i / 16;
      const uint32_t scale = b(96 + run % 8, run / 8 * 4, 4) | b(104 + run % 4, run / 4 * 2, 2) << 4;
      const int code = static_cast<int>(interleaved(b, 32, 2, 32, i)) - (b(i % 32, i / 32, 1) != 0 ? 0 : 4);
      return b.half(108) * (static_cast<int>(scale) - 32) * code;
    }
    case 12: return scale_minus_minimum(b, i / 32, interleaved(b, 16, 4, 32, i));
    case 13: return scale_minus_minimum(b, i / 32, interleaved(b, 48, 4, 32, i) + 16 * b(16 + i % 32, i / 32, 1));
    case 14: {
      const int code = static_cast<int>(interleaved(b, 0, 4, 64, i) | interleaved(b, 128, 2, 32, i) << 4) - 32;
      return b.half(208) * static_cast<int8_t>(b(192 + i / 16, 0, 8)) * code;
    }
    case 16: {  // 8 bytes for 32 weights: four codes, four times 7 signs, a scale
      const uint32_t at = 2 + i / 32 * 8, l = i / 8 % 4;
      return b.half(0) * (0.5 + b(at + 4, 28, 4)) * 0.25 * of_book(Codebook::kIq2Xxs, b(at + l, 0, 8), i % 8) *
             signed_by_seven(b(at + 4, 7 * l, 7), i % 8);
    }
    case 17: {
      const uint32_t at = 2 + i / 8 * 2;
      return b.half(0) * (0.5 + b(66, i / 16 * 4, 4)) * 0.25 * of_book(Codebook::kIq2Xs, b(at, 0, 9), i % 8) *
             signed_by_seven(b(at, 9, 7), i % 8);
    }
    case 18: {
      const uint32_t rest = 66 + i / 32 * 4;
      return b.half(0) * (0.5 + b(rest, 28, 4)) * 0.5 * of_book(Codebook::kIq3Xxs, b(2 + i / 4, 0, 8), i % 4) *
             signed_by_seven(b(rest, i / 8 % 4 * 7, 7), i % 8);
    }
    case 19: {
      const uint32_t word = 34 + i / 32 * 2;
      const uint32_t code = b(2 + i / 8, 0, 8) | b(word, i / 8 % 4 * 3, 3) << 8;
      return b.half(0) * (2 * b(word, 12, 3) + 1) *
             (of_book(Codebook::kIq1, code, i % 8) + (b(word, 15, 1) != 0 ? -0.125 : 0.125));
    }
    case 20: return b.half(0) * iq4_level(interleaved(b, 2, 4, 16, i));
    case 21: {
      const uint32_t code = b(2 + i / 4, 0, 8) | b(66, i / 4, 1) << 8;
      return b.half(0) * (1 + 2 * b(106, i / 32 * 4, 4)) * of_book(Codebook::kIq3S, code, i % 4) *
             signed_by(b(74 + i / 8, 0, 8), i % 8);
    }
    case 22: {
      const uint32_t code = b(2 + i / 8, 0, 8) | b(66, i / 8 * 2, 2) << 8;
      return b.half(0) * (0.5 + b(74, i / 16 * 4, 4)) * 0.25 * of_book(Codebook::kIq2S, code, i % 8) *
             signed_by(b(34 + i / 8, 0, 8), i % 8);
    }
    case 23: {
      const uint32_t scale = b(4, i / 32 * 4, 4) | b(2, i / 32 * 2, 2) << 4;
      return b.half(0) * (static_cast<int>(scale) - 32) * iq4_level(interleaved(b, 8, 4, 16, i));
    }
    case 29: {
      uint32_t half = 0;
      for (uint32_t word = 0; word < 4; ++word) half |= b(48 + 2 * word, 12, 4) << (4 * word);
      const double d = static_cast<double>(decode_f16(static_cast<uint16_t>(half)));
      const uint32_t scale = b(48 + i / 64 * 2, i / 16 % 4 * 3, 3);
      const uint32_t code = b(i / 8, 0, 8) | b(32, i / 8 * 4, 3) << 8;
      return d * (2 * scale + 1) *
             (of_book(Codebook::kIq1, code, i % 8) + (b(32, i / 8 * 4 + 3, 1) != 0 ? -0.125 : 0.125));
    }
    case 34: {  // q 3^n / 256, whose whole part modulo 3 is the digit
      const uint32_t byte = i < 160 ? i % 32 : i < 240 ? 32 + i % 16 : 48 + i % 4;
      const uint32_t digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
      const double power = std::pow(3.0, digit + 1);
      const double whole = std::floor(b(byte, 0, 8) * power / 256);
      return b.half(52) * (whole - 3 * std::floor(whole / 3) - 1);
    }
    case 35: return b.half(64) * (static_cast<int>(interleaved(b, 0, 2, 32, i)) - 1);
    case 39: return std::ldexp(fp4(interleaved(b, 1, 4, 16, i)), static_cast<int>(b(0, 0, 8)) - 127);
    case 40: return unsigned_e4m3(b(i / 16, 0, 8)) * fp4(interleaved(b, 4, 4, 8, i));
    case 41: return b.half(0) * (b(2, i, 1) != 0 ? 1 : -1);
    default: return b.half(0) * (static_cast<int>(b(2, 2 * i, 2)) - 1);  // 42, Q2_0
  }
}

void set_half(std::byte* block, uint32_t byte, double value) {
  const uint16_t bits = encode_f16(static_cast<float>(value));
  block[byte] = static_cast<std::byte>(bits);
  block[byte + 1] = static_cast<std::byte>(bits >> 8);
}

void set_nibble(std::byte* block, uint32_t byte, uint32_t high_nibble) {
  block[byte] = (block[byte] & std::byte{15}) | static_cast<std::byte>(high_nibble << 4);
}

// Sets a block's scales so that it is `factor` times what it is with scales of 1.
void set_scales(uint32_t type, std::byte* block, double factor) {
  switch (type) {
    case 3:
    case 7:
      set_half(block, 0, factor);
      set_half(block, 2, factor * (type == 3 ? -7.5 : -15.5));
      return;
    case 10:
      set_half(block, 80, factor);
      set_half(block, 82, factor);
      return;
    case 12:
    case 13:
      set_half(block, 0, factor);
      set_half(block, 2, factor);
      return;
    case 11: return set_half(block, 108, factor);
    case 14: return set_half(block, 208, factor);
    case 29: {
      const uint16_t half = encode_f16(static_cast<float>(factor));
      for (uint32_t word = 0; word < 4; ++word) set_nibble(block, 49 + 2 * word, half >> (4 * word) & 15u);
      return;
    }
    case 34: return set_half(block, 52, factor);
    case 35: return set_half(block, 64, factor);
    case 39: {
      const int exponent = static_cast<int>(std::lround(std::log2(std::fabs(factor))));
      block[0] = static_cast<std::byte>(127 + std::clamp(exponent, -127, 127));
      return;
    }
    case 40:
      for (uint32_t run = 0; run < 4; ++run) {
        uint32_t best = 1;
        for (uint32_t x = 1; x < 127; ++x) {
          const double target = std::fabs(factor) * (1 + 0.25 * run);
          if (std::fabs(unsigned_e4m3(x) - target) < std::fabs(unsigned_e4m3(best) - target)) best = x;
        }
        block[run] = static_cast<std::byte>(best);
      }
      return;
    default: return set_half(block, 0, factor);
  }
}

}  // namespace

const std::vector<BlockKind>& block_kinds() {
  static const std::vector<BlockKind> all = {
      {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34},      {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},
      {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
      {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
      {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {29, "IQ1_M", 256, 56},   {34, "TQ1_0", 256, 54},
      {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
      {42, "Q2_0", 64, 18}};
  return all;
}

const BlockKind* block_kind(const moe_weight_format& format) {
  const auto& all = block_kinds();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const BlockKind& k) { return format.preset == 1 + k.ggml_type; });
  return found == all.end() ? nullptr : &*found;
}

moe_weight_format block_format(const BlockKind& kind) {
  moe_weight_format format{};
  format.preset = 1 + kind.ggml_type;
  return format;
}

std::string format_text(const moe_weight_format& format) {
  if (is_affine(format)) return affine_text(format);
  const BlockKind* kind = block_kind(format);
  return kind != nullptr ? kind->name : dtype_name(format.element);
}

std::vector<std::byte> draw_blocks(Random& random, const BlockKind& kind, size_t elements, float scale) {
  std::vector<std::byte> blocks(elements / kind.elements * kind.bytes);
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(random.next() >> 32);
  for (size_t at = 0; at < blocks.size(); at += kind.bytes) {
    std::byte* block = blocks.data() + at;
    set_scales(kind.ggml_type, block, 1);
    double squares = 0;
    for (uint32_t i = 0; i < kind.elements; ++i) squares += std::pow(weight(kind.ggml_type, Bits(block), i), 2);
    const double rms = std::max(std::sqrt(squares / kind.elements), 1e-3);
    const double sign = random.chance(0.5) ? -1 : 1;
    set_scales(kind.ggml_type, block, sign * (0.5 + random.uniform()) * static_cast<double>(scale) / rms);
  }
  return blocks;
}

void scale_block(Random& random, const BlockKind& kind, std::byte* block) {
  if (kind.ggml_type == 39) {  // MXFP4's reach further: from where a device may have 0 for a subnormal weight
    block[0] = static_cast<std::byte>(random.below(251));
    return;
  }
  const double sign = random.chance(0.5) ? -1 : 1;
  set_scales(kind.ggml_type, block, sign * std::ldexp(1 + random.uniform(), static_cast<int>(random.below(36)) - 24));
}

std::vector<float> decode_blocks(const BlockKind& kind, const std::vector<std::byte>& blocks) {
  std::vector<float> values;
  values.reserve(blocks.size() / kind.bytes * kind.elements);
  for (size_t at = 0; at < blocks.size(); at += kind.bytes) {
    for (uint32_t i = 0; i < kind.elements; ++i) {
      values.push_back(static_cast<float>(weight(kind.ggml_type, Bits(blocks.data() + at), i)));
    }
  }
  return values;
}

}  // namespace moe_conformance
