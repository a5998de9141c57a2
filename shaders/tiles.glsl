// SPDX-License-Identifier: MIT
//
// Routes per expert -> offsets, tile list and indirect arguments, by one workgroup. An expert with n routes gets
// tiles of TILE_ROWS rows and one with the rest; the matmul runs a tile in the smallest class that holds its rows.
// Each invocation serves a run of neighbouring experts; sums over invocations are taken in order.
// Needs expert_count[], and the buffers offsets[], tiles[], indirect[].

shared uint run_routes[WORKGROUP];
shared uint run_tiles[WORKGROUP];

uint tiles_of(uint n) { return (n + TILE_ROWS - 1u) / TILE_ROWS; }

void make_tiles() {
  uint me = gl_LocalInvocationIndex;
  uint run = (p.experts_total + WORKGROUP - 1u) / WORKGROUP;
  uint first = min(me * run, p.experts_total);
  uint last = min(first + run, p.experts_total);
  uint routes = 0u;
  for (uint e = first; e < last; ++e) routes += expert_count[e];
  run_routes[me] = routes;
  barrier();
  uint begin = 0u;
  for (uint i = 0u; i < me; ++i) begin += run_routes[i];
  // Offsets that a host gave may be nonsense: together the experts get no more routes than there are.
  uint position = min(begin, p.routes), tile_count = 0u;
  for (uint e = first; e < last; ++e) {
    expert_count[e] = min(expert_count[e], p.routes - position);
    tile_count += tiles_of(expert_count[e]);
    position += expert_count[e];
  }
  run_tiles[me] = tile_count;
  barrier();
  uint tile = 0u;
  for (uint i = 0u; i < me; ++i) tile += run_tiles[i];
  position = min(begin, p.routes);
  for (uint e = first; e < last; ++e) {
    uint n = expert_count[e];
    offsets[e] = position;
    for (uint row = 0u; row < n; row += TILE_ROWS) {
      tiles[tile++] = uvec4(e, position + row, min(n - row, TILE_ROWS), 0u);
    }
    position += n;
  }
  if (me == WORKGROUP - 1u) {
    offsets[p.experts_total] = position;
    indirect[0] = tile;
    indirect[1] = p.gate_up_blocks;
    indirect[2] = 1u;
    indirect[3] = tile;
    indirect[4] = p.down_blocks;
    indirect[5] = 1u;
  }
}
