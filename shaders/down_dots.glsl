// SPDX-License-Identifier: MIT
//
// Down by integer dot products: codes of weights times codes of h (integer_dots.glsl), and the sums that must be made
// again in floats. Needs down_small.comp's push constants and lane_sums.

void add_dots(inout float sums[kAllSums], uint format, uvec2 piece, uint weight_rows[kRowsPerGroup], uint chunks,
              uint members[TOKENS_PER_GROUP], uint count, uint lane) {
  uint blocks = (chunks + 3u) / 4u, row_blocks = (p.h_stride4 + 7u) / 8u;
  for (uint block = lane; block < blocks; block += kLanes) {
    CodeBlock codes[kCodesHeld];
    [[unroll]] for (uint r = 0u; r < kRowsPerGroup; ++r) {
      WeightBlock w = load_weight_block(format, piece, weight_rows[r], chunks, block);
      [[unroll]] for (uint i = 0u; i < TOKENS_PER_GROUP; ++i) {
        if (i >= max(count, 1u)) break;
        uint held = kCodesHeld == 1u ? 0u : i;
        if (r == 0u) {
          codes[held] = load_codes(members[i] * code_row_words(row_blocks), row_blocks, block, is_interleaved(format));
        }
        uint at = r * TOKENS_PER_GROUP + i;
        sums[at] = dot_block(sums[at], format, w, codes[held]);
      }
    }
  }
}

// Of this invocation, before others read them.
void repair_sums(uint format, uvec2 piece, DownSegment s, uint group_row, uint piece_index,
                 uint members[TOKENS_PER_GROUP], uint lane) {
  for (uint i = 0u; i < kSums; ++i) {
    uint at = i * kStride + gl_LocalInvocationIndex;
    if (is_finite(lane_sums[at])) continue;
    uint stored_row = min(group_row + i / TOKENS_PER_GROUP, s.rows - 1u) - piece_index * s.rows_per_piece;
    uint weight_row = stored_row * row_units(format, s.chunks);
    uint h_row = pick(members, i % TOKENS_PER_GROUP) * p.h_stride4;
    float sum = 0.0;
    ADD_IN_FLOATS(sum, format, piece, weight_row, s.chunks, h_row)
    lane_sums[at] = sum;
  }
}
