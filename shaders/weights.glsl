// SPDX-License-Identifier: MIT
//
// Expert matrices through the expert table (docs/weights.md). A table entry leads to one piece of one expert's
// matrix: a device address, or (binding pass << 16 | window, offset in 16-byte units). Rows are padded to
// PAD_COLUMNS elements of zeros, or are whole blocks, so loops over columns have no tail. The piece must be uniform
// in a workgroup. Before it come the table, whose beginning holds the codebooks, USES_FORMAT(number): whether the
// kernel was made for that format, and USES_RANGE(number): for an affine format of that range. All others then vanish
// when it is compiled.

#ifdef MOE_WEIGHTS_BDA
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer WeightPiece { uvec4 data[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer WeightWords { uint data[]; };
uvec4 weight_unit(uvec2 piece, uint index) { return WeightPiece(piece).data[index]; }
uint weight_word(uvec2 piece, uint index) { return WeightWords(piece).data[index]; }
bool in_binding_pass(uvec2 piece, uint pass) { return true; }
#else
layout(set = 1, binding = 0, std430) readonly buffer WeightWindow { uvec4 data[]; } windows[MAX_BOUND_WINDOWS];
layout(set = 1, binding = 0, std430) readonly buffer WordWindow { uint data[]; } word_windows[MAX_BOUND_WINDOWS];
uvec4 weight_unit(uvec2 piece, uint index) { return windows[piece.x & 0xFFFFu].data[piece.y + index]; }
uint weight_word(uvec2 piece, uint index) { return word_windows[piece.x & 0xFFFFu].data[piece.y * 4u + index]; }
bool in_binding_pass(uvec2 piece, uint pass) { return (piece.x >> 16) == pass; }
#endif

#define HAS_FORMAT(number) (USES_FORMAT(number) && format == (number))

#include "block_formats.glsl"

vec4 decode_four(uint format, uint low, uint high) {
  if (format == FORMAT_F16) {
    if (UNPACK_HALF != 0u) return vec4(unpackHalf2x16(low), unpackHalf2x16(high));
    return vec4(half_to_float(low & 0xFFFFu), half_to_float(low >> 16), half_to_float(high & 0xFFFFu),
                half_to_float(high >> 16));
  }
  return uintBitsToFloat(uvec4(low << 16, low & 0xFFFF0000u, high << 16, high & 0xFFFF0000u));
}

// 16-byte units in a row of `chunks` times 8 elements.
uint row_units(uint format, uint chunks) {
  if (format <= FORMAT_BF16) return format == FORMAT_F32 ? chunks * 2u : chunks;
  return (block_row_bytes(format, chunks) + 15u) / 16u;
}

// Elements 8 * chunk .. 8 * chunk + 7 of the row of `chunks` chunks that starts at unit `row`. Those of 16 bits come in
// two parts, so that a kernel can ask for several rows before it waits for the first.
uvec4 fetch_weights(uint format, uvec2 piece, uint row, uint chunk) {
  return HAS_FORMAT(FORMAT_F16) || HAS_FORMAT(FORMAT_BF16) ? weight_unit(piece, row + chunk) : uvec4(0u);
}
void load_weights(uint format, uvec4 fetched, uvec2 piece, uint row, uint chunks, uint chunk, out vec4 a, out vec4 b) {
  if (HAS_FORMAT(FORMAT_F32)) {
    a = uintBitsToFloat(weight_unit(piece, row + 2u * chunk));
    b = uintBitsToFloat(weight_unit(piece, row + 2u * chunk + 1u));
  } else if (HAS_FORMAT(FORMAT_F16) || HAS_FORMAT(FORMAT_BF16)) {
    a = decode_four(format, fetched.x, fetched.y);
    b = decode_four(format, fetched.z, fetched.w);
  } else {
    load_blocks(format, piece, 4u * row, chunks, chunk, a, b);
  }
}
void load_weights(uint format, uvec2 piece, uint row, uint chunks, uint chunk, out vec4 a, out vec4 b) {
  load_weights(format, fetch_weights(format, piece, row, chunk), piece, row, chunks, chunk, a, b);
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
