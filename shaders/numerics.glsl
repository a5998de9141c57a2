// SPDX-License-Identifier: MIT
//
// Numbers that come out close on every device: halves with their subnormals, exp and erf from our own
// polynomials (drivers' exp may err by 2|x| ulp), rounding to 16 bits to nearest even, ordered keys.

#define kInfinity uintBitsToFloat(0x7F800000u)

// One NaN for all: sign and payload of a NaN depend on the order of operands, which compilers choose.
#define kNan uintBitsToFloat(0x7FC00000u)

bool is_nan(float x) { return (floatBitsToUint(x) & 0x7FFFFFFFu) > 0x7F800000u; }

float canonical(float x) { return is_nan(x) ? kNan : x; }

// By integers where the device's own conversion may lose subnormals: those are float(mantissa) * 2^-24.
float half_to_float(uint h) {
  if (UNPACK_HALF != 0u) return unpackHalf2x16(h).x;
  uint sign = (h & 0x8000u) << 16;
  uint exponent = (h >> 10) & 31u;
  uint mantissa = h & 1023u;
  uint bits = exponent == 31u ? 0x7F800000u | (mantissa << 13) : ((exponent + 112u) << 23) | (mantissa << 13);
  if (exponent == 0u) bits = floatBitsToUint(float(mantissa) * 5.9604644775390625e-8);
  return uintBitsToFloat(sign | bits);
}

uint float_to_half(float x) {
  uint bits = floatBitsToUint(x);
  uint sign = (bits >> 16) & 0x8000u;
  uint magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7E00u;
  if (magnitude >= 0x477FF000u) return sign | 0x7C00u;  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {                        // subnormal half: a multiple of 2^-24
    return sign | uint(roundEven(uintBitsToFloat(magnitude) * 16777216.0));
  }
  uint rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return sign | ((rounded - 0x38000000u) >> 13);
}

uint float_to_bfloat(float x) {
  uint bits = floatBitsToUint(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

// 2^n * p(r), |r| <= ln2 / 2; relative error about 1e-8 before rounding. Subnormal results become 0.
float accurate_exp(float x) {
  if (is_nan(x)) return x;
  if (x > 88.72283) return kInfinity;
  if (x < -87.33654) return 0.0;
  float n = roundEven(x * 1.44269504);
  float r = fma(n, -0.693145752, x);  // ln 2 in two parts, the first exact for every n
  r = fma(n, -1.42860677e-6, r);
  float p = fma(r, 1.98992762e-4, 1.39336437e-3);
  p = fma(p, r, 8.33329848e-3);
  p = fma(p, r, 4.16664650e-2);
  p = fma(p, r, 1.66666667e-1);
  p = fma(p, r, 0.5);
  p = fma(p * r, r, r) + 1.0;
  int exponent = int(n);
  float half_scale = uintBitsToFloat(uint(exponent / 2 + 127) << 23);  // two steps: n reaches 128
  return p * half_scale * uintBitsToFloat(uint(exponent - exponent / 2 + 127) << 23);
}

float sigmoid(float x) { return 1.0 / (1.0 + accurate_exp(-x)); }

// x * Phi(x), with erfc for |x| >= sqrt 2 so that the negative tail keeps its relative accuracy.
float gelu_erf(float x) {
  float z = abs(x) * 0.707106781;
  if (z < 1.0) {
    float q = z * z;
    float p = fma(q, 7.88249702e-5, -8.01885497e-4);
    p = fma(p, q, 5.18931194e-3);
    p = fma(p, q, -2.68543288e-2);
    p = fma(p, q, 1.12835975e-1);
    p = fma(p, q, -3.76126269e-1);
    p = fma(p, q, 1.12837917);
    return 0.5 * x * (1.0 + sign(x) * z * p);
  }
  if (!(z < 10.0)) return is_nan(x) ? x : (x > 0.0 ? x : 0.0);
  float t = 1.0 / (1.0 + 0.5 * z);
  float p = fma(t, -0.0685169502, 0.213980265);
  p = fma(p, t, -0.183044682);
  p = fma(p, t, -0.0381389466);
  p = fma(p, t, 0.0134179498);
  p = fma(p, t, 0.0718178172);
  p = fma(p, t, 0.179808962);
  p = fma(p, t, 0.246264043);
  p = fma(p, t, 0.282144500);
  p = fma(p, t, 0.282092967);
  float half_erfc = 0.5 * accurate_exp(-z * z) * p * t;
  return x > 0.0 ? x * (1.0 - half_erfc) : x * half_erfc;
}

// Near 0 a continued fraction to the fifth term (relative error 1e-9 at 0.6), else through the exponential.
float accurate_tanh(float x) {
  if (is_nan(x)) return x;
  float a = abs(x);
  if (a < 0.6) {
    float z = x * x;
    return x * (fma(z, z + 105.0, 945.0) / fma(z, fma(15.0, z, 420.0), 945.0));
  }
  float t = 1.0 - 2.0 / (accurate_exp(2.0 * a) + 1.0);
  return x < 0.0 ? -t : t;
}

// log((1 + z) / (1 - z)) for |z| <= 1/3: 2 artanh z as a series, relative error 1e-9.
float log_ratio(float z) {
  float q = z * z;
  float p = fma(q, 1.0 / 17.0, 1.0 / 15.0);
  p = fma(p, q, 1.0 / 13.0);
  p = fma(p, q, 1.0 / 11.0);
  p = fma(p, q, 1.0 / 9.0);
  p = fma(p, q, 1.0 / 7.0);
  p = fma(p, q, 1.0 / 5.0);
  p = fma(p, q, 1.0 / 3.0);
  return 2.0 * fma(p * q, z, z);
}

// Of a positive normal number: 2^n m with m within [sqrt 1/2, sqrt 2).
float accurate_log(float x) {
  uint bits = floatBitsToUint(x) - 0x3F3504F3u;
  float n = float(int(bits) >> 23);
  float m = uintBitsToFloat((bits & 0x007FFFFFu) + 0x3F3504F3u);
  return fma(n, 0.693147181, log_ratio((m - 1.0) / (m + 1.0)));
}

// sqrt(log(1 + e^x)); far below 0, where the logarithm would underflow before the root, that is e^(x / 2).
float sqrt_softplus(float x) {
  if (is_nan(x)) return x;
  if (x < -16.0) return accurate_exp(0.5 * x);
  float t = accurate_exp(-abs(x));
  return sqrt(max(x, 0.0) + log_ratio(t / (2.0 + t)));
}

// Order of the selection: descending keys, NaN below -infinity, -0 equal to 0. No number has the key 0.
uint sortable_key(float x) {
  uint bits = floatBitsToUint(x);
  if (is_nan(x)) return 1u;
  if (bits == 0x80000000u) bits = 0u;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}
