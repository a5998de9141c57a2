// SPDX-License-Identifier: MIT
//
// What the tiled matmuls share. A tile is up to TILE_ROWS rows of one expert by TILE_COLUMNS outputs; TILE_DEPTH
// columns of the input at a time go through shared memory. 8 x 16 invocations; each makes 1, 2 or 4 rows (the
// tile's class) by 4 outputs, every output summed over depth in order: a tile's class does not change a bit.
// A projection to or from the latent space is one expert that has every token, in order: no sort is read.
// Needs order[] and tiles[].

const uint kRowStride = TILE_ROWS + 1u;
const uint kColumnStride = TILE_COLUMNS + 1u;
const uint kChunks = TILE_DEPTH / 8u;  // of 8 elements
const bool kProjects = LATENT == LATENT_PROJECTION;

shared float row_tile[TILE_DEPTH * kRowStride];  // [depth, row]

// expert, first sorted route, rows
uvec4 tile_of_workgroup() {
  uint first = gl_WorkGroupID.x * TILE_ROWS;
  if (kProjects) return uvec4(0u, first, min(p.routes - first, TILE_ROWS), 0u);
  return tiles[gl_WorkGroupID.x];
}

uint route_at(uint sorted) { return kProjects ? sorted : min(order[sorted], p.routes - 1u); }

uint rows_per_invocation(uint rows) { return rows > 16u ? 4u : rows > 8u ? 2u : 1u; }

void store_row_chunk(uint row, uint chunk, vec4 a, vec4 b) {
  for (uint j = 0u; j < 4u; ++j) {
    row_tile[(chunk * 8u + j) * kRowStride + row] = a[j];
    row_tile[(chunk * 8u + 4u + j) * kRowStride + row] = b[j];
  }
}

#define STORE_COLUMN_CHUNK(tile, column, chunk, a, b)                     \
  for (uint j = 0u; j < 4u; ++j) {                                        \
    tile[((chunk) * 8u + j) * kColumnStride + (column)] = a[j];           \
    tile[((chunk) * 8u + 4u + j) * kColumnStride + (column)] = b[j];      \
  }
