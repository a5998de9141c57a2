// SPDX-License-Identifier: MIT
//
// In:  a layer's layout and what a device can do.
// Out: how the rows of each matrix come into device memory, with the reason, and what that takes of staging memory.
// Why: one place decides who packs; backend/ only acts on it.
#pragma once

#include "runtime/packed_rows.h"
#include "runtime/plan.h"

namespace moevk {

// Two slots take turns: one is filled while the device reads the other.
inline constexpr uint64_t kUploadSlotBytes = 8u << 20;
inline constexpr uint32_t kUploadSlots = 2;

enum class RowUpload : uint32_t {
  kAsTheyAre,       // padded on their way into staging, then copied
  kPackedByDevice,  // staging has the host's bytes, the kernel pack_rows does the rest
  kPackedByHost,    // packed on their way into staging, then copied
};

struct MatrixUpload {
  RowUpload how = RowUpload::kAsTheyAre;
  const char* why = "";
  PackedRow row;
  uint32_t most_rows = 0;  // that one dispatch, or one copy, takes

  uint64_t staged_row_bytes() const { return how == RowUpload::kPackedByDevice ? row.host_bytes : row.bytes; }
};

struct UploadPlan {
  MatrixUpload matrix[3][3];  // [segment][MatrixKind]
  bool packs = false;         // the kernel is needed
  uint64_t alignment = 0;     // of what the kernel binds
  bool twins = false;         // each slot has a twin in device memory, which the kernel reads
  uint64_t staging_bytes = 0;

  const MatrixUpload& at(uint32_t segment, MatrixKind kind) const {
    return matrix[segment][static_cast<uint32_t>(kind)];
  }
};

UploadPlan plan_upload(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps);

// The kernel pack_rows and its constants: all that its pipeline depends on.
Dispatch pack_rows_kernel();
// `rows` rows of a block format, from byte `from_offset` of the bound staging memory to word `to_offset` of the bound
// window. Its two bindings are the upload's own.
Dispatch pack_rows_dispatch(const PackedRow& row, uint32_t rows, uint32_t from_offset, uint32_t to_offset);

// A line for each matrix: its rows, who packs them, and why.
std::string upload_text(const LayerSpec& spec, const UploadPlan& plan);

}  // namespace moevk
