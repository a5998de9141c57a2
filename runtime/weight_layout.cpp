// SPDX-License-Identifier: MIT
//
// Packs pieces into windows one after another: gate and up of the same rows side by side (one kernel reads both,
// so they must be bound together), then down.
#include "runtime/weight_layout.h"

#include <algorithm>

#include "kernel_table.h"

namespace moevk {
namespace {

constexpr uint64_t kWindowAlignment = 256;       // the most that Vulkan may ask for storage buffers
constexpr uint64_t kLargestWindow = 1ull << 30;  // keeps allocations movable on every driver

uint64_t align(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

class WindowPacker {
 public:
  WindowPacker(WeightLayout* layout, uint64_t capacity, uint32_t bound_at_once)
      : layout_(layout), capacity_(capacity), bound_at_once_(bound_at_once) {}

  void begin_kernel(std::vector<BindingPass>* passes) {
    passes_ = passes;
    begin_pass();
  }

  // Places pieces that one workgroup reads together: all of them in one pass.
  void place(std::initializer_list<std::pair<uint64_t, PiecePlace*>> pieces) {
    uint64_t used = used_;
    uint32_t windows = passes_->back().windows;
    for (const auto& [bytes, where] : pieces) {
      if (windows == 0 || used + bytes > capacity_) {
        ++windows;
        used = 0;
      }
      used = align(used + bytes, kWindowAlignment);
    }
    if (windows > bound_at_once_) begin_pass();
    for (const auto& [bytes, where] : pieces) place_one(bytes, where);
  }

 private:
  void begin_pass() {
    passes_->push_back({static_cast<uint32_t>(layout_->window_bytes.size()), 0});
    used_ = 0;
  }

  void place_one(uint64_t bytes, PiecePlace* where) {
    BindingPass& pass = passes_->back();
    if (pass.windows == 0 || used_ + bytes > capacity_) {
      layout_->window_bytes.push_back(0);
      ++pass.windows;
      used_ = 0;
    }
    where->window = pass.first_window + pass.windows - 1;
    where->offset_bytes = used_;
    where->pass = static_cast<uint32_t>(passes_->size() - 1);
    where->bound_index = pass.windows - 1;
    used_ = align(used_ + bytes, kWindowAlignment);
    layout_->window_bytes.back() = used_;
  }

  WeightLayout* layout_;
  uint64_t capacity_;
  uint32_t bound_at_once_;
  std::vector<BindingPass>* passes_ = nullptr;
  uint64_t used_ = 0;
};

MatrixLayout shape_matrix(WeightFormat format, uint32_t experts, uint32_t rows, uint32_t columns, uint32_t padded) {
  MatrixLayout m;
  m.format = format;
  m.experts = experts;
  m.rows = rows;
  m.columns = columns;
  m.row_bytes = row_bytes(format, padded);
  return m;
}

// Cuts matrices that are read together at the same rows. Pieces are whole column blocks of a tile, so that a
// workgroup never meets two.
Status cut(std::initializer_list<MatrixLayout*> matrices, uint64_t capacity) {
  uint64_t widest = 0;
  for (MatrixLayout* m : matrices) widest = std::max(widest, m->row_bytes);
  for (MatrixLayout* m : matrices) {
    m->rows_per_piece = m->rows;
    if (m->rows * widest > capacity) {
      const uint64_t blocks = capacity / widest / kNumberTileColumns;
      if (blocks == 0) {
        return unsupported("desc", std::to_string(kNumberTileColumns) + " rows of " + std::to_string(widest) +
                                       " bytes exceed max_storage_buffer_range = " + std::to_string(capacity));
      }
      m->rows_per_piece = static_cast<uint32_t>(blocks * kNumberTileColumns);
    }
    m->pieces = (m->rows + m->rows_per_piece - 1) / m->rows_per_piece;
    m->places.resize(size_t{m->experts} * m->pieces);
  }
  return {};
}

uint64_t piece_bytes(const MatrixLayout& m, uint32_t piece) {
  const uint32_t first = piece * m.rows_per_piece;
  return std::min(m.rows_per_piece, m.rows - first) * m.row_bytes;
}

Status lay_out_vectors(const LayerSpec& spec, const DeviceCaps& caps, WeightLayout* layout) {
  uint64_t floats = 0;
  const auto add = [&](bool there, uint64_t count) -> uint32_t {
    if (!there) return kNumberNone;
    const uint64_t at = floats;
    floats += count;
    return static_cast<uint32_t>(std::min<uint64_t>(at, kNumberNone));
  };
  const Segment& routed = spec.segment[0];
  const bool biases = spec.has(MOE_LAYER_EXPERT_BIAS);
  layout->router_bias = add(spec.has(MOE_LAYER_ROUTER_BIAS), spec.desc.experts);
  layout->selection_bias = add(spec.has(MOE_LAYER_SELECTION_BIAS), spec.desc.experts);
  layout->norm = add(spec.has(MOE_LAYER_INPUT_NORM), spec.desc.hidden);
  layout->gate_bias = add(biases && spec.gated, uint64_t{routed.experts} * routed.intermediate);
  layout->up_bias = add(biases, uint64_t{routed.experts} * routed.intermediate);
  layout->down_bias = add(biases, uint64_t{routed.experts} * spec.desc.hidden);
  if (floats * 4 > caps.max_storage_buffer_range) {
    return unsupported(
        "desc", "the biases take " + std::to_string(floats * 4) +
                    " bytes, more than max_storage_buffer_range = " + std::to_string(caps.max_storage_buffer_range));
  }
  layout->aux_floats = std::max<uint32_t>(static_cast<uint32_t>(floats), 4);  // never an empty buffer
  layout->router_stride = (spec.desc.hidden + 3) / 4 * 4;
  if (layout->router_bytes(spec) > caps.max_storage_buffer_range) {
    return unsupported(
        "desc", "the router takes " + std::to_string(layout->router_bytes(spec)) +
                    " bytes, more than max_storage_buffer_range = " + std::to_string(caps.max_storage_buffer_range));
  }
  return {};
}

}  // namespace

uint64_t WeightLayout::total_bytes(const LayerSpec& spec) const {
  uint64_t total = router_bytes(spec) + uint64_t{aux_floats} * 4 + uint64_t{table_entries} * 8;
  for (uint64_t bytes : window_bytes) total += bytes;
  return total;
}

Result<WeightLayout> make_weight_layout(const LayerSpec& spec, const DeviceCaps& caps) {
  WeightLayout layout;
  MOE_RETURN_IF_ERROR(lay_out_vectors(spec, caps, &layout));
  const uint64_t capacity = std::min({caps.max_storage_buffer_range, caps.max_allocation_bytes, kLargestWindow}) /
                            kWindowAlignment * kWindowAlignment;
  const bool addresses = caps.buffer_device_address != 0;
  WindowPacker packer(&layout, capacity, addresses ? UINT32_MAX : kNumberMaxBoundWindows);

  packer.begin_kernel(&layout.gate_up_passes);
  for (uint32_t i = 0; i < spec.segments; ++i) {
    const Segment& s = spec.segment[i];
    MatrixLayout& gate = layout.matrix[i][0];
    MatrixLayout& up = layout.matrix[i][1];
    gate = shape_matrix(s.gate, s.experts, s.intermediate, spec.desc.hidden, spec.hidden_padded);
    up = shape_matrix(s.up, s.experts, s.intermediate, spec.desc.hidden, spec.hidden_padded);
    MOE_RETURN_IF_ERROR(cut({&gate, &up}, capacity));
    for (uint32_t piece = 0; piece < up.places.size(); ++piece) {
      const uint64_t up_bytes = piece_bytes(up, piece % up.pieces);
      if (spec.gated) {
        packer.place({{piece_bytes(gate, piece % gate.pieces), &gate.places[piece]}, {up_bytes, &up.places[piece]}});
      } else {
        packer.place({{up_bytes, &up.places[piece]}});
        gate.places[piece] = up.places[piece];  // the table keeps its shape
      }
    }
    gate.first_entry = layout.table_entries;
    up.first_entry = gate.first_entry + static_cast<uint32_t>(gate.places.size());
    layout.table_entries = up.first_entry + static_cast<uint32_t>(up.places.size());
  }
  packer.begin_kernel(&layout.down_passes);
  for (uint32_t i = 0; i < spec.segments; ++i) {
    const Segment& s = spec.segment[i];
    MatrixLayout& down = layout.matrix[i][2];
    down = shape_matrix(s.down, s.experts, spec.desc.hidden, s.intermediate, s.intermediate_padded);
    MOE_RETURN_IF_ERROR(cut({&down}, capacity));
    for (uint32_t piece = 0; piece < down.places.size(); ++piece) {
      packer.place({{piece_bytes(down, piece % down.pieces), &down.places[piece]}});
    }
    down.first_entry = layout.table_entries;
    layout.table_entries += static_cast<uint32_t>(down.places.size());
  }
  return layout;
}

}  // namespace moevk
