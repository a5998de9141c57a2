// SPDX-License-Identifier: MIT
//
// Where weights stand, for random layers on devices with small ranges: every row has one place, windows and binding
// passes keep the device's limits, what one workgroup reads is bound together. And the texts of refusals.
#include "runtime/weight_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "kernel_table.h"
#include "tests/layers/layer_shapes.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

constexpr MatrixKind kKinds[] = {MatrixKind::kGate, MatrixKind::kUp, MatrixKind::kDown};

uint32_t rows_of(const MatrixLayout& m, uint32_t piece) {
  return std::min(m.rows_per_piece, m.rows - piece * m.rows_per_piece);
}

void check_matrix(const LayerSpec& spec, uint32_t segment, MatrixKind kind, const MatrixLayout& m) {
  const Segment& s = spec.segment[segment];
  const bool down = kind == MatrixKind::kDown;
  EXPECT_EQ(m.experts, s.experts);
  EXPECT_EQ(m.rows, down ? s.hidden : s.intermediate);
  EXPECT_EQ(m.columns, down ? s.intermediate : s.hidden);
  const uint32_t padded = down ? s.intermediate_padded : s.hidden_padded;
  EXPECT_GE(static_cast<double>(m.row_bytes), padded * element_bytes(m.format));
  EXPECT_LT(static_cast<double>(m.row_bytes), padded * element_bytes(m.format) + (is_plain(m.format) ? 1 : 16));
  EXPECT_EQ(m.row_bytes % 16, 0u);
  ASSERT_EQ(m.places.size(), size_t{m.experts} * m.pieces);
  EXPECT_TRUE(m.pieces == 1 || m.rows_per_piece % kNumberTileColumns == 0) << m.rows_per_piece;
  // Pieces are whole, none is empty, and together they are all rows.
  EXPECT_GE(uint64_t{m.pieces} * m.rows_per_piece, m.rows);
  EXPECT_LT(uint64_t{m.pieces - 1} * m.rows_per_piece, m.rows);
}

void check_layout(const LayerSpec& spec, const DeviceCaps& caps, const WeightLayout& layout) {
  const bool windows = caps.buffer_device_address == 0;
  const uint64_t capacity = std::min(caps.max_storage_buffer_range, caps.max_allocation_bytes);
  std::map<uint32_t, std::map<uint64_t, uint64_t>> used;  // window -> begin -> end
  std::vector<bool> entries(layout.table_entries, false);
  ASSERT_LE(layout.codebook_entries, layout.table_entries);
  std::fill_n(entries.begin(), layout.codebook_entries, true);  // the codebooks stand before the pieces
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
    for (const MatrixKind kind : kKinds) {
      const MatrixLayout& m = layout.at(i, kind);
      check_matrix(spec, i, kind, m);
      const bool down = kind == MatrixKind::kDown, latent = i == spec.segments;
      const auto& passes = layout.passes_of(down ? (latent ? WeightSet::kLatentUp : WeightSet::kDown)
                                                 : (latent ? WeightSet::kLatentDown : WeightSet::kGateUp));
      for (uint32_t p = 0; p < m.places.size(); ++p) {
        ASSERT_LT(m.first_entry + p, layout.table_entries);
        EXPECT_FALSE(entries[m.first_entry + p]) << "two pieces share an entry of the table";
        entries[m.first_entry + p] = true;
        const PiecePlace& place = m.places[p];
        ASSERT_LT(place.pass, passes.size());
        EXPECT_LT(place.bound_index, passes[place.pass].windows);
        EXPECT_EQ(place.window, passes[place.pass].first_window + place.bound_index);
        EXPECT_EQ(place.offset_bytes % 256, 0u);
        if (kind == MatrixKind::kGate && !spec.segment[i].gated) continue;  // stands for up
        const uint64_t end = place.offset_bytes + rows_of(m, p % m.pieces) * m.row_bytes;
        ASSERT_LT(place.window, layout.windows.size());
        EXPECT_LE(end, layout.windows[place.window].bytes);
        EXPECT_TRUE(used[place.window].emplace(place.offset_bytes, end).second) << "two pieces at one place";
        bytes += end - place.offset_bytes;
      }
    }
    const MatrixLayout& gate = layout.at(i, MatrixKind::kGate);
    const MatrixLayout& up = layout.at(i, MatrixKind::kUp);
    EXPECT_EQ(gate.rows_per_piece, up.rows_per_piece);
    EXPECT_EQ(up.first_entry, gate.first_entry + gate.places.size());  // as gate_up reads the table
    for (size_t p = 0; p < up.places.size(); ++p)
      EXPECT_EQ(gate.places[p].pass, up.places[p].pass) << "gate and up are not bound together";
  }
  EXPECT_EQ(std::count(entries.begin(), entries.end(), false), 0);
  uint64_t held = 0;
  for (uint32_t w = 0; w < layout.windows.size(); ++w) {
    held += layout.windows[w].bytes;
    EXPECT_LE(layout.windows[w].bytes, capacity);
    EXPECT_FALSE(used[w].empty()) << "a window without weights";
    uint64_t last = 0;
    for (const auto& [begin, end] : used[w]) {
      EXPECT_GE(begin, last) << "pieces overlap";
      last = end;
    }
  }
  EXPECT_LE(bytes, held);
  EXPECT_EQ(layout.total_bytes(spec),
            held + layout.router_bytes(spec) + layout.aux_floats * 4ull + layout.table_entries * 8ull);
  uint32_t next = 0;
  for (size_t set = 0; set < kWeightSets; ++set) {
    const auto& passes = layout.passes[set];
    EXPECT_EQ(passes.empty(), set >= static_cast<size_t>(WeightSet::kLatentDown) && !spec.latent());
    for (const BindingPass& pass : passes) {
      EXPECT_EQ(pass.first_window, next);
      EXPECT_GE(pass.windows, 1u);
      EXPECT_TRUE(!windows || pass.windows <= kNumberMaxBoundWindows) << pass.windows;
      next += pass.windows;
    }
    EXPECT_TRUE(windows || passes.size() <= 1);
  }
  EXPECT_EQ(next, layout.windows.size());
}

TEST(WeightLayout, RandomLayersWithSmallRanges) {
  std::mt19937 random(7);
  const auto within = [&](uint32_t least, uint32_t most) {
    return least + static_cast<uint32_t>(random() % (most - least + 1));
  };
  size_t laid_out = 0, several_pieces = 0, several_passes = 0;
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    LayerShape shape = {"random", within(1, 700), within(1, 700), within(1, 40), 1};
    shape.shared = within(0, 2) == 0 ? 0 : within(0, 1) == 0 ? 2 * shape.intermediate : within(1, 300);
    shape.flags = within(0, 3) == 0 ? MOE_LAYER_EXPERT_BIAS : 0;
    if (within(0, 3) == 0) shape.flags |= MOE_LAYER_UNGATED;
    moe_layer_desc desc = describe(shape, WeightFormat::kF32);
    for (moe_weight_format* f : {&desc.gate_format, &desc.up_format, &desc.down_format}) f->element = within(0, 2);
    const LayerSpec spec = make_spec(desc);
    DeviceCaps caps = device(within(0, 3) == 0 ? "lavapipe-22.3" : "floor");
    caps.max_storage_buffer_range = within(1 << 16, 1 << 20);
    caps.max_allocation_bytes = within(0, 1) == 0 ? 1u << 30 : within(1 << 16, 1 << 20);
    Result<WeightLayout> layout = make_weight_layout(spec, caps);
    if (!layout.ok()) {
      EXPECT_EQ(layout.status().code(), MOE_ERROR_UNSUPPORTED);
      EXPECT_NE(layout.status().text().find("max_storage_buffer_range"), std::string::npos) << layout.status().text();
      continue;
    }
    ++laid_out;
    check_layout(spec, caps, layout.value());
    several_pieces += layout.value().at(0, MatrixKind::kDown).pieces > 1 ? 1 : 0;
    several_passes += layout.value().passes_of(WeightSet::kGateUp).size() > 1 ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(laid_out, 200u);
  EXPECT_GT(several_pieces, 50u);
  EXPECT_GT(several_passes, 50u);
}

// Blocks: rows of whole blocks to 16 bytes, and codebooks at the beginning of the table where a matrix needs them.
TEST(WeightLayout, BlockFormats) {
  for (uint32_t number = kNumberFormatQ40; number < kWeightFormats; ++number) {
    const auto format = static_cast<WeightFormat>(number);
    for (const bool alone : {false, true}) {  // in all matrices, or in down alone
      SCOPED_TRACE(format_name(format) + (alone ? ", down" : ""));
      moe_layer_desc desc = describe({"blocks", 512, 1280, 6, 2, 256}, format);
      if (alone) {
        desc.gate_format = desc.up_format = desc.shared_gate_format = desc.shared_up_format = {};
        desc.shared_down_format = {};
      }
      DeviceCaps caps = windows_only();
      caps.max_storage_buffer_range = 1 << 20;
      Result<WeightLayout> layout = make_weight_layout(make_spec(desc), caps);
      ASSERT_TRUE(layout.ok()) << layout.status().text();
      check_layout(make_spec(desc), caps, layout.value());
      EXPECT_EQ(layout.value().codebook_entries, uses_codebook(format) ? kNumberCodebookWords / 2 : 0);
      EXPECT_EQ(layout.value().at(0, MatrixKind::kGate).first_entry, layout.value().codebook_entries);
    }
  }
}

TEST(WeightLayout, ModelsOnEveryDevice) {
  for (const LayerShape& shape : layer_shapes()) {
    for (const std::string& name : device_names()) {
      SCOPED_TRACE(shape.name + " on " + name);
      const LayerSpec spec = make_spec(shape, WeightFormat::kBf16);
      Result<WeightLayout> layout = make_weight_layout(spec, device(name));
      if (layout.ok() && layout.value().windows.size() < 5000) check_layout(spec, device(name), layout.value());
    }
  }
}

// Mixtral-8x22B: 192 MiB a matrix, 128 MiB a range.
TEST(WeightLayout, OneMatrixInTwoPieces) {
  Result<WeightLayout> layout =
      make_weight_layout(make_spec(layer_shape("mixtral-8x22b"), WeightFormat::kF16), windows_only());
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout.value().at(0, MatrixKind::kGate).pieces, 2u);
  EXPECT_EQ(layout.value().at(0, MatrixKind::kDown).pieces, 2u);
  EXPECT_EQ(layout.value().passes_of(WeightSet::kGateUp).size(), 2u);
  EXPECT_EQ(layout.value().passes_of(WeightSet::kDown).size(), 1u);
}

TEST(WeightLayout, VectorsFollowEachOther) {
  LayerShape shape = {"biases", 10, 6, 4, 2, 12};
  shape.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_INPUT_NORM | MOE_LAYER_EXPERT_BIAS;
  Result<WeightLayout> layout = make_weight_layout(make_spec(shape, WeightFormat::kF32), device("swiftshader"));
  ASSERT_TRUE(layout.ok());
  const WeightLayout& l = layout.value();
  EXPECT_EQ((std::vector<uint32_t>{l.router_bias, l.selection_bias, l.norm, l.gate_bias, l.up_bias, l.down_bias,
                                   l.aux_floats}),
            (std::vector<uint32_t>{0, 4, 8, 18, 18 + 36, 18 + 72, 18 + 72 + 60}));  // 6 experts: two shared ones join
  EXPECT_EQ(l.router_stride, 12u);
  shape.flags = MOE_LAYER_UNGATED | MOE_LAYER_EXPERT_BIAS;
  layout = make_weight_layout(make_spec(shape, WeightFormat::kF32), device("swiftshader"));
  EXPECT_EQ(layout.value().router_bias, kNumberNone);
  EXPECT_EQ(layout.value().gate_bias, kNumberNone);
  EXPECT_EQ(layout.value().up_bias, 0u);
  shape.flags = 0;
  layout = make_weight_layout(make_spec(shape, WeightFormat::kF32), device("swiftshader"));
  EXPECT_EQ(layout.value().up_bias, kNumberNone);
  EXPECT_EQ(layout.value().down_bias, kNumberNone);
  EXPECT_GT(layout.value().aux_floats, 0u) << "a buffer is never empty";
}

TEST(WeightLayout, Refusals) {
  const auto refusal = [](const LayerShape& shape, uint64_t range) {
    DeviceCaps caps = device("floor");
    caps.max_storage_buffer_range = range;
    Result<WeightLayout> layout = make_weight_layout(make_spec(shape, WeightFormat::kF32), caps);
    EXPECT_EQ(layout.status().code(), MOE_ERROR_UNSUPPORTED);
    EXPECT_EQ(layout.status().argument(), "desc");
    return layout.status().text();
  };
  EXPECT_EQ(refusal({"rows", 8192, 64, 1, 1}, 1 << 20),
            "64 rows of 32768 bytes exceed max_storage_buffer_range = 1048576");
  EXPECT_EQ(refusal({"router", 1024, 16, 300, 1}, 1 << 20),
            "the router takes 1228800 bytes, more than max_storage_buffer_range = 1048576");
  LayerShape biases = {"biases", 1024, 1024, 100, 1};
  biases.flags = MOE_LAYER_EXPERT_BIAS;
  EXPECT_EQ(refusal(biases, 1 << 20),
            "biases, scales and the token table take 1228800 bytes, more than max_storage_buffer_range = 1048576");
}

}  // namespace
}  // namespace moevk::unit
