// SPDX-License-Identifier: MIT
//
// Who packs rows and what an upload takes, for devices that are not here; and the kernel's push constants, which must say
// of every format what the table of block formats says. tests/backend compares the bytes on a device that is here.
#include "runtime/upload_plan.h"

#include <gtest/gtest.h>

#include <cstring>

#include "push_constants.h"
#include "runtime/block_format.h"
#include "tests/layers/layer_shapes.h"

namespace moevk::unit {
namespace {

DeviceCaps device() {
  DeviceCaps caps;
  caps.max_workgroup_count = 65535;
  caps.max_storage_buffer_range = 1u << 27;
  caps.max_allocation_bytes = 1u << 30;
  caps.storage_offset_alignment = 64;
  caps.buffer_device_address = 1;
  return caps;
}

LayerSpec layer(WeightFormat gate, WeightFormat up, WeightFormat down) {
  LayerShape shape = layer_shape("qwen3-30b");
  shape.experts = 2;
  shape.top_k = 1;
  moe_layer_desc desc = describe(shape, up);
  desc.gate_format = describe(shape, gate).gate_format;
  desc.down_format = describe(shape, down).down_format;
  return make_spec(desc);
}

UploadPlan plan_on(const DeviceCaps& caps, const LayerSpec& spec) {
  return plan_upload(spec, make_weight_layout(spec, caps).value(), caps);
}

TEST(UploadPlan, BlocksArePackedByTheDevice) {
  const LayerSpec spec = layer(WeightFormat::kF16, WeightFormat::kQ4K, WeightFormat::kQ6K);
  const UploadPlan plan = plan_on(device(), spec);
  EXPECT_TRUE(plan.packs);
  EXPECT_EQ(plan.at(0, MatrixKind::kGate).how, RowUpload::kAsTheyAre);
  EXPECT_EQ(plan.at(0, MatrixKind::kUp).how, RowUpload::kPackedByDevice);
  EXPECT_EQ(plan.at(0, MatrixKind::kDown).how, RowUpload::kPackedByDevice);
  // Q6_K at 768 columns: 3 blocks of 210 bytes, which are 640 where they go.
  EXPECT_EQ(plan.at(0, MatrixKind::kDown).staged_row_bytes(), 630u);
  EXPECT_EQ(plan.at(0, MatrixKind::kDown).row.bytes, 640u);
  const std::string text = upload_text(spec, plan);
  EXPECT_NE(text.find("down: Q6_K rows of 630 bytes, 640 there, packed by the device"), std::string::npos) << text;
  EXPECT_NE(text.find("gate: f16 rows of 4096 bytes, 4096 there, as they are"), std::string::npos) << text;
}

TEST(UploadPlan, StrickenKernelLeavesItToTheHost) {
  DeviceCaps caps = device();
  caps.struck_kernels = "scan+pack_rows";
  const UploadPlan plan = plan_on(caps, layer(WeightFormat::kF16, WeightFormat::kQ4K, WeightFormat::kQ6K));
  EXPECT_FALSE(plan.packs);
  EXPECT_FALSE(plan.twins);
  EXPECT_EQ(plan.at(0, MatrixKind::kUp).how, RowUpload::kPackedByHost);
  EXPECT_EQ(plan.at(0, MatrixKind::kDown).staged_row_bytes(), 640u);
  EXPECT_EQ(plan.staging_bytes, kUploadSlots * kUploadSlotBytes);
}

TEST(UploadPlan, ADeviceOfTheHostsCoresLeavesItToTheHost) {
  DeviceCaps caps = device();
  caps.host_packing = 1;
  const LayerSpec spec = layer(WeightFormat::kF16, WeightFormat::kQ4K, WeightFormat::kQ6K);
  const UploadPlan plan = plan_on(caps, spec);
  EXPECT_FALSE(plan.packs);
  EXPECT_EQ(plan.at(0, MatrixKind::kUp).how, RowUpload::kPackedByHost);
  EXPECT_EQ(plan.at(0, MatrixKind::kGate).how, RowUpload::kAsTheyAre);
  EXPECT_NE(upload_text(spec, plan).find("packed by the host (kernels run on the host's cores)"), std::string::npos);
}

TEST(UploadPlan, StagingIsFixed) {
  DeviceCaps caps = device();
  const LayerSpec blocks = layer(WeightFormat::kQ8_0, WeightFormat::kQ8_0, WeightFormat::kQ8_0);
  const LayerSpec plain = layer(WeightFormat::kF16, WeightFormat::kF16, WeightFormat::kF16);
  EXPECT_EQ(plan_on(caps, blocks).staging_bytes, 2 * kUploadSlots * kUploadSlotBytes);  // with twins
  EXPECT_EQ(plan_on(caps, plain).staging_bytes, kUploadSlots * kUploadSlotBytes);
  caps.unified_memory = 1;
  EXPECT_EQ(plan_on(caps, blocks).staging_bytes, kUploadSlots * kUploadSlotBytes);
}

// One dispatch stays within what is bound, the grid and the slot on the least of devices.
TEST(UploadPlan, DispatchesFitTheDevice) {
  for (uint32_t number = kNumberFormatQ40; number < kWeightFormats; ++number) {
    const auto format = static_cast<WeightFormat>(number);
    LayerShape shape;
    shape.hidden = shape.intermediate = block_elements(format);
    shape.experts = shape.top_k = 1;
    for (const uint64_t range : {1u << 20, 1u << 30}) {
      DeviceCaps caps = device();
      caps.max_storage_buffer_range = range;
      const MatrixUpload m = plan_on(caps, make_spec(shape, format)).at(0, MatrixKind::kUp);
      ASSERT_GT(m.most_rows, 0u);
      EXPECT_LE(m.most_rows * m.row.host_bytes + 256, std::max<uint64_t>(range, kUploadSlotBytes + 256));
      EXPECT_LE(m.most_rows * m.row.host_bytes, kUploadSlotBytes);
      EXPECT_LE(m.most_rows * m.row.host_bytes + 256, range);
      EXPECT_LE(pack_rows_dispatch(m.row, m.most_rows, 0, 0).grid[0], caps.max_workgroup_count);
    }
  }
}

// What the kernel takes for granted: eight bits hold each number, and fields narrower than a byte begin and end at words.
TEST(UploadPlan, PushConstantsSayWhatTheTableSays) {
  for (uint32_t number = kNumberFormatQ40; number < kWeightFormats; ++number) {
    const auto format = static_cast<WeightFormat>(number);
    SCOPED_TRACE(format_name(format));
    const BlockFormat& f = *find_block_format(format);
    const PackedRow row = packed_row(format, 3 * f.elements);
    const Dispatch dispatch = pack_rows_dispatch(row, 7, 5, 9);
    PackRowsPush push;
    ASSERT_EQ(dispatch.push_words * 4, sizeof push);
    std::memcpy(&push, dispatch.push.data(), sizeof push);
    EXPECT_EQ(push.rows, 7u);
    EXPECT_EQ(push.blocks, 3u);
    EXPECT_EQ(push.block_bytes, f.bytes);
    EXPECT_EQ(push.host_bytes, 3 * f.bytes);
    EXPECT_EQ(push.row_words * 4, row.bytes);
    EXPECT_EQ(push.from_offset, 5u);
    EXPECT_EQ(push.to_offset, 9u);
    EXPECT_EQ(dispatch.grid[0], (7 * push.row_words + kNumberWorkgroup - 1) / kNumberWorkgroup);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < push.fields; ++i) {
      const BlockField& field = f.fields[i];
      EXPECT_EQ(push.field[i].shape & 255, field.byte);
      EXPECT_EQ(push.field[i].shape >> 8 & 255, field.bits);
      EXPECT_EQ(push.field[i].shape >> 16 & 255, field.stride);
      EXPECT_EQ(push.field[i].shape >> 24, field.bytes());
      const uint32_t earlier = push.field[i].place & 255, before = push.field[i].place >> 8 & 255;
      EXPECT_EQ(earlier + before, bytes) << "field " << i << " follows the one before";
      EXPECT_LE(before + field.bytes(), push.field[i].place >> 16);
      if (field.bits != 8) {
        EXPECT_EQ((earlier + before) % 4, 0u);
        EXPECT_EQ(field.bytes() % 4, 0u);
        EXPECT_EQ((push.field[i].place >> 16) % 4, 0u);
        EXPECT_EQ(field.stride % 4, 0u);
      }
      bytes += field.bytes();
    }
    EXPECT_EQ(bytes, f.bytes);
    EXPECT_TRUE(push.fields == kMaxBlockFields || f.fields[push.fields].count == 0);
  }
}

}  // namespace
}  // namespace moevk::unit
