// SPDX-License-Identifier: MIT
//
// Where each expert's matrices stand in device memory. A matrix is cut into pieces of whole rows, so that a piece
// fits one window (a buffer within maxStorageBufferRange); the expert table has an entry per piece. Pure
// arithmetic: estimates and plans use it without a device. docs/weights.md draws it.
#pragma once

#include <vector>

#include "runtime/device_caps.h"
#include "runtime/layer_spec.h"

namespace moevk {

enum class MatrixKind : uint32_t { kGate, kUp, kDown };

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
  uint64_t row_bytes = 0;  // padded to kNumberPadColumns elements
  uint32_t pieces = 0;     // per expert
  uint32_t rows_per_piece = 0;
  uint32_t first_entry = 0;        // in the expert table
  std::vector<PiecePlace> places;  // [experts * pieces]
};

struct BindingPass {
  uint32_t first_window = 0;
  uint32_t windows = 0;
};

struct WeightLayout {
  MatrixLayout matrix[2][3];  // [segment][MatrixKind]
  std::vector<uint64_t> window_bytes;
  std::vector<BindingPass> gate_up_passes;
  std::vector<BindingPass> down_passes;
  uint32_t table_entries = 0;
  uint32_t router_stride = 0;  // floats
  // Offsets of f32 vectors in the aux buffer, in floats; kNumberNone where the layer has none.
  uint32_t router_bias, selection_bias, norm;
  uint32_t gate_bias, up_bias, down_bias;  // of segment 0; joined shared experts have zeros
  uint32_t aux_floats = 0;

  const MatrixLayout& at(uint32_t segment, MatrixKind kind) const {
    return matrix[segment][static_cast<uint32_t>(kind)];
  }
  uint64_t router_bytes(const LayerSpec& spec) const { return uint64_t{spec.router_rows()} * router_stride * 4; }
  // Device memory of the whole layer: windows, table, router, aux.
  uint64_t total_bytes(const LayerSpec& spec) const;
};

// Refuses, with the reason, what the device's limits cannot hold.
Result<WeightLayout> make_weight_layout(const LayerSpec& spec, const DeviceCaps& caps);

}  // namespace moevk
