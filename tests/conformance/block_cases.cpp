// SPDX-License-Identifier: MIT
//
// Three formats share a case, since each combination of formats is compiled anew.
#include "tests/conformance/block_cases.h"

#include "tests/conformance/block_codec.h"
#include "tests/conformance/random_layer.h"

namespace moe_conformance {
namespace {

LayerCase layer(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate, uint64_t tokens) {
  return softmax_layer(experts, top_k, hidden, intermediate, tokens, Random(1, 77, tokens), MOE_DTYPE_F32);
}

// Weights and inputs anew, after a change of the descriptor.
LayerCase redrawn(LayerCase c) {
  Random random(1, 78, c.tokens);
  const moe_weight_format router_format = c.weights.router_format;
  c.weights = {};
  c.weights.router_format = router_format;
  c.inputs = {};
  draw_weights(c, random);
  draw_inputs(c, random, 1);
  return c;
}

// The kinds first, first + 1 and first + 2 as gate, up and down.
LayerCase three_formats(size_t first, uint64_t tokens) {
  const auto format = [first](size_t i) { return block_format(block_kinds()[(first + i) % block_kinds().size()]); };
  // 512 columns: two blocks of the largest formats in a row, and an odd number of 16-byte units.
  LayerCase c = layer(5, 2, 512, 256, tokens);
  c.desc.gate_format = format(0);
  c.desc.up_format = format(1);
  c.desc.down_format = format(2);
  if (first == 9) {  // joins the routed experts: columns of down are cut between blocks
    c.desc.shared_intermediate = 512;
    c.desc.shared_gate_format = c.desc.gate_format;
    c.desc.shared_up_format = c.desc.up_format;
    c.desc.shared_down_format = c.desc.down_format;
  } else if (first == 12) {  // of formats of their own; and the router comes in blocks
    c.desc.shared_intermediate = 256;
    c.desc.shared_gate_format = c.desc.shared_up_format = format(2);
    c.weights.router_format = format(1);
  }
  return redrawn(std::move(c));
}

// One block of expert 1 has a NaN for a scale: tokens that go there become NaN, and no others.
LayerCase nan_scale(uint64_t tokens) {
  LayerCase c = layer(6, 1, 256, 64, tokens);
  c.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  c.desc.gate_format.preset = c.desc.up_format.preset = c.desc.down_format.preset = 1 + 8;  // Q8_0
  c = redrawn(std::move(c));
  const BlockKind& kind = *block_kind(c.desc.gate_format);
  const size_t block = (size_t{64} + 5) * 256 / kind.elements + 3;  // of row 5
  c.weights.blocks.gate[block * kind.bytes + 1] = std::byte{0x7E};
  c.weights.gate = decode_blocks(kind, c.weights.blocks.gate);
  for (uint64_t t = 0; t < tokens; ++t) c.inputs.logits[t * 6 + t % 6] = 20;
  return c;
}

}  // namespace

std::vector<FixedCase> block_cases() {
  std::vector<FixedCase> all;
  const size_t kinds = block_kinds().size();
  for (size_t first = 0; first < kinds; first += 3) {
    std::string name = "blocks_";
    for (size_t i = 0; i < 3; ++i) name += std::string(block_kinds()[(first + i) % kinds].name) + "_";
    for (const uint64_t tokens : {uint64_t{first % 2 == 0 ? 5u : 1u}, uint64_t{first % 2 == 0 ? 21u : 40u}}) {
      all.push_back({name + std::to_string(tokens), false, [=] { return three_formats(first, tokens); }});
    }
  }
  for (const uint64_t tokens : {9, 40}) {
    all.push_back({"blocks_nan_scale_" + std::to_string(tokens), false, [=] { return nan_scale(tokens); }});
  }
  return all;
}

}  // namespace moe_conformance
