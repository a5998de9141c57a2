// SPDX-License-Identifier: MIT
//
// Activations as the layer's precision has them, rounded where a matmul reads them (docs/semantics.md, Precision):
// PRECISION 0 as they are, 1 to the 11 significant bits of an f16 whose exponent stands apart, 2 to whole 127ths of
// the largest of 32 neighbours. Before including, define ACTIVATION(at) as the vec4 at `at`.

// To nearest even; no finite number becomes infinite.
float round_to_11_bits(float x) {
  uint bits = floatBitsToUint(x);
  if ((bits & 0x7F800000u) == 0x7F800000u) return x;
  uint rounded = (bits + 0xFFFu + ((bits >> 13) & 1u)) & 0xFFFFE000u;
  return uintBitsToFloat((rounded & 0x7F800000u) == 0x7F800000u ? bits & 0xFFFFE000u : rounded);
}

uint magnitude_bits(float x) {
  uint bits = floatBitsToUint(x) & 0x7FFFFFFFu;
  return bits > 0x7F800000u ? 0u : bits;  // NaN is nobody's largest
}

uint largest_bits(vec4 v) {
  return max(max(magnitude_bits(v.x), magnitude_bits(v.y)), max(magnitude_bits(v.z), magnitude_bits(v.w)));
}

// Blocks that hold an infinity, or nothing of 2^-100 and more, stay as they are.
float round_to_127ths(float x, uint largest) {
  if (is_nan(x) || largest >= 0x7F800000u || largest < 0x0D800000u) return x;
  float unit = uintBitsToFloat(largest) * (1.0 / 127.0);
  return roundEven(x / unit) * unit;
}

// a, b = columns 8 * chunk .. 8 * chunk + 7 of the row that begins at `row`, of `chunks` chunks. Names within begin with
// la_, since the arguments are the caller's words.
#define LOAD_ACTIVATIONS(row, chunk, chunks, a, b)                                \
  {                                                                               \
    uint la_row = row;                                                            \
    uint la_chunk = chunk;                                                        \
    a = ACTIVATION(la_row + 2u * la_chunk);                                       \
    b = ACTIVATION(la_row + 2u * la_chunk + 1u);                                  \
    if (PRECISION == 1u) {                                                        \
      for (uint la_j = 0u; la_j < 4u; ++la_j) {                                   \
        a[la_j] = round_to_11_bits(a[la_j]);                                      \
        b[la_j] = round_to_11_bits(b[la_j]);                                      \
      }                                                                           \
    }                                                                             \
    if (PRECISION == 2u) {                                                        \
      uint la_largest = 0u;                                                       \
      uint la_first = la_chunk & ~3u;                                             \
      uint la_end = 2u * min(la_first + 4u, chunks);                              \
      for (uint la_i = 2u * la_first; la_i < la_end; ++la_i) {                    \
        la_largest = max(la_largest, largest_bits(ACTIVATION(la_row + la_i)));    \
      }                                                                           \
      for (uint la_j = 0u; la_j < 4u; ++la_j) {                                   \
        a[la_j] = round_to_127ths(a[la_j], la_largest);                           \
        b[la_j] = round_to_127ths(b[la_j], la_largest);                           \
      }                                                                           \
    }                                                                             \
  }
