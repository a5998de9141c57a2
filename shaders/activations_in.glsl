// SPDX-License-Identifier: MIT
//
// A host's matrix of f32, f16 or bf16 rows, read from an array of words at any 4-byte offset and stride.
// Define X_WORDS as the array before including.

float x_element(uint dtype, uint row_word, uint column) {
  if (dtype == 0u) return uintBitsToFloat(X_WORDS[row_word + column]);
  uint word = X_WORDS[row_word + (column >> 1)];
  uint bits = (column & 1u) != 0u ? word >> 16 : word & 0xFFFFu;
  return dtype == 1u ? half_to_float(bits) : uintBitsToFloat(bits << 16);
}
