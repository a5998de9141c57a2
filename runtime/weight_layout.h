// SPDX-License-Identifier: MIT
//
// Where each expert's matrices stand in device memory. A matrix is cut into pieces of whole rows, so that a piece
// fits one window (a buffer within maxStorageBufferRange); the expert table has an entry per piece. Pure
// arithmetic: estimates and plans use it without a device. docs/weights.md draws it.
#pragma once

#include <vector>

#include "kernel_table.h"
#include "runtime/device_caps.h"
#include "runtime/layer_spec.h"

namespace moevk {

enum class MatrixKind : uint32_t { kGate, kUp, kDown };

// Matrices that one kernel reads.
enum class WeightSet : uint8_t { kGateUp, kDown, kLatentDown, kLatentUp, kNone };
inline constexpr size_t kWeightSets = 4;

struct PiecePlace {
  uint32_t window = 0;
  uint64_t offset_bytes = 0;  // in the window, a multiple of 256
  uint32_t pass = 0;          // binding pass of its kernel: 0 where all windows can be bound at once
  uint32_t bound_index = 0;   // of the window within that pass
};

struct MatrixLayout {
  WeightFormat format = WeightFormat::kF32;
  uint32_t experts = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint64_t row_bytes = 0;  // padded, see stored_row_bytes
  uint32_t pieces = 0;     // per expert
  uint32_t rows_per_piece = 0;
  uint32_t first_entry = 0;        // in the expert table
  std::vector<PiecePlace> places;  // [experts * pieces]
};

struct BindingPass {
  uint32_t first_window = 0;
  uint32_t windows = 0;
};

// What one descriptor covers: a buffer of ours, or a range of one that the host gave.
struct Window {
  uint64_t bytes = 0;
  uint32_t host_buffer = kNumberNone;  // InPlaceMatrix::host_buffer
  uint64_t offset_bytes = 0;           // in it
};

// A matrix of every routed (or the shared) expert that stays where the host has it: rows packed as kernels read them.
struct InPlaceMatrix {
  uint32_t segment = 0;
  MatrixKind kind = MatrixKind::kUp;
  uint32_t experts = 0;       // 0..experts-1 of the segment; shared ones that joined them are ours
  uint32_t host_buffer = 0;   // number of the buffer among those given
  uint64_t offset_bytes = 0;  // of expert 0 in it, a multiple of 16
  uint64_t expert_bytes = 0;  // from one expert to the next
};

struct WeightLayout {
  MatrixLayout matrix[3][3];  // [segment][MatrixKind]
  std::vector<Window> windows;
  std::vector<BindingPass> passes[kWeightSets];
  uint32_t table_entries = 0;
  uint32_t codebook_entries = 0;  // of the table, at its beginning: all codebooks, where a format needs one
  uint32_t router_stride = 0;     // floats
  // Offsets of f32 vectors in the aux buffer, in floats; kNumberNone where the layer has none.
  uint32_t router_bias, selection_bias, norm;
  uint32_t gate_bias, up_bias, down_bias;  // of segment 0; joined shared experts have zeros
  uint32_t router_scale, expert_scale, token_table, latent_norm;
  uint32_t aux_floats = 0;

  const MatrixLayout& at(uint32_t segment, MatrixKind kind) const {
    return matrix[segment][static_cast<uint32_t>(kind)];
  }
  const std::vector<BindingPass>& passes_of(WeightSet set) const { return passes[static_cast<size_t>(set)]; }
  uint64_t router_bytes(const LayerSpec& spec) const { return uint64_t{spec.router_rows()} * router_stride * 4; }
  // Device memory that the layer takes: windows of our own, table, router, aux.
  uint64_t total_bytes(const LayerSpec& spec) const;
};

// Refuses, with the reason, what the device's limits cannot hold.
Result<WeightLayout> make_weight_layout(const LayerSpec& spec, const DeviceCaps& caps,
                                        const std::vector<InPlaceMatrix>& in_place = {});

}  // namespace moevk
