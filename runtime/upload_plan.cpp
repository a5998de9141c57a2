// SPDX-License-Identifier: MIT
//
// Who packs, and the format's table as the kernel's push constants.
#include "runtime/upload_plan.h"

#include <algorithm>
#include <cstring>

#include "push_constants.h"
#include "runtime/block_format.h"
#include "runtime/layer_spec.h"

namespace moevk {
namespace {

static_assert(uint64_t{kMaxWidth} * 4 <= kUploadSlotBytes, "a slot holds a row of any layer");
static_assert(sizeof(PackRowsPush::field) == kMaxBlockFields * sizeof(PackRowsField));

constexpr uint64_t kOffsetAlignment = 256;  // the most that Vulkan may ask of a bound range's beginning

MatrixUpload plan_rows(const MatrixLayout& matrix, const DeviceCaps& caps) {
  MatrixUpload m;
  m.row = packed_row(matrix.format, matrix.columns);
  m.most_rows = static_cast<uint32_t>(kUploadSlotBytes / m.row.bytes);
  if (find_block_format(matrix.format) == nullptr) {
    m.why = "rows keep their order";
    return m;
  }
  if (is_struck(caps, kKernels[static_cast<size_t>(KernelId::kPackRows)].name)) {
    m.how = RowUpload::kPackedByHost;
    m.why = "the kernel pack_rows is struck";
    return m;
  }
  if (caps.host_packing != 0) {  // in a tenth of the time: it moves eight numbers at once
    m.how = RowUpload::kPackedByHost;
    m.why = "kernels run on the host's cores";
    return m;
  }
  // Where memory is unified, too: a core packs about 1 GB a second and copies 10, which is more than the second way
  // through memory takes.
  m.how = RowUpload::kPackedByDevice;
  m.why = "a kernel moves their bits";
  const uint64_t bound = (caps.max_storage_buffer_range - kOffsetAlignment) / m.row.host_bytes;
  const uint64_t grid = uint64_t{caps.max_workgroup_count} * kNumberWorkgroup / (m.row.bytes / 4);
  m.most_rows = static_cast<uint32_t>(std::min({bound, grid, kUploadSlotBytes / m.row.host_bytes}));
  return m;
}

}  // namespace

UploadPlan plan_upload(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps) {
  UploadPlan plan;
  for (uint32_t segment = 0; segment < spec.weight_segments(); ++segment) {
    for (size_t kind = 0; kind < std::size(layout.matrix[segment]); ++kind) {
      const MatrixLayout& matrix = layout.matrix[segment][kind];
      const bool ours = std::any_of(matrix.places.begin(), matrix.places.end(), [&](const PiecePlace& place) {
        return layout.windows[place.window].host_buffer == kNumberNone;
      });
      if (!ours || (kind == 0 && !spec.segment[segment].gated)) continue;
      plan.matrix[segment][kind] = plan_rows(matrix, caps);
      plan.packs = plan.packs || plan.matrix[segment][kind].how == RowUpload::kPackedByDevice;
    }
  }
  plan.alignment = std::max<uint64_t>(caps.storage_offset_alignment, 16);
  // The kernel reads most words of staging twice; over a bus that is better done once, by a copy.
  plan.twins = plan.packs && caps.unified_memory == 0;
  plan.staging_bytes = kUploadSlots * kUploadSlotBytes * (plan.twins ? 2 : 1);
  return plan;
}

Dispatch pack_rows_kernel() {
  Dispatch dispatch;
  dispatch.kernel = KernelId::kPackRows;
  std::copy_n(kConstantDefaults, kConstantCount, dispatch.constants.begin());
  return dispatch;
}

Dispatch pack_rows_dispatch(const PackedRow& row, uint32_t rows, uint32_t from_offset, uint32_t to_offset) {
  const BlockFormat& format = *find_block_format(row.format);
  PackRowsPush push{};
  push.rows = rows;
  push.row_words = static_cast<uint32_t>(row.bytes / 4);
  push.host_bytes = static_cast<uint32_t>(row.host_bytes);
  push.blocks = static_cast<uint32_t>(format.blocks(row.columns));
  push.block_bytes = format.bytes;
  push.from_offset = from_offset;
  push.to_offset = to_offset;
  uint32_t earlier = 0;  // bytes of a block in the planes before
  while (push.fields < kMaxBlockFields && format.fields[push.fields].count != 0) {
    const uint32_t plane = format.fields[push.fields].plane;
    uint32_t width = 0, before = 0;
    for (const BlockField& f : format.fields) width += f.plane == plane ? f.bytes() : 0;
    for (; push.fields < kMaxBlockFields && format.fields[push.fields].count != 0; ++push.fields) {
      const BlockField& f = format.fields[push.fields];
      if (f.plane != plane) break;
      push.field[push.fields] = {f.byte | f.bits << 8 | f.stride << 16 | f.bytes() << 24,
                                 earlier | before << 8 | width << 16};
      before += f.bytes();
    }
    earlier += width;
  }
  Dispatch dispatch = pack_rows_kernel();
  dispatch.push_words = sizeof push / 4;
  std::memcpy(dispatch.push.data(), &push, sizeof push);
  const uint64_t words = uint64_t{rows} * push.row_words;
  dispatch.grid[0] = static_cast<uint32_t>((words + kNumberWorkgroup - 1) / kNumberWorkgroup);
  dispatch.bytes = static_cast<double>(rows) * static_cast<double>(row.host_bytes + row.bytes);
  dispatch.why = "rows of " + format_name(row.format);
  return dispatch;
}

std::string upload_text(const LayerSpec& spec, const UploadPlan& plan) {
  constexpr const char* kNames[] = {"gate", "up", "down"};
  constexpr const char* kHow[] = {"as they are", "packed by the device", "packed by the host"};
  std::string text = "upload: " + std::to_string(plan.staging_bytes >> 20) + " MiB of staging" +
                     (plan.twins ? ", half of them twins in device memory" : "") + "\n";
  for (uint32_t segment = 0; segment < spec.weight_segments(); ++segment) {
    for (size_t kind = 0; kind < std::size(kNames); ++kind) {
      const MatrixUpload& m = plan.matrix[segment][kind];
      if (m.most_rows == 0) continue;
      text += "  " + std::string(kNames[kind]) + (segment != 0 ? " of segment " + std::to_string(segment) : "") + ": " +
              format_name(m.row.format) + " rows of " + std::to_string(m.row.host_bytes) + " bytes, " +
              std::to_string(m.row.bytes) + " there, " + kHow[static_cast<size_t>(m.how)] + " (" + m.why + ")\n";
    }
  }
  return text;
}

}  // namespace moevk
