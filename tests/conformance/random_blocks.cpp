// SPDX-License-Identifier: MIT
//
// The steps of random_layer.cpp that make a layer quantised: widths of whole blocks, then formats that fit them.
#include "tests/conformance/random_blocks.h"

#include <algorithm>
#include <vector>

#include "tests/conformance/affine_codec.h"
#include "tests/conformance/block_codec.h"

namespace moe_conformance {

namespace {

uint32_t whole(uint32_t width, uint32_t block) { return (width + block - 1) / block * block; }

// Widths become whole blocks, and experts and tokens fewer, so that the case stays cheap.
void make_whole(LayerCase& c, uint32_t block) {
  moe_layer_desc& d = c.desc;
  d.hidden = whole(std::min(d.hidden, 300u), block);
  d.intermediate = whole(std::min(d.intermediate, 300u), block);
  const double matrix = 3.0 * d.hidden * d.intermediate;
  while (matrix * d.experts > 2e6 && d.experts > 4) d.experts /= 2;
  d.top_k = std::min({d.top_k, d.experts + d.identity_experts, 8u});
  while (matrix * static_cast<double>(c.tokens) * d.top_k > 4e7 && c.tokens > 1) c.tokens /= 2;
}

}  // namespace

// Some layers are quantised. Drawn from a stream of its own. Returns the block, or 0.
uint32_t draw_block(LayerCase& c, Random& random) {
  static constexpr uint32_t kBlocks[] = {32, 64, 128, 256, 256};
  if (!random.chance(0.12)) return 0;
  const uint32_t block = random.pick(kBlocks);
  make_whole(c, block);
  return block;
}

bool draw_affine(LayerCase& c, Random& random) {
  if (!random.chance(0.06)) return false;
  make_whole(c, kAffineColumns);
  return true;
}

void draw_affine_formats(LayerCase& c, Random& random) {
  moe_layer_desc& d = c.desc;
  const auto one = [&] {
    moe_weight_format format = affine_formats()[random.below(static_cast<uint32_t>(affine_formats().size()))];
    if (d.gate_up_layout != MOE_GATE_UP_SEPARATE)
      format.block_rows = 0;  // a block must not have rows of gate and of up
    return format;
  };
  d.matrix_order = MOE_MATRIX_OUT_IN;
  d.gate_format = d.up_format = one();
  d.down_format = random.chance(0.2) ? plain_format(MOE_DTYPE_F16) : one();
  if (d.gate_up_layout == MOE_GATE_UP_SEPARATE && random.chance(0.5)) d.up_format = one();
  if (has_flag(d, MOE_LAYER_UNGATED)) d.gate_format = {};
  if (d.latent != 0) {
    d.latent = std::min(whole(d.latent, kAffineColumns), d.hidden);
    d.latent_down_format = one();
    d.latent_up_format = one();
  }
  if (d.shared_intermediate == 0) return;
  d.shared_intermediate = whole(d.shared_intermediate, kAffineColumns);
  d.shared_gate_format = d.gate_format;
  d.shared_up_format = d.up_format;
  d.shared_down_format = random.chance(0.7) ? d.down_format : one();
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
    d.latent = std::min(whole(d.latent, block), d.hidden);
    d.latent_down_format = one();
    if (random.chance(0.5)) d.latent_up_format = one();
  }
  if (d.shared_intermediate == 0) return;
  d.shared_intermediate = whole(d.shared_intermediate, block);
  d.shared_gate_format = d.gate_format;
  d.shared_up_format = d.up_format;
  d.shared_down_format = random.chance(0.7) ? d.down_format : one();
}

}  // namespace moe_conformance
