// SPDX-License-Identifier: MIT
//
// Decoding of each block format and each affine one on a device, bit for bit. The rows of x are plus and minus one in
// one column, there is one expert, up has the format, down is the identity and the activation is relu: y is then up
// itself, part by part, without any rounding. Compared with the reference, whose decoding a unit test compares with
// ggml's. Scales are random halves, subnormal ones among them.
#include "tests/conformance/block_decode_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/conformance/affine_codec.h"
#include "tests/conformance/block_codec.h"

namespace moe_conformance {
namespace {

constexpr uint32_t kColumns = 512, kRows = 64;

LayerCase without_weights(const moe_weight_format& format, uint64_t tokens) {
  LayerCase c;
  c.name = format_text(format);
  c.desc = MOE_INIT(moe_layer_desc);
  c.desc.experts = c.desc.top_k = 1;
  c.desc.hidden = kColumns;
  c.desc.intermediate = kRows;
  c.desc.route_source = MOE_ROUTE_DENSE;
  c.desc.flags = MOE_LAYER_UNGATED;
  c.desc.activation = MOE_ACTIVATION_RELU;
  c.desc.up_format = format;
  c.tokens = tokens;
  c.weights.down.assign(size_t{kColumns} * kRows, 0);
  for (size_t i = 0; i < kRows; ++i) c.weights.down[i * kRows + i] = 1;
  c.inputs.x.assign(tokens * kColumns, 0);
  for (size_t t = 0; t < tokens; ++t) {
    // A different column for each two tokens; with few tokens some from every part of a row.
    const size_t column = tokens < 16 ? (t / 2 * 173 + 5) % kColumns : t / 2;
    c.inputs.x[t * kColumns + column] = t % 2 == 0 ? 1.0f : -1.0f;
  }
  return c;
}

LayerCase one_format(const BlockKind& kind, uint64_t tokens) {
  LayerCase c = without_weights(block_format(kind), tokens);
  Random random(11, kind.ggml_type, tokens);
  std::vector<std::byte>& blocks = c.weights.blocks.up;
  blocks = draw_blocks(random, kind, size_t{kRows} * kColumns, 1);
  const size_t all = blocks.size() / kind.bytes;
  for (size_t i = 0; i < all; ++i) {  // down to 2^-24, up to what stays finite
    if (i % 4 != 0) scale_block(random, kind, blocks.data() + i * kind.bytes);
  }
  c.weights.up = decode_blocks(kind, blocks);
  return c;
}

// Every finite code comes, those of the least fp8 numbers too; scales as of blocks.
LayerCase one_affine_format(const moe_weight_format& format, uint64_t tokens) {
  LayerCase c = without_weights(format, tokens);
  Random random(12, tokens, format.bits);
  const AffineShape shape = {1, kRows, kColumns};
  AffineParts& parts = c.weights.parts.up;
  std::vector<std::byte>& codes = c.weights.blocks.up;
  codes = draw_affine(random, format, shape, 1, parts);
  const uint32_t last = format.element == MOE_ELEMENT_FP8_E4M3   ? 0x7E
                        : format.element == MOE_ELEMENT_FP8_E5M2 ? 0x7B
                                                                 : 0x7F;
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::byte>(std::min(static_cast<uint32_t>(i & 127), last) | (i & 128));
  }
  for (size_t at = 0; at < parts.scales.size(); at += affine_scale_bytes(format)) {
    const double sign = random.chance(0.5) ? -1 : 1;
    const double scale = sign * std::ldexp(1 + random.uniform(), static_cast<int>(random.below(36)) - 24);
    store_scale(format, parts.scales.data() + at, scale);
  }
  c.weights.up = decode_affine(format, shape, codes, parts);
  return c;
}

void compare_decoding(Session& s, const LayerCase& c, CaseResult& result) {
  const char* name = c.name.c_str();
  const uint64_t tokens = c.tokens;
  DeviceRunner device(s.api, s.device.get(), c), reference(s.api, s.reference.get(), c);
  const std::vector<std::byte> ours = device.forward_y_alone(c.inputs, tokens, Arrangement{}),
                               want = reference.forward_y_alone(c.inputs, tokens, Arrangement{});
  size_t different = 0, first = 0, positive = 0;
  for (size_t i = 0; i < want.size(); i += sizeof(float)) {
    float a = 0, b = 0;
    std::memcpy(&a, ours.data() + i, sizeof a);
    std::memcpy(&b, want.data() + i, sizeof b);
    positive += b > 0 ? 1 : 0;
    const bool subnormal = b < 0x1p-126f && a == 0;
    if (a == b || subnormal) continue;
    if (different++ == 0) first = i / sizeof(float);
  }
  if (different != 0) {
    float a = 0, b = 0;
    std::memcpy(&a, ours.data() + first * sizeof a, sizeof a);
    std::memcpy(&b, want.data() + first * sizeof b, sizeof b);
    fail(result, "%s, %llu tokens: %zu weights differ, the first in row %zu for token %zu: %a, the reference has %a",
         name, static_cast<unsigned long long>(tokens), different, first % kColumns, first / kColumns,
         static_cast<double>(a), static_cast<double>(b));
  }
  if (positive * 8 < tokens * kRows) {  // half of all, where no code stands for 0
    fail(result, "%s: only %zu of %llu weights are not 0", name, positive,
         static_cast<unsigned long long>(tokens * kRows / 2));
  }
}

// The reference against itself would always pass.
bool skip_on_the_reference(const Session& s, CaseResult& result) {
  if (s.is_reference) result.skipped = "compares with the reference itself";
  return s.is_reference;
}

}  // namespace

void block_decode(Session& s, CaseResult& result) {
  if (skip_on_the_reference(s, result)) return;
  for (const BlockKind& kind : block_kinds()) {
    for (const uint64_t tokens : {uint64_t{2 * kColumns}, uint64_t{8}}) {
      if (tokens == 8 && kind.ggml_type % 5 != 0) break;  // the small kernels share the decoding: some will do
      compare_decoding(s, one_format(kind, tokens), result);
    }
  }
}

void affine_decode(Session& s, CaseResult& result) {
  if (skip_on_the_reference(s, result)) return;
  for (size_t i = 0; i < affine_formats().size(); ++i) {
    compare_decoding(s, one_affine_format(affine_formats()[i], 2 * kColumns), result);
    if (i % 5 == 0) compare_decoding(s, one_affine_format(affine_formats()[i], 8), result);
  }
}

}  // namespace moe_conformance
