// SPDX-License-Identifier: MIT
//
// Expert matrices through the expert table (docs/weights.md). A table entry leads to one piece of one expert's
// matrix: a device address, or (binding pass << 16 | window, offset in 16-byte units). Rows are padded to
// PAD_COLUMNS elements of zeros, so loops over columns have no tail. The piece must be uniform in a workgroup.

#ifdef MOE_WEIGHTS_BDA
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer WeightPiece { uvec4 data[]; };
uvec4 weight_word(uvec2 piece, uint index) { return WeightPiece(piece).data[index]; }
bool in_binding_pass(uvec2 piece, uint pass) { return true; }
#else
layout(set = 1, binding = 0, std430) readonly buffer WeightWindow { uvec4 data[]; } windows[MAX_BOUND_WINDOWS];
uvec4 weight_word(uvec2 piece, uint index) { return windows[piece.x & 0xFFFFu].data[piece.y + index]; }
bool in_binding_pass(uvec2 piece, uint pass) { return (piece.x >> 16) == pass; }
#endif

// 16-byte units in a padded row of `chunks` times 8 elements.
uint row_units(uint format, uint chunks) { return format == 0u ? chunks * 2u : chunks; }

vec4 decode_four(uint format, uint low, uint high) {
  if (format == 1u) {
    return vec4(half_to_float(low & 0xFFFFu), half_to_float(low >> 16), half_to_float(high & 0xFFFFu),
                half_to_float(high >> 16));
  }
  return uintBitsToFloat(uvec4(low << 16, low & 0xFFFF0000u, high << 16, high & 0xFFFF0000u));
}

// Elements 8 * chunk .. 8 * chunk + 7 of the row that starts at unit `row`.
void load_weights(uint format, uvec2 piece, uint row, uint chunk, out vec4 a, out vec4 b) {
  if (format == 0u) {
    a = uintBitsToFloat(weight_word(piece, row + 2u * chunk));
    b = uintBitsToFloat(weight_word(piece, row + 2u * chunk + 1u));
  } else {
    uvec4 words = weight_word(piece, row + chunk);
    a = decode_four(format, words.x, words.y);
    b = decode_four(format, words.z, words.w);
  }
}

// acc + <wa, xa> + <wb, xb> in a fixed order.
float dot8(float acc, vec4 wa, vec4 wb, vec4 xa, vec4 xb) {
  acc = fma(wa.x, xa.x, acc);
  acc = fma(wa.y, xa.y, acc);
  acc = fma(wa.z, xa.z, acc);
  acc = fma(wa.w, xa.w, acc);
  acc = fma(wb.x, xb.x, acc);
  acc = fma(wb.y, xb.y, acc);
  acc = fma(wb.z, xb.z, acc);
  return fma(wb.w, xb.w, acc);
}
