// SPDX-License-Identifier: MIT
//
// Numbers of the suite: f16 and bf16 conversions by integers (round to nearest even), and a
// generator of random numbers that gives the same values on every machine and compiler.
#ifndef MOE_TESTS_CONFORMANCE_NUMBERS_H_
#define MOE_TESTS_CONFORMANCE_NUMBERS_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "plugin_api/moe_plugin.h"

namespace moe_conformance {

inline float decode_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

inline uint16_t encode_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00u);
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 6.103515625e-5f) {  // subnormal: a multiple of 2^-24; nearbyint rounds to even
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(magnitude, 24))));
  }
  const uint32_t rest = bits & 0x7fffffffu;
  const uint32_t rounded = rest + 0xfffu + ((rest >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

inline float decode_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline uint16_t encode_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

inline size_t dtype_bytes(uint32_t dtype) { return dtype == MOE_DTYPE_F16 || dtype == MOE_DTYPE_BF16 ? 2 : 4; }

inline const char* dtype_name(uint32_t dtype) {
  switch (dtype) {
    case MOE_DTYPE_F32: return "f32";
    case MOE_DTYPE_F16: return "f16";
    case MOE_DTYPE_BF16: return "bf16";
    case MOE_DTYPE_I32: return "i32";
    default: return "?";
  }
}

// `value` as it is after a trip through `dtype`.
inline float round_to(uint32_t dtype, float value) {
  if (dtype == MOE_DTYPE_F16) return decode_f16(encode_f16(value));
  if (dtype == MOE_DTYPE_BF16) return decode_bf16(encode_bf16(value));
  return value;
}

inline void store(uint32_t dtype, void* at, float value) {
  if (dtype == MOE_DTYPE_F32) {
    std::memcpy(at, &value, sizeof value);
  } else {
    const uint16_t bits = dtype == MOE_DTYPE_F16 ? encode_f16(value) : encode_bf16(value);
    std::memcpy(at, &bits, sizeof bits);
  }
}

inline float load(uint32_t dtype, const void* at) {
  if (dtype == MOE_DTYPE_F32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == MOE_DTYPE_F16 ? decode_f16(bits) : decode_bf16(bits);
}

// splitmix64: small, and good enough to draw tests with.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // An independent stream for (seed, index, attempt).
  Random(uint64_t seed, uint64_t index, uint64_t attempt) : state_(seed) {
    state_ = next() ^ (index * 0x9e3779b97f4a7c15u);
    state_ = next() ^ (attempt * 0xc2b2ae3d27d4eb4fu);
  }
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((next() >> 32) * bound >> 32); }
  uint32_t between(uint32_t first, uint32_t last) { return first + below(last - first + 1); }
  bool chance(double probability) { return uniform() < probability; }
  template <class T, size_t N>
  T pick(const T (&values)[N]) {
    return values[below(static_cast<uint32_t>(N))];
  }
  // Mean 0, variance 1, never beyond 3.47: a sum of four uniform numbers.
  float normal() {
    const double sum = uniform() + uniform() + uniform() + uniform() - 2.0;
    return static_cast<float>(sum * 1.7320508075688772);
  }

 private:
  uint64_t state_;
};

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_NUMBERS_H_
