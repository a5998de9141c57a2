// SPDX-License-Identifier: MIT
//
// Scalar decoding of block formats: the formulas of ggml 0.27 (dequantize_row_* of ggml-quants.c), with its order of
// operations, each rounded to float32. Compiled without contraction: a fused multiply-add would round once.
#include <array>
#include <bit>
#include <cstring>

#include "runtime/block_format.h"
#include "runtime/codebooks.h"

namespace moevk {
namespace {

using Bytes = const uint8_t*;

uint32_t load16(Bytes p) { return p[0] | uint32_t{p[1]} << 8; }
uint32_t load32(Bytes p) { return load16(p) | load16(p + 2) << 16; }
float half_at(Bytes p) { return half_to_float(static_cast<uint16_t>(load16(p))); }

// Numbers of 1, 2 or 4 bits in the order of BlockField.
uint32_t number(Bytes p, uint32_t bits, uint32_t stride, uint32_t n) {
  const uint32_t per = 8 / bits;
  return p[n / (stride * per) * stride + n % stride] >> (n / stride % per * bits) & ((1u << bits) - 1);
}

constexpr std::array<int8_t, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
constexpr std::array<int8_t, 16> kFp4Doubled = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e - 128): half of the scale that the byte stands for, since the levels are doubled. No byte is a NaN.
float e8m0_half(uint32_t e) { return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23); }

// Half of an unsigned e4m3: the top bit is ignored, but for that 127, e4m3's NaN, is 0 and 255 is a number.
float e4m3_half(uint32_t x) {
  if (x == 127) return 0;
  const uint32_t exponent = x >> 3 & 15, mantissa = x & 7;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return std::bit_cast<float>((exponent + 119) << 23 | mantissa << 20);
}

// 6-bit scale and minimum of the run `j` of 32 elements of a Q4_K or Q5_K block.
void k_scale(Bytes q, uint32_t j, uint32_t* scale, uint32_t* minimum) {
  if (j < 4) {
    *scale = q[j] & 63u;
    *minimum = q[j + 4] & 63u;
  } else {
    *scale = (q[j + 4] & 15u) | (q[j - 4] >> 6) << 4;
    *minimum = uint32_t{q[j + 4]} >> 4 | (q[j] >> 6) << 4;
  }
}

template <class Code>
void scaled(uint32_t count, float d, float* y, Code code) {
  for (uint32_t i = 0; i < count; ++i) y[i] = static_cast<float>(code(i)) * d;
}

template <class Code>
void scaled_and_shifted(uint32_t count, float d, float m, float* y, Code code) {
  for (uint32_t i = 0; i < count; ++i) {
    const float product = static_cast<float>(code(i)) * d;
    y[i] = product + m;
  }
}

void decode_q2_k(Bytes b, float* y) {
  const float d = half_at(b + 80), least = half_at(b + 82);
  for (uint32_t run = 0; run < 16; ++run) {
    const float dl = d * static_cast<float>(b[run] & 15), ml = least * static_cast<float>(b[run] >> 4);
    scaled_and_shifted(16, dl, -ml, y + run * 16, [&](uint32_t i) { return number(b + 16, 2, 32, run * 16 + i); });
  }
}

void decode_q3_k(Bytes b, float* y) {
  const float d = half_at(b + 108);
  for (uint32_t run = 0; run < 16; ++run) {
    const uint32_t six = number(b + 96, 4, 8, run) | number(b + 104, 2, 4, run) << 4;
    scaled(16, d * static_cast<float>(static_cast<int32_t>(six) - 32), y + run * 16, [&](uint32_t i) {
      const uint32_t n = run * 16 + i;
      return static_cast<int32_t>(number(b + 32, 2, 32, n) | number(b, 1, 32, n) << 2) - 4;
    });
  }
}

void decode_q4_q5_k(Bytes b, bool five, float* y) {
  const float d = half_at(b), least = half_at(b + 2);
  for (uint32_t run = 0; run < 8; ++run) {
    uint32_t scale = 0, minimum = 0;
    k_scale(b + 4, run, &scale, &minimum);
    const float m = least * static_cast<float>(minimum);
    scaled_and_shifted(32, d * static_cast<float>(scale), -m, y + run * 32, [&](uint32_t i) {
      const uint32_t n = run * 32 + i;
      return five ? number(b + 48, 4, 32, n) | number(b + 16, 1, 32, n) << 4 : number(b + 16, 4, 32, n);
    });
  }
}

void decode_q6_k(Bytes b, float* y) {
  const float d = half_at(b + 208);
  for (uint32_t run = 0; run < 16; ++run) {
    const float dl = d * static_cast<float>(static_cast<int8_t>(b[192 + run]));
    scaled(16, dl, y + run * 16, [&](uint32_t i) {
      const uint32_t n = run * 16 + i;
      return static_cast<int32_t>(number(b, 4, 64, n) | number(b + 128, 2, 32, n) << 4) - 32;
    });
  }
}

void decode_iq4_xs(Bytes b, float* y) {
  const float d = half_at(b);
  for (uint32_t run = 0; run < 8; ++run) {
    const uint32_t six = (b[4 + run / 2] >> (run % 2 * 4) & 15u) | (load16(b + 2) >> (2 * run) & 3) << 4;
    const float dl = d * static_cast<float>(static_cast<int32_t>(six) - 32);
    scaled(32, dl, y + run * 32, [&](uint32_t i) { return kIq4Levels[number(b + 8, 4, 16, run * 32 + i)]; });
  }
}

// A code vector times `d`, with a sign bit for each element.
void code_vector(Codebook book, uint32_t code, uint32_t signs, float d, float* y) {
  const uint32_t width = codebook_width(book), bits = width == 8 ? 2 : 3;
  const uint32_t levels = codebook_levels(book, code);
  for (uint32_t i = 0; i < width; ++i) {
    const int32_t value = codebook_value(book, levels >> (i * bits) & ((1u << bits) - 1));
    y[i] = d * static_cast<float>((signs >> i & 1) != 0 ? -value : value);
  }
}

// Seven signs; the eighth makes the number of minuses even.
uint32_t even_signs(uint32_t seven) { return seven | (static_cast<uint32_t>(std::popcount(seven)) & 1) << 7; }

void decode_iq2_xxs(Bytes b, float* y) {
  const float d = half_at(b);
  for (uint32_t run = 0; run < 8; ++run) {
    const Bytes p = b + 2 + run * 8;
    const uint32_t rest = load32(p + 4);
    const float db = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (uint32_t l = 0; l < 4; ++l)
      code_vector(Codebook::kIq2Xxs, p[l], even_signs(rest >> (7 * l) & 127), db, y + run * 32 + l * 8);
  }
}

void decode_iq2_xs_s(Bytes b, bool s, float* y) {
  const float d = half_at(b);
  for (uint32_t c = 0; c < 32; ++c) {
    const uint32_t scale = b[(s ? 74 : 66) + c / 4] >> (c / 2 % 2 * 4) & 15u;
    const float db = d * (0.5f + static_cast<float>(scale)) * 0.25f;
    if (s) {
      const uint32_t code = b[2 + c] | (b[66 + c / 4] >> (c % 4 * 2) & 3u) << 8;
      code_vector(Codebook::kIq2S, code, b[34 + c], db, y + c * 8);
    } else {
      const uint32_t word = load16(b + 2 + c * 2);
      code_vector(Codebook::kIq2Xs, word & 511, even_signs(word >> 9), db, y + c * 8);
    }
  }
}

void decode_iq3_xxs(Bytes b, float* y) {
  const float d = half_at(b);
  for (uint32_t c = 0; c < 32; ++c) {
    const uint32_t rest = load32(b + 66 + c / 4 * 4);
    const float db = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    const uint32_t signs = even_signs(rest >> (c % 4 * 7) & 127);
    code_vector(Codebook::kIq3Xxs, b[2 + 2 * c], signs, db, y + c * 8);
    code_vector(Codebook::kIq3Xxs, b[3 + 2 * c], signs >> 4, db, y + c * 8 + 4);
  }
}

void decode_iq3_s(Bytes b, float* y) {
  const float d = half_at(b);
  for (uint32_t n = 0; n < 64; ++n) {
    const uint32_t scale = b[106 + n / 16] >> (n / 8 % 2 * 4) & 15u;
    const uint32_t code = b[2 + n] | (b[66 + n / 8] >> (n % 8) & 1u) << 8;
    const uint32_t signs = b[74 + n / 2] >> (n % 2 * 4);
    code_vector(Codebook::kIq3S, code, signs, d * static_cast<float>(1 + 2 * scale), y + n * 4);
  }
}

// A code vector of -1, 0 and 1, moved by an eighth.
void ternary_vector(uint32_t code, bool down, float d, float* y) {
  const uint32_t levels = codebook_levels(Codebook::kIq1, code);
  for (uint32_t i = 0; i < 8; ++i) {
    const auto value = static_cast<float>(codebook_value(Codebook::kIq1, levels >> (2 * i) & 3));
    y[i] = d * (value + (down ? -0.125f : 0.125f));
  }
}

void decode_iq1_s(Bytes b, float* y) {
  const float d = half_at(b);
  for (uint32_t c = 0; c < 32; ++c) {
    const uint32_t word = load16(b + 34 + c / 4 * 2);
    const uint32_t code = b[2 + c] | (word >> (c % 4 * 3) & 7) << 8;
    ternary_vector(code, (word & 0x8000u) != 0, d * static_cast<float>(2 * (word >> 12 & 7) + 1), y + c * 8);
  }
}

void decode_iq1_m(Bytes b, float* y) {
  const Bytes words = b + 48;
  uint32_t half = 0;  // the top four bits of each word
  for (uint32_t i = 0; i < 4; ++i) half |= (load16(words + 2 * i) >> 12) << (4 * i);
  const float d = half_to_float(static_cast<uint16_t>(half));
  for (uint32_t c = 0; c < 32; ++c) {
    const uint32_t scale = load16(words + c / 8 * 2) >> (c / 2 % 4 * 3) & 7;
    const uint32_t high = b[32 + c / 2] >> (c % 2 * 4);
    ternary_vector(b[c] | (high & 7) << 8, (high & 8) != 0, d * static_cast<float>(2 * scale + 1), y + c * 8);
  }
}

// Five digits in base 3 a byte, as the fraction that the byte is of 256; four in each of the last bytes.
void decode_tq1_0(Bytes b, float* y) {
  static constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
  const float d = half_at(b + 52);
  scaled(256, d, y, [&](uint32_t n) {
    const uint32_t byte = n < 160 ? n % 32 : n < 240 ? 32 + (n - 160) % 16 : 48 + (n - 240) % 4;
    const uint32_t digit = n < 160 ? n / 32 : n < 240 ? (n - 160) / 16 : (n - 240) / 4;
    const auto rest = static_cast<uint8_t>(b[byte] * kPowers[digit]);
    return static_cast<int32_t>(rest * 3u >> 8) - 1;
  });
}

}  // namespace

void decode_block(const BlockFormat& format, const std::byte* block, float* y) {
  const auto b = reinterpret_cast<Bytes>(block);
  const auto digits = [&](uint32_t bits, uint32_t stride, uint32_t at, int32_t centre) {
    return [=](uint32_t i) { return static_cast<int32_t>(number(b + at, bits, stride, i)) - centre; };
  };
  const auto five = [&](uint32_t high, uint32_t low, int32_t centre) {
    return [=](uint32_t i) {
      return static_cast<int32_t>(number(b + low, 4, 16, i) | (load32(b + high) >> i & 1) << 4) - centre;
    };
  };
  switch (format.format) {
    case WeightFormat::kQ4_0: return scaled(32, half_at(b), y, digits(4, 16, 2, 8));
    case WeightFormat::kQ4_1: return scaled_and_shifted(32, half_at(b), half_at(b + 2), y, digits(4, 16, 4, 0));
    case WeightFormat::kQ5_0: return scaled(32, half_at(b), y, five(2, 6, 16));
    case WeightFormat::kQ5_1: return scaled_and_shifted(32, half_at(b), half_at(b + 2), y, five(4, 8, 0));
    case WeightFormat::kQ8_0:
      return scaled(32, half_at(b), y, [&](uint32_t i) { return static_cast<int8_t>(b[2 + i]); });
    case WeightFormat::kQ2K: return decode_q2_k(b, y);
    case WeightFormat::kQ3K: return decode_q3_k(b, y);
    case WeightFormat::kQ4K: return decode_q4_q5_k(b, false, y);
    case WeightFormat::kQ5K: return decode_q4_q5_k(b, true, y);
    case WeightFormat::kQ6K: return decode_q6_k(b, y);
    case WeightFormat::kIq2Xxs: return decode_iq2_xxs(b, y);
    case WeightFormat::kIq2Xs: return decode_iq2_xs_s(b, false, y);
    case WeightFormat::kIq2S: return decode_iq2_xs_s(b, true, y);
    case WeightFormat::kIq3Xxs: return decode_iq3_xxs(b, y);
    case WeightFormat::kIq3S: return decode_iq3_s(b, y);
    case WeightFormat::kIq1S: return decode_iq1_s(b, y);
    case WeightFormat::kIq1M: return decode_iq1_m(b, y);
    case WeightFormat::kIq4Nl:
      return scaled(32, half_at(b), y, [&](uint32_t i) { return kIq4Levels[number(b + 2, 4, 16, i)]; });
    case WeightFormat::kIq4Xs: return decode_iq4_xs(b, y);
    case WeightFormat::kTq1_0: return decode_tq1_0(b, y);
    case WeightFormat::kTq2_0: return scaled(256, half_at(b + 64), y, digits(2, 32, 0, 1));
    case WeightFormat::kMxfp4:
      return scaled(32, e8m0_half(b[0]), y, [&](uint32_t i) { return kFp4Doubled[number(b + 1, 4, 16, i)]; });
    case WeightFormat::kNvfp4:
      for (uint32_t run = 0; run < 4; ++run) {
        scaled(16, e4m3_half(b[run]), y + run * 16,
               [&](uint32_t i) { return kFp4Doubled[number(b + 4, 4, 8, run * 16 + i)]; });
      }
      return;
    case WeightFormat::kQ1_0:
      return scaled(128, half_at(b), y, [&](uint32_t i) { return (b[2 + i / 8] >> (i % 8) & 1) != 0 ? 1 : -1; });
    case WeightFormat::kQ2_0: return scaled(64, half_at(b), y, digits(2, 1, 2, 1));
    case WeightFormat::kF32:
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
    case WeightFormat::kInt2:
    case WeightFormat::kInt4:
    case WeightFormat::kInt8:
    case WeightFormat::kE4m3:
    case WeightFormat::kE5m2:
    case WeightFormat::kE2m1: return;  // no blocks
  }
}

}  // namespace moevk
