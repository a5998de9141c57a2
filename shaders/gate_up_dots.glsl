// SPDX-License-Identifier: MIT
//
// Gate and up by integer dot products: codes of weights times codes of x (integer_dots.glsl), and the sums that must be
// made again in floats. Needs gate_up_small.comp's push constants and lane_sums, and latent_input.glsl.

void add_dots(inout float ups[kSums], inout float gates[kSums], uint up_format, uint gate_format, uvec2 up_piece,
              uvec2 gate_piece, uint up_rows[kRowsPerGroup], uint gate_rows[kRowsPerGroup], uint chunks,
              uint members[TOKENS_PER_GROUP], uint count, uint lane) {
  uint blocks = (chunks + 3u) / 4u;
  for (uint block = lane; block < blocks; block += kLanes) {
    CodeBlock codes[kCodesHeld];
    [[unroll]] for (uint r = 0u; r < kRowsPerGroup; ++r) {
      WeightBlock up = load_weight_block(up_format, up_piece, up_rows[r], chunks, block), gate;
      if (GATED != 0u) gate = load_weight_block(gate_format, gate_piece, gate_rows[r], chunks, block);
      [[unroll]] for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
        if (i >= max(count, 1u)) break;
        uint held = kCodesHeld == 1u ? 0u : i;
        if (r == 0u) {
          uint row = members[i] / p.slots * code_row_words(blocks);
          codes[held] = load_codes(row, blocks, block, is_interleaved(up_format));
        }
        uint at = r * TOKENS_PER_GROUP + i;
        ups[at] = dot_block(ups[at], up_format, up, codes[held]);
        if (GATED != 0u) gates[at] = dot_block(gates[at], gate_format, gate, codes[held]);
      }
    }
  }
}

// Of this invocation, before others read them.
void repair_sums(uint up_format, uint gate_format, uvec2 up_piece, uvec2 gate_piece, GateUpSegment s, uint group_row,
                 uint piece_index, uint members[TOKENS_PER_GROUP], uint lane) {
  const bool is_latent = false;  // plans give such layers no integers
  for (uint i = 0u; i < (GATED != 0u ? 2u : 1u) * kSums; ++i) {
    uint at = i * kStride + gl_LocalInvocationIndex;
    if (is_finite(lane_sums[at])) continue;
    bool is_gate = i >= kSums;
    uint format = is_gate ? gate_format : up_format, of_row = i % kSums / TOKENS_PER_GROUP;
    uint stored_row = min(group_row + of_row, s.intermediate - 1u) - piece_index * s.rows_per_piece;
    uint row = stored_row * row_units(format, s.chunks);
    uint x_row = p.x_offset4 + pick(members, i % TOKENS_PER_GROUP) / p.slots * p.x_stride4;
    float sum = 0.0;
    uvec2 piece = is_gate ? gate_piece : up_piece;
    ADD_IN_FLOATS(sum, format, piece, row, s.chunks, x_row)
    lane_sums[at] = sum;
  }
}
