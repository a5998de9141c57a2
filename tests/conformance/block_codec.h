// SPDX-License-Identifier: MIT
//
// Matrices in GGUF's block formats: random blocks whose weights have a given size, and their values by the formats'
// definition, element by element in float64. Shares no code with the library, only the codebooks of the IQ formats,
// which are tables of facts.
#ifndef MOE_TESTS_CONFORMANCE_BLOCK_CODEC_H_
#define MOE_TESTS_CONFORMANCE_BLOCK_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/numbers.h"

namespace moe_conformance {

struct BlockKind {
  uint32_t ggml_type;
  const char* name;
  uint32_t elements;  // of a block
  uint32_t bytes;     // of a block
};

// All that the suite draws.
const std::vector<BlockKind>& block_kinds();
// NULL for plain formats.
const BlockKind* block_kind(const moe_weight_format& format);
moe_weight_format block_format(const BlockKind& kind);
std::string format_text(const moe_weight_format& format);

// Whole blocks for `elements` weights, of an RMS near `scale`.
std::vector<std::byte> draw_blocks(Random& random, const BlockKind& kind, size_t elements, float scale);
// Gives a block scales from the least to the largest that leave its weights finite.
void scale_block(Random& random, const BlockKind& kind, std::byte* block);
std::vector<float> decode_blocks(const BlockKind& kind, const std::vector<std::byte>& blocks);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_BLOCK_CODEC_H_
