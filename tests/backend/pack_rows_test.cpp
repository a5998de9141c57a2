// SPDX-License-Identifier: MIT
//
// Rows of block formats in a device's memory, bit for bit as the host packs them (runtime/packed_rows.h): every format,
// row ranges in any order and at any stride, slots that run full, windows that cut a matrix, and devices that lack this
// or that. Nothing is judged by what a kernel computes from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "backend/upload_slot.h"
#include "backend/vulkan_layer.h"
#include "tests/backend/opened_device.h"
#include "tests/layers/layer_shapes.h"

namespace moevk::backend_tests {
namespace {

struct Setting {
  const char* name;
  std::set<std::string> disable;
  std::string limits;
  bool packs = true;  // on the device
};
void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

LayerSpec layer(WeightFormat format, uint32_t experts, uint32_t hidden, uint32_t intermediate) {
  LayerShape shape;
  shape.hidden = hidden;
  shape.intermediate = intermediate;
  shape.experts = experts;
  shape.top_k = 1;
  return make_spec(shape, format);
}

std::vector<std::byte> random_bytes(uint64_t bytes, std::mt19937* random) {
  std::vector<std::byte> data(bytes);
  for (std::byte& b : data) b = static_cast<std::byte>((*random)());
  return data;
}

class PackRows : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    opened_ = open_device(GetParam().disable, GetParam().limits);
    if (opened_.device == nullptr) GTEST_SKIP() << opened_.why_none;
  }
  void TearDown() override {
    if (opened_.state == nullptr) return;
    EXPECT_EQ(opened_.state->validation_messages.load(), 0u);
    if (opened_.device == nullptr) return;
    EXPECT_LE(opened_.state->largest_binding_bytes.load(), opened_.device->caps().max_storage_buffer_range);
  }

  static constexpr MatrixKind kKinds[] = {MatrixKind::kGate, MatrixKind::kUp, MatrixKind::kDown};

  struct Range {
    MatrixKind kind;
    uint32_t expert, first, rows;
  };
  // `most` rows at a time, none: all of an expert's at once; then in any order.
  std::vector<Range> ranges(const WeightLayout& layout, uint32_t most) {
    std::vector<Range> all;
    for (const MatrixKind kind : kKinds) {
      const MatrixLayout& m = layout.at(0, kind);
      for (uint32_t e = 0; e < m.experts; ++e) {
        for (uint32_t first = 0, rows = 0; first < m.rows; first += rows) {
          rows = std::min(m.rows - first, most == 0 ? m.rows : 1 + static_cast<uint32_t>(random_() % most));
          all.push_back({kind, e, first, rows});
        }
      }
    }
    if (most != 0) std::shuffle(all.begin(), all.end(), random_);
    return all;
  }

  // Uploads a layer of random bytes, `gap` bytes between the rows, and reads all of it back.
  void expect_packed(const LayerSpec& spec, uint32_t most_rows, uint64_t gap) {
    SCOPED_TRACE(format_name(spec.segment[0].up) + ", hidden " + std::to_string(spec.desc.hidden) + ", intermediate " +
                 std::to_string(spec.desc.intermediate));
    Result<std::unique_ptr<WeightSink>> sink = opened_.device->begin_weights(spec, {});
    ASSERT_TRUE(sink.ok()) << sink.status().text();
    const WeightLayout layout = make_weight_layout(spec, opened_.device->caps()).value();
    EXPECT_EQ(plan_upload(spec, layout, opened_.device->planning_caps()).packs, GetParam().packs);
    std::vector<std::byte> host[3];
    for (const MatrixKind kind : kKinds) {
      const MatrixLayout& m = layout.at(0, kind);
      const uint64_t stride = row_bytes(m.format, m.columns) + gap;
      host[static_cast<size_t>(kind)] = random_bytes(m.experts * m.rows * stride, &random_);
    }
    for (const Range& range : ranges(layout, most_rows)) {
      const MatrixLayout& m = layout.at(0, range.kind);
      const uint64_t stride = row_bytes(m.format, m.columns) + gap;
      const Status stored = sink.value()->store_rows(
          0, range.kind, range.expert, range.first, range.rows,
          host[static_cast<size_t>(range.kind)].data() + (uint64_t{range.expert} * m.rows + range.first) * stride,
          stride);
      ASSERT_TRUE(stored.ok()) << stored.text();
    }
    Result<std::shared_ptr<Layer>> made = sink.value()->finish();
    ASSERT_TRUE(made.ok()) << made.status().text();
    const auto& there = static_cast<const VulkanLayer&>(*made.value());
    for (const MatrixKind kind : kKinds) expect_matrix(there, kind, host[static_cast<size_t>(kind)], gap);
  }

  void expect_matrix(const VulkanLayer& there, MatrixKind kind, const std::vector<std::byte>& host, uint64_t gap) {
    const MatrixLayout& m = there.layout().at(0, kind);
    const PackedRow row = packed_row(m.format, m.columns);
    ASSERT_EQ(row.bytes, m.row_bytes);
    for (uint32_t i = 0; i < m.places.size(); ++i) {
      const uint32_t first = i % m.pieces * m.rows_per_piece;
      const uint32_t rows = std::min(m.rows_per_piece, m.rows - first);
      std::vector<std::byte> expected(rows * row.bytes);
      for (uint32_t r = 0; r < rows; ++r) {
        const uint64_t at = uint64_t{i / m.pieces} * m.rows + first + r;
        row.pack(host.data() + at * (row.host_bytes + gap), expected.data() + r * row.bytes);
      }
      const PiecePlace& place = m.places[i];
      const VkBuffer window = there.memory().windows[place.window].handle;
      const std::vector<std::byte> found = read_device(opened_, window, place.offset_bytes, expected.size());
      const auto differs = std::mismatch(expected.begin(), expected.end(), found.begin()).first - expected.begin();
      ASSERT_EQ(static_cast<uint64_t>(differs), expected.size())
          << "matrix " << static_cast<uint32_t>(kind) << ", piece " << i << ": row "
          << static_cast<uint64_t>(differs) / row.bytes << ", byte " << static_cast<uint64_t>(differs) % row.bytes;
    }
  }

  OpenedDevice opened_;
  std::mt19937 random_{11};
};

TEST_P(PackRows, EveryFormatAndRaggedRanges) {
  for (uint32_t number = kNumberFormatQ40; number < kWeightFormats; ++number) {
    const auto format = static_cast<WeightFormat>(number);
    const uint32_t block = block_elements(format);
    expect_packed(layer(format, 3, block, 3 * block), 5, 0);
    expect_packed(layer(format, 2, 5 * block, 2 * block), 70, 7);
    if (HasFailure()) return;
  }
}

// More than a slot in one range, more than a window in one matrix, and rows that begin at every byte of a word.
TEST_P(PackRows, SlotsRunFullAndMatricesAreCut) {
  for (const WeightFormat format : {WeightFormat::kQ4_0, WeightFormat::kQ6K, WeightFormat::kMxfp4}) {
    const LayerSpec spec = layer(format, 1, 4352, 4608);
    expect_packed(spec, 0, 0);
    expect_packed(spec, 900, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Devices, PackRows,
    testing::Values(
        Setting{"as_it_is", {}, "host_packing=0"},
        Setting{"without_addresses_and_pushed_descriptors", {"bda", "push_descriptors"}, "host_packing=0"},
        Setting{"memory_apart", {"unified"}, "host_packing=0"},
        Setting{"range_16_MiB", {"bda"}, "host_packing=0,max_storage_buffer_range=16777216"},
        Setting{"range_1_MiB", {"unified", "push_descriptors"}, "host_packing=0,max_storage_buffer_range=1048576"},
        Setting{"packed_by_the_host", {}, "struck_kernels=pack_rows", false}),
    [](const auto& info) { return info.param.name; });

// A device that binds at multiples of 256 bytes: rows begin somewhere in the bound ranges, which have bytes in common.
TEST(UploadSlot, RangesBeginWhereTheDeviceCanBind) {
  const OpenedDevice opened = open_device({}, "host_packing=0");
  if (opened.device == nullptr) GTEST_SKIP() << opened.why_none;
  const LayerSpec spec = layer(WeightFormat::kQ5K, 1, 256, 256);
  UploadPlan plan =
      plan_upload(spec, make_weight_layout(spec, opened.device->caps()).value(), opened.device->planning_caps());
  ASSERT_TRUE(plan.packs);
  plan.alignment = 256;
  const MatrixUpload& upload = plan.at(0, MatrixKind::kUp);
  constexpr uint32_t kRows = 64, kRun = 8;
  Result<GpuBuffer> window = GpuBuffer::create(opened.device->allocator(), kRows * upload.row.bytes,
                                               GpuBuffer::Use::kPrivate, "a test's window");
  ASSERT_TRUE(window.ok());
  Timeline timeline(opened.device->vk(), opened.device->handle());
  ASSERT_TRUE(timeline.open().ok());
  Result<Pipeline> pack = opened.device->pipelines().get(pack_rows_kernel());
  ASSERT_TRUE(pack.ok()) << pack.status().text();
  UploadSlot slot(opened.device.get());
  ASSERT_TRUE(slot.open(plan, pack.value()).ok());
  std::mt19937 random(5);
  const std::vector<std::byte> host = random_bytes(kRows * upload.row.host_bytes, &random);
  for (uint64_t value = 1; value <= 2; ++value) {        // the second half begins within the first submission's range
    for (uint32_t run = kRows / kRun / 2; run-- > 0;) {  // backwards, so that runs stay apart
      const uint32_t first = (static_cast<uint32_t>(value - 1) * kRows / 2) + run * kRun;
      std::byte* const to = slot.pack(upload, kRun, window.value().handle(), first * upload.row.bytes);
      std::memcpy(to, host.data() + first * upload.row.host_bytes, kRun * upload.row.host_bytes);
    }
    ASSERT_TRUE(slot.submit(timeline, value).ok());
    ASSERT_TRUE(slot.reuse(timeline).ok());
  }
  std::vector<std::byte> expected(kRows * upload.row.bytes);
  for (uint32_t r = 0; r < kRows; ++r) {
    upload.row.pack(host.data() + r * upload.row.host_bytes, expected.data() + r * upload.row.bytes);
  }
  EXPECT_EQ(read_device(opened, window.value().handle(), 0, expected.size()), expected);
  EXPECT_EQ(opened.state->validation_messages.load(), 0u);
}

}  // namespace
}  // namespace moevk::backend_tests
