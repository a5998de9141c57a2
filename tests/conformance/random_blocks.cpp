// SPDX-License-Identifier: MIT
//
// The steps of random_layer.cpp that make a layer quantised: widths of whole blocks, then formats that fit them.
#include "tests/conformance/random_blocks.h"

#include <algorithm>
#include <vector>

#include "tests/conformance/block_codec.h"

namespace moe_conformance {

// Some layers are quantised: widths become whole blocks, and experts and tokens fewer, so that the case stays cheap.
// Drawn from a stream of its own. Returns the block, or 0.
uint32_t draw_block(LayerCase& c, Random& random) {
  static constexpr uint32_t kBlocks[] = {32, 64, 128, 256, 256};
  if (!random.chance(0.12)) return 0;
  const uint32_t block = random.pick(kBlocks);
  moe_layer_desc& d = c.desc;
  const auto whole = [&](uint32_t width) { return (width + block - 1) / block * block; };
  d.hidden = whole(std::min(d.hidden, 300u));
  d.intermediate = whole(std::min(d.intermediate, 300u));
  const double matrix = 3.0 * d.hidden * d.intermediate;
  while (matrix * d.experts > 2e6 && d.experts > 4) d.experts /= 2;
  d.top_k = std::min({d.top_k, d.experts + d.identity_experts, 8u});
  while (matrix * static_cast<double>(c.tokens) * d.top_k > 4e7 && c.tokens > 1) c.tokens /= 2;
  return block;
}

// Formats whose blocks divide `block`; all widths are multiples of that.
void draw_block_formats(LayerCase& c, Random& random, uint32_t block) {
  moe_layer_desc& d = c.desc;
  std::vector<const BlockKind*> fitting;
  for (const BlockKind& kind : block_kinds()) {
    if (block % kind.elements == 0) fitting.push_back(&kind);
  }
  const auto one = [&] { return block_format(*fitting[random.below(static_cast<uint32_t>(fitting.size()))]); };
  d.matrix_order = MOE_MATRIX_OUT_IN;
  d.gate_format = d.up_format = d.down_format = one();
  if (random.chance(0.5)) d.down_format = random.chance(0.2) ? plain_format(MOE_DTYPE_F16) : one();
  if (d.gate_up_layout == MOE_GATE_UP_SEPARATE && !has_flag(d, MOE_LAYER_UNGATED) && random.chance(0.2)) {
    d.gate_format = random.chance(0.2) ? plain_format(MOE_DTYPE_BF16) : one();
  }
  if (random.chance(0.2)) c.weights.router_format = one();
  if (d.latent != 0) {
    d.latent = std::min((d.latent + block - 1) / block * block, d.hidden);
    d.latent_down_format = one();
    if (random.chance(0.5)) d.latent_up_format = one();
  }
  if (d.shared_intermediate == 0) return;
  d.shared_intermediate = (d.shared_intermediate + block - 1) / block * block;
  d.shared_gate_format = d.gate_format;
  d.shared_up_format = d.up_format;
  d.shared_down_format = random.chance(0.7) ? d.down_format : one();
}

}  // namespace moe_conformance
