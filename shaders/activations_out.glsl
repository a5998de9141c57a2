// SPDX-License-Identifier: MIT
//
// y = out_scale * z + beta * residual for two neighbouring columns, stored as f32, f16 or bf16. Two at a time,
// so that no two invocations write to one word. Define Y_WORDS and RESIDUAL_WORDS before including; p.dtypes is a
// push constant, so that hosts with other types share pipelines.

uint y_dtype() { return p.dtypes & 15u; }
uint residual_dtype() { return p.dtypes >> 4; }

float residual_element(uint row_word, uint column) {
  if (residual_dtype() == 0u) return uintBitsToFloat(RESIDUAL_WORDS[row_word + column]);
  uint word = RESIDUAL_WORDS[row_word + (column >> 1)];
  uint bits = (column & 1u) != 0u ? word >> 16 : word & 0xFFFFu;
  return residual_dtype() == 1u ? half_to_float(bits) : uintBitsToFloat(bits << 16);
}

uint round_to_16_bits(float y) { return y_dtype() == 1u ? float_to_half(y) : float_to_bfloat(y); }

// y may be the residual: each word is read, then written, by one invocation. Keep it so.
// column is even; z holds the combined outputs of column and column + 1.
void store_pair(uint y_row_word, uint residual_row_word, uint column, uint columns, vec2 z, float out_scale,
                float beta) {
  bool second = column + 1u < columns;
  precise vec2 y = z * out_scale;
  if (residual_dtype() != NO_RESIDUAL) {
    vec2 residual = vec2(residual_element(residual_row_word, column),
                         second ? residual_element(residual_row_word, column + 1u) : 0.0);
    y = y + beta * residual;
  }
  y = vec2(canonical(y.x), canonical(y.y));
  if (y_dtype() == 0u) {
    Y_WORDS[y_row_word + column] = floatBitsToUint(y.x);
    if (second) Y_WORDS[y_row_word + column + 1u] = floatBitsToUint(y.y);
  } else {
    uint high = second ? round_to_16_bits(y.y) : 0u;
    Y_WORDS[y_row_word + (column >> 1)] = round_to_16_bits(y.x) | (high << 16);
  }
}
