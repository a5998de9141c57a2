// SPDX-License-Identifier: MIT
//
// Packs pieces into windows one after another: gate and up of the same rows side by side (one kernel reads both,
// so they must be bound together), then down.
#include "runtime/weight_layout.h"

#include <algorithm>
#include <map>

namespace moevk {
namespace {

constexpr uint64_t kWindowAlignment = 256;       // the most that Vulkan may ask for storage buffers
constexpr uint64_t kLargestWindow = 1ull << 30;  // keeps allocations movable on every driver

uint64_t align(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

// A piece to place: in a window of ours, or where it lies in a host's buffer.
struct Piece {
  uint64_t bytes = 0;
  PiecePlace* where = nullptr;
  uint32_t host_buffer = kNumberNone;
  uint64_t host_offset = 0;
};

class WindowPacker {
 public:
  WindowPacker(WeightLayout* layout, uint64_t capacity, uint64_t host_alignment, uint32_t bound_at_once)
      : layout_(layout), capacity_(capacity), host_alignment_(host_alignment), bound_at_once_(bound_at_once) {}

  void begin_kernel(std::vector<BindingPass>* passes) {
    passes_ = passes;
    begin_pass();
  }

  // Places pieces that one workgroup reads together: all of them in one pass.
  void place(std::initializer_list<Piece> pieces) {
    uint32_t windows = passes_->back().windows;
    uint64_t used = open_.count(kNumberNone) != 0 ? used_ : capacity_;
    uint32_t missed = kNumberNone;  // a piece of this buffer opens a window, so the next may not find the old one
    for (const Piece& piece : pieces) {
      if (piece.host_buffer != kNumberNone) {
        if (piece.host_buffer != missed && find_host_window(piece) != nullptr) continue;
        missed = piece.host_buffer;
        ++windows;
        continue;
      }
      if (used + piece.bytes > capacity_) {
        ++windows;
        used = 0;
      }
      used = align(used + piece.bytes, kWindowAlignment);
    }
    if (windows > bound_at_once_) begin_pass();
    for (const Piece& piece : pieces) {
      if (piece.host_buffer != kNumberNone) {
        place_host(piece);
      } else {
        place_own(piece);
      }
    }
  }

 private:
  void begin_pass() {
    passes_->push_back({static_cast<uint32_t>(layout_->windows.size()), 0});
    open_.clear();
  }

  // The newest window of this pass over a buffer.
  void open_window(uint32_t host_buffer, uint64_t offset) {
    layout_->windows.push_back({0, host_buffer, offset});
    open_[host_buffer] = passes_->back().windows++;
  }

  Window& window(uint32_t bound_index) { return layout_->windows[passes_->back().first_window + bound_index]; }

  const Window* find_host_window(const Piece& piece) {
    const auto open = open_.find(piece.host_buffer);
    if (open == open_.end()) return nullptr;
    const Window& w = window(open->second);
    const bool fits =
        piece.host_offset >= w.offset_bytes && piece.host_offset + piece.bytes - w.offset_bytes <= capacity_;
    return fits ? &w : nullptr;
  }

  void set(const Piece& piece, uint64_t offset_in_window) {
    const uint32_t bound_index = open_[piece.host_buffer];
    *piece.where = {passes_->back().first_window + bound_index, offset_in_window,
                    static_cast<uint32_t>(passes_->size() - 1), bound_index};
  }

  void place_own(const Piece& piece) {
    if (open_.count(kNumberNone) == 0 || used_ + piece.bytes > capacity_) {
      open_window(kNumberNone, 0);
      used_ = 0;
    }
    set(piece, used_);
    used_ = align(used_ + piece.bytes, kWindowAlignment);
    window(open_[kNumberNone]).bytes = used_;
  }

  void place_host(const Piece& piece) {
    if (find_host_window(piece) == nullptr) {
      open_window(piece.host_buffer, piece.host_offset / host_alignment_ * host_alignment_);
    }
    Window& w = window(open_[piece.host_buffer]);
    w.bytes = std::max(w.bytes, piece.host_offset + piece.bytes - w.offset_bytes);
    set(piece, piece.host_offset - w.offset_bytes);
  }

  WeightLayout* layout_;
  uint64_t capacity_;
  uint64_t host_alignment_;
  uint32_t bound_at_once_;
  std::vector<BindingPass>* passes_ = nullptr;
  std::map<uint32_t, uint32_t> open_;  // buffer -> bound index of the window being filled; kNumberNone: ours
  uint64_t used_ = 0;                  // of our own
};

MatrixLayout shape_matrix(WeightFormat format, uint32_t experts, uint32_t rows, uint32_t columns, uint32_t padded) {
  MatrixLayout m;
  m.format = format;
  m.experts = experts;
  m.rows = rows;
  m.columns = columns;
  m.row_bytes = stored_row_bytes(format, columns, padded);
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
  layout->router_bias = add(spec.has(MOE_LAYER_ROUTER_BIAS), spec.candidates());
  layout->selection_bias = add(spec.has(MOE_LAYER_SELECTION_BIAS), spec.candidates());
  layout->norm = add(spec.has(MOE_LAYER_INPUT_NORM), spec.desc.hidden);
  layout->gate_bias = add(biases && spec.gated, uint64_t{routed.experts} * routed.intermediate);
  layout->up_bias = add(biases, uint64_t{routed.experts} * routed.intermediate);
  layout->down_bias = add(biases, uint64_t{routed.experts} * routed.hidden);
  layout->router_scale = add(spec.has(MOE_LAYER_ROUTER_INPUT_SCALE), spec.desc.hidden);
  layout->expert_scale = add(spec.has(MOE_LAYER_PER_EXPERT_SCALE), spec.desc.experts);
  layout->token_table =
      add(spec.desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE, uint64_t{spec.desc.token_table_rows} * spec.desc.top_k);
  layout->latent_norm =
      add(spec.has(MOE_LAYER_LATENT_NORM), spec.latent() ? spec.latent_segment().intermediate_padded : 0);
  if (floats * 4 > caps.max_storage_buffer_range) {
    return unsupported(
        "desc", "biases, scales and the token table take " + std::to_string(floats * 4) +
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
  for (const Window& w : windows) total += w.host_buffer == kNumberNone ? w.bytes : 0;
  return total;
}

Result<WeightLayout> make_weight_layout(const LayerSpec& spec, const DeviceCaps& caps,
                                        const std::vector<InPlaceMatrix>& in_place) {
  WeightLayout layout;
  MOE_RETURN_IF_ERROR(lay_out_vectors(spec, caps, &layout));
  const uint64_t capacity = std::min({caps.max_storage_buffer_range, caps.max_allocation_bytes, kLargestWindow}) /
                            kWindowAlignment * kWindowAlignment;
  // A window over a host's buffer begins up to an alignment before its first piece.
  const uint64_t largest_piece = in_place.empty() ? capacity : capacity - kWindowAlignment;
  const bool addresses = caps.buffer_device_address != 0;
  WindowPacker packer(&layout, capacity, std::clamp<uint64_t>(caps.storage_offset_alignment, 16, kWindowAlignment),
                      addresses ? UINT32_MAX : kNumberMaxBoundWindows);
  const auto piece = [&](uint32_t segment, MatrixKind kind, uint32_t index) {
    MatrixLayout& m = layout.matrix[segment][static_cast<uint32_t>(kind)];
    Piece p{piece_bytes(m, index % m.pieces), &m.places[index], kNumberNone, 0};
    for (const InPlaceMatrix& host : in_place) {
      if (host.segment != segment || host.kind != kind || index / m.pieces >= host.experts) continue;
      p.host_buffer = host.host_buffer;
      p.host_offset = host.offset_bytes + index / m.pieces * host.expert_bytes +
                      uint64_t{index % m.pieces} * m.rows_per_piece * m.row_bytes;
    }
    return p;
  };

  for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
    const Segment& s = spec.segment[i];
    if (uses_codebook(s.gate) || uses_codebook(s.up) || uses_codebook(s.down)) {
      layout.table_entries = layout.codebook_entries = kNumberCodebookWords / 2;
    }
  }
  const auto lay_out_gate_up = [&](uint32_t i) -> Status {
    const Segment& s = spec.segment[i];
    MatrixLayout& gate = layout.matrix[i][0];
    MatrixLayout& up = layout.matrix[i][1];
    gate = shape_matrix(s.gate, s.experts, s.intermediate, s.hidden, s.hidden_padded);
    up = shape_matrix(s.up, s.experts, s.intermediate, s.hidden, s.hidden_padded);
    MOE_RETURN_IF_ERROR(cut({&gate, &up}, largest_piece));
    for (uint32_t n = 0; n < up.places.size(); ++n) {
      if (s.gated) {
        packer.place({piece(i, MatrixKind::kGate, n), piece(i, MatrixKind::kUp, n)});
      } else {
        packer.place({piece(i, MatrixKind::kUp, n)});
        gate.places[n] = up.places[n];  // the table keeps its shape
      }
    }
    gate.first_entry = layout.table_entries;
    up.first_entry = gate.first_entry + static_cast<uint32_t>(gate.places.size());
    layout.table_entries = up.first_entry + static_cast<uint32_t>(up.places.size());
    return {};
  };
  const auto lay_out_down = [&](uint32_t i) -> Status {
    const Segment& s = spec.segment[i];
    MatrixLayout& down = layout.matrix[i][2];
    down = shape_matrix(s.down, s.experts, s.hidden, s.intermediate, s.intermediate_padded);
    MOE_RETURN_IF_ERROR(cut({&down}, largest_piece));
    for (uint32_t n = 0; n < down.places.size(); ++n) packer.place({piece(i, MatrixKind::kDown, n)});
    down.first_entry = layout.table_entries;
    layout.table_entries += static_cast<uint32_t>(down.places.size());
    return {};
  };
  const auto begin = [&](WeightSet set) { packer.begin_kernel(&layout.passes[static_cast<size_t>(set)]); };
  begin(WeightSet::kGateUp);
  for (uint32_t i = 0; i < spec.segments; ++i) MOE_RETURN_IF_ERROR(lay_out_gate_up(i));
  begin(WeightSet::kDown);
  for (uint32_t i = 0; i < spec.segments; ++i) MOE_RETURN_IF_ERROR(lay_out_down(i));
  if (!spec.latent()) return layout;
  begin(WeightSet::kLatentDown);
  MOE_RETURN_IF_ERROR(lay_out_gate_up(spec.segments));
  begin(WeightSet::kLatentUp);
  MOE_RETURN_IF_ERROR(lay_out_down(spec.segments));
  return layout;
}

}  // namespace moevk
