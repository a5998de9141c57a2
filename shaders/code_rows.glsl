// SPDX-License-Identifier: MIT
//
// Rows of activations as quantise.comp writes them, for who writes and who reads them.

// Words of a row of so many blocks of 32 columns: two orders of codes, (unit, sums) of each block, to 16 bytes.
uint code_row_words(uint blocks) { return 16u * blocks + (blocks + 1u) / 2u * 4u; }
