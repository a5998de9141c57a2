// SPDX-License-Identifier: MIT
//
// Uploads into a sink that only takes notes: for every layout, order, format and kind of shared expert each row of the
// device's matrices arrives exactly once, with the elements that the host's layout gives it. From memory, callback,
// part by part, and cancelled half-way. What the ABI shows of uploads is tests/abi/weights_test.cpp's.
#include "runtime/weight_upload.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "tests/layers/layer_shapes.h"

namespace moevk::unit {
namespace {

using RowKey = std::tuple<uint32_t, MatrixKind, uint32_t, uint32_t>;  // segment, kind, expert, row

struct Notes {
  std::map<RowKey, std::vector<std::byte>> rows;
  std::map<std::pair<VectorKind, uint64_t>, float> values;
  int finished = 0;
};

class NotingSink final : public WeightSink {
 public:
  NotingSink(const LayerSpec& spec, Notes* notes) : spec_(spec), notes_(notes) {}

  Status store_rows(uint32_t segment, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                    const std::byte* source, uint64_t stride) override {
    const Segment& s = spec_.segment[segment];
    const WeightFormat formats[] = {s.gate, s.up, s.down};
    const uint64_t columns = kind == MatrixKind::kDown ? s.intermediate : spec_.desc.hidden;
    const uint64_t bytes = row_bytes(formats[static_cast<size_t>(kind)], columns);
    EXPECT_GE(stride, bytes);
    for (uint32_t i = 0; i < rows; ++i) {
      const std::byte* row = source + i * stride;
      const RowKey key = {segment, kind, expert, first_row + i};
      EXPECT_TRUE(notes_->rows.emplace(key, std::vector<std::byte>(row, row + bytes)).second) << "a row came twice";
    }
    return {};
  }

  Status store_vector(VectorKind kind, uint64_t first, const float* values, uint64_t count) override {
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(notes_->values.emplace(std::pair(kind, first + i), values[i]).second) << "a value came twice";
    }
    return {};
  }

  Result<std::shared_ptr<Layer>> finish() override {
    ++notes_->finished;
    return std::shared_ptr<Layer>();
  }

 private:
  LayerSpec spec_;
  Notes* notes_;
};

// Which element of the layer's mathematics: gate, up or down of an expert (or of the shared one) at row and column.
uint32_t bits_of(bool shared, MatrixKind kind, uint32_t expert, uint32_t row, uint32_t column) {
  uint32_t x = (shared ? 7919u : 0u) + static_cast<uint32_t>(kind) * 104729u + expert * 1299709u + row * 15485863u +
               column * 32452843u;
  x ^= x >> 15;
  x *= 2246822519u;
  return x ^ (x >> 13);
}

void put(std::vector<std::byte>* out, uint32_t dtype, uint32_t bits) {
  const uint64_t bytes = dtype_bytes(dtype);
  const size_t at = out->size();
  out->resize(at + bytes);
  const auto half = static_cast<uint16_t>(bits);
  std::memcpy(out->data() + at, bytes == 4 ? static_cast<const void*>(&bits) : static_cast<const void*>(&half), bytes);
}

// The tensor as the host has it, by the definition of each layout in moe_plugin.h.
std::vector<std::byte> host_matrix(const moe_layer_desc& d, const TensorSpec& t) {
  std::vector<std::byte> data;
  const bool turned = d.matrix_order == MOE_MATRIX_IN_OUT;
  const uint32_t out_rows = turned ? t.columns : t.rows;
  const uint32_t width = out_rows / 2;
  for (uint32_t e = 0; e < std::max(t.experts, 1u); ++e) {
    for (uint32_t r = 0; r < t.rows; ++r) {
      for (uint32_t c = 0; c < t.columns; ++c) {
        uint32_t row = turned ? c : r;
        const uint32_t column = turned ? r : c;
        MatrixKind kind = t.matrix;
        if (t.role == TensorSpec::Role::kGateUpMatrix) {
          const bool interleaved = d.gate_up_layout == MOE_GATE_UP_INTERLEAVED;
          const bool second = interleaved ? row % 2 == 1 : row >= width;
          const bool up = second != (d.gate_up_layout == MOE_GATE_UP_CONCATENATED_UP_FIRST);
          kind = up ? MatrixKind::kUp : MatrixKind::kGate;
          row = interleaved ? row / 2 : row % width;
        }
        put(&data, t.dtype, bits_of(t.shared, kind, e, row, column));
      }
    }
  }
  return data;
}

float vector_value(const TensorSpec& t, uint64_t index) {
  return static_cast<float>(index + 1) + 1000.0f * static_cast<float>(t.name.size());
}

struct Upload {
  LayerSpec spec;
  Notes notes;
  std::map<std::string, std::vector<std::byte>> data;
  std::vector<TensorSpec> tensors;
  WeightUpload upload;

  explicit Upload(const moe_layer_desc& desc, WeightUpload::Progress progress = {})
      : spec(make_spec(desc)),
        tensors(list_tensors(spec)),
        upload(std::make_shared<SharedState>(moe_init<moe_instance_desc>(), Options{}), spec,
               std::make_unique<NotingSink>(spec, &notes), progress) {
    for (const TensorSpec& t : tensors) {
      if (t.is_matrix()) {
        if (is_plain(t.format)) data[t.name] = host_matrix(desc, t);
        continue;
      }
      const uint64_t count = std::max(t.experts, 1u) * t.elements_per_expert();
      data[t.name].resize(count * 4);
      for (uint64_t i = 0; i < count; ++i) store_element(MOE_DTYPE_F32, data[t.name].data(), i, vector_value(t, i));
    }
  }

  moe_tensor_source source(const TensorSpec& t) {
    moe_tensor_source s = moe_init<moe_tensor_source>();
    s.name = t.name.c_str();
    s.dtype = t.dtype;
    s.memory = data[t.name].data();
    s.bytes = data[t.name].size();
    return s;
  }

  Status add_all() {
    for (const TensorSpec& t : tensors) MOE_RETURN_IF_ERROR(upload.add_tensor(source(t)));
    return {};
  }
};

// Every row of every matrix of the device, by its meaning: shared experts that join follow the routed ones, each with
// its share of the width.
void expect_all_rows(const LayerSpec& spec, const Notes& notes) {
  size_t expected = 0;
  for (uint32_t i = 0; i < spec.segments; ++i) {
    const Segment& s = spec.segment[i];
    const WeightFormat formats[] = {s.gate, s.up, s.down};
    for (const MatrixKind kind : {MatrixKind::kGate, MatrixKind::kUp, MatrixKind::kDown}) {
      if (kind == MatrixKind::kGate && !spec.gated) continue;
      const bool down = kind == MatrixKind::kDown;
      const uint32_t dtype = dtype_of(formats[static_cast<size_t>(kind)]);
      for (uint32_t e = 0; e < s.experts; ++e) {
        const bool shared = s.first_expert + e >= spec.desc.experts;
        const uint32_t part = shared ? s.first_expert + e - spec.desc.experts : 0;
        for (uint32_t row = 0; row < (down ? spec.desc.hidden : s.intermediate); ++row, ++expected) {
          std::vector<std::byte> bytes;
          for (uint32_t c = 0; c < (down ? s.intermediate : spec.desc.hidden); ++c) {
            const uint32_t host_row = down ? row : row + part * s.intermediate;
            const uint32_t host_column = down ? c + part * s.intermediate : c;
            put(&bytes, dtype, bits_of(shared, kind, shared ? 0 : e, host_row, host_column));
          }
          const auto at = notes.rows.find({i, kind, e, row});
          ASSERT_TRUE(at != notes.rows.end())
              << "segment " << i << ", matrix " << static_cast<int>(kind) << ", expert " << e << ", row " << row;
          ASSERT_EQ(at->second, bytes) << "segment " << i << ", matrix " << static_cast<int>(kind) << ", expert " << e
                                       << ", row " << row;
        }
      }
    }
  }
  EXPECT_EQ(notes.rows.size(), expected);
}

// Rows of blocks arrive as they are, those of a joined shared expert's down cut between blocks.
TEST(WeightUpload, RowsOfBlocks) {
  for (const WeightFormat format : {WeightFormat::kQ4_0, WeightFormat::kNvfp4}) {
    for (const uint32_t layout : {MOE_GATE_UP_SEPARATE, MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_INTERLEAVED}) {
      moe_layer_desc desc = describe({"blocks", 128, 64, 2, 1, 128}, format);
      desc.gate_up_layout = layout;
      SCOPED_TRACE(testing::Message() << format_name(format) << ", layout " << layout);
      Upload u(desc);
      ASSERT_EQ(u.spec.shared_slots, 2u);
      for (const TensorSpec& t : u.tensors) {
        if (!t.is_matrix()) continue;
        EXPECT_EQ(t.total_bytes(), std::max(t.experts, 1u) * t.rows * row_bytes(format, t.columns));
        std::vector<std::byte>& data = u.data[t.name];
        data.resize(t.total_bytes());
        for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
      }
      const Status status = u.add_all();
      ASSERT_TRUE(status.ok()) << status.text();
      EXPECT_TRUE(u.upload.commit().ok());
      // Row 3 of down of the second part of the shared expert: the second half of the host's row.
      const std::vector<std::byte>& down = u.data["shared.down"];
      const size_t half = row_bytes(format, 64);
      const std::vector<std::byte>& got = u.notes.rows.at({0, MatrixKind::kDown, 3, 3});
      EXPECT_TRUE(std::equal(got.begin(), got.end(), down.begin() + static_cast<ptrdiff_t>(3 * 2 * half + half)));
      // Row 5 of up of expert 1.
      const bool joint = layout != MOE_GATE_UP_SEPARATE;
      const std::vector<std::byte>& up = u.data[joint ? "experts.gate_up" : "experts.up"];
      const size_t row = row_bytes(format, 128), rows = joint ? 128 : 64;
      const size_t at = layout == MOE_GATE_UP_INTERLEAVED ? 2 * 5 + 1 : joint ? 64 + 5 : 5;
      const std::vector<std::byte>& up_row = u.notes.rows.at({0, MatrixKind::kUp, 1, 5});
      EXPECT_TRUE(std::equal(up_row.begin(), up_row.end(), up.begin() + static_cast<ptrdiff_t>((rows + at) * row)));
      EXPECT_EQ(u.notes.rows.size(), 4u * (64 + 64 + 128));
    }
  }
}

// Bytes that are no whole number of blocks, and another type than the descriptor's.
TEST(WeightUpload, BlocksThatDoNotFit) {
  Upload u(describe({"blocks", 128, 64, 2, 1}, WeightFormat::kQ4_0));
  const TensorSpec& t = *std::find_if(u.tensors.begin(), u.tensors.end(), [](const auto& x) { return x.is_matrix(); });
  u.data[t.name].resize(t.total_bytes());
  moe_tensor_source s = u.source(t);
  s.bytes -= 1;
  Status status = u.upload.add_tensor(s);
  EXPECT_EQ(status.argument(), "source.bytes");
  EXPECT_NE(status.text().find("blocks of Q4_0"), std::string::npos) << status.text();
  s = u.source(t);
  s.dtype = MOE_DTYPE_F16;
  status = u.upload.add_tensor(s);
  EXPECT_EQ(status.argument(), "source.dtype");
  EXPECT_NE(status.text().find("the descriptor says blocks of Q4_0"), std::string::npos) << status.text();
}

TEST(WeightUpload, EveryLayoutOrderAndFormat) {
  for (const uint32_t layout :
       {MOE_GATE_UP_SEPARATE, MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_CONCATENATED_UP_FIRST, MOE_GATE_UP_INTERLEAVED}) {
    for (const uint32_t order : {MOE_MATRIX_OUT_IN, MOE_MATRIX_IN_OUT}) {
      for (const uint32_t shared : {0u, 7u, 21u, 5u}) {  // none, joins as one, as three, not at all
        for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16}) {
          moe_layer_desc desc = describe({"small", 11, 7, 3, 1, shared}, format);
          desc.gate_up_layout = layout;
          desc.matrix_order = order;
          if (layout == MOE_GATE_UP_SEPARATE) desc.down_format.element = MOE_ELEMENT_F32;  // formats may differ
          SCOPED_TRACE(testing::Message() << "layout " << layout << ", order " << order << ", shared " << shared << ", "
                                          << format_name(format));
          Upload u(desc);
          const Status status = u.add_all();
          ASSERT_TRUE(status.ok()) << status.text();
          EXPECT_TRUE(u.upload.commit().ok());
          EXPECT_EQ(u.notes.finished, 1);
          expect_all_rows(u.spec, u.notes);
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(WeightUpload, Ungated) {
  moe_layer_desc desc = describe({"small", 11, 7, 3, 1, 14}, WeightFormat::kBf16);
  desc.flags = MOE_LAYER_UNGATED;
  Upload u(desc);
  ASSERT_TRUE(u.add_all().ok());
  expect_all_rows(u.spec, u.notes);
}

TEST(WeightUpload, VectorsGoToTheirPlaces) {
  for (const uint32_t layout :
       {MOE_GATE_UP_SEPARATE, MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_CONCATENATED_UP_FIRST, MOE_GATE_UP_INTERLEAVED}) {
    LayerShape shape = {"small", 5, 4, 3, 1, 4, MOE_SHARED_GATE_SIGMOID};
    shape.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_INPUT_NORM | MOE_LAYER_EXPERT_BIAS;
    moe_layer_desc desc = describe(shape, WeightFormat::kF32);
    desc.gate_up_layout = layout;
    Upload u(desc);
    ASSERT_TRUE(u.add_all().ok());
    std::map<std::pair<VectorKind, uint64_t>, float> expected;
    for (const TensorSpec& t : u.tensors) {
      if (t.is_matrix()) continue;
      const uint64_t count = std::max(t.experts, 1u) * t.elements_per_expert();
      for (uint64_t i = 0; i < count; ++i) {
        if (t.role != TensorSpec::Role::kGateUpVector) {
          expected[{t.vector, t.vector_first + i}] = vector_value(t, i);
          continue;
        }
        const uint64_t expert = i / 8, at = i % 8;  // 2 x 4 a expert
        const bool interleaved = layout == MOE_GATE_UP_INTERLEAVED;
        const bool second = interleaved ? at % 2 == 1 : at >= 4;
        const bool up = second != (layout == MOE_GATE_UP_CONCATENATED_UP_FIRST);
        expected[{up ? VectorKind::kUpBias : VectorKind::kGateBias, expert * 4 + (interleaved ? at / 2 : at % 4)}] =
            vector_value(t, i);
      }
    }
    EXPECT_EQ(u.notes.values, expected) << layout;
    EXPECT_EQ((u.notes.values.count({VectorKind::kRouter, 3 * 5 + 4})), 1u)
        << "the shared gate's row is the router's last";
  }
}

// 5.6 MB an expert: more than is read at a time, and the cut falls within gate, within up, or between a pair.
TEST(WeightUpload, ChunksOfACallback) {
  for (const uint32_t layout : {MOE_GATE_UP_CONCATENATED, MOE_GATE_UP_CONCATENATED_UP_FIRST, MOE_GATE_UP_INTERLEAVED}) {
    moe_layer_desc desc = describe({"large", 1001, 700, 2, 1}, WeightFormat::kF32);
    desc.gate_up_layout = layout;
    Upload u(desc);
    struct Reads {
      const std::vector<std::byte>* data;
      size_t calls = 0;
      uint64_t next = 0;
    };
    for (const TensorSpec& t : u.tensors) {
      Reads reads{&u.data[t.name]};
      moe_tensor_source s = u.source(t);
      s.source = MOE_SOURCE_CALLBACK;
      s.memory = nullptr;
      s.user = &reads;
      s.read = [](void* user, uint64_t offset, void* destination, uint64_t bytes) -> int32_t {
        auto* r = static_cast<Reads*>(user);
        EXPECT_EQ(offset, r->next) << "offsets rise without gap";
        if (offset + bytes > r->data->size()) return 1;
        std::memcpy(destination, r->data->data() + offset, bytes);
        r->next = offset + bytes;
        ++r->calls;
        return 0;
      };
      const Status status = u.upload.add_tensor(s);
      ASSERT_TRUE(status.ok()) << status.text();
      EXPECT_EQ(reads.next, reads.data->size());
      EXPECT_GE(reads.calls, t.name == "experts.gate_up" ? 4u : 1u);
    }
    expect_all_rows(u.spec, u.notes);
  }
}

TEST(WeightUpload, ExpertByExpert) {
  Upload u(describe({"small", 11, 7, 5, 1}, WeightFormat::kF16));
  for (const TensorSpec& t : u.tensors) {
    for (const uint32_t expert : {3u, 0u, 4u, 1u}) {  // the last call brings nothing twice: 1 and 2
      moe_tensor_source s = u.source(t);
      s.expert_first = expert;
      s.expert_count = expert == 1 ? 2 : 1;
      const uint64_t one = s.bytes / 5;
      s.memory = u.data[t.name].data() + expert * one;
      s.bytes = s.expert_count * one;
      const Status status = u.upload.add_tensor(s);
      ASSERT_TRUE(status.ok()) << t.name << ": " << status.text();
    }
  }
  EXPECT_TRUE(u.upload.commit().ok());
  expect_all_rows(u.spec, u.notes);
}

struct Stop {
  int calls = 0;
  int at = 0;
  uint64_t last = 0, total = 0;

  static int32_t MOE_CALL report(void* user, uint64_t done, uint64_t total) {
    auto* stop = static_cast<Stop*>(user);
    EXPECT_GE(done, stop->last) << "progress never falls";
    EXPECT_LE(done, total);
    stop->last = done;
    stop->total = total;
    return ++stop->calls == stop->at ? 1 : 0;
  }
};

TEST(WeightUpload, ProgressEndsAtTheTotal) {
  Stop never;
  Upload u(describe({"small", 11, 7, 3, 1, 14}, WeightFormat::kF16), {&never, Stop::report});
  ASSERT_TRUE(u.add_all().ok());
  EXPECT_TRUE(u.upload.commit().ok());
  EXPECT_EQ(never.last, never.total);
  uint64_t bytes = 0;
  for (const auto& [name, data] : u.data) bytes += data.size();
  EXPECT_EQ(never.total, bytes);
}

TEST(WeightUpload, CancelledAtAnyReport) {
  Stop never;
  const moe_layer_desc desc = describe({"small", 11, 7, 3, 1}, WeightFormat::kF16);
  {
    Upload u(desc, {&never, Stop::report});
    ASSERT_TRUE(u.add_all().ok());
    ASSERT_TRUE(u.upload.commit().ok());
  }
  ASSERT_GT(never.calls, 5);
  for (int at = 1; at <= never.calls; ++at) {
    Stop stop;
    stop.at = at;
    Upload u(desc, {&stop, Stop::report});
    Status status = u.add_all();
    if (status.ok()) status = std::move(u.upload.commit().status());
    EXPECT_EQ(status.code(), MOE_ERROR_CANCELLED) << at;
    EXPECT_EQ(u.upload.add_tensor(u.source(u.tensors.front())).code(), MOE_ERROR_STATE) << at;
    EXPECT_EQ(u.upload.commit().status().code(), MOE_ERROR_STATE) << at;
    EXPECT_EQ(u.notes.finished, 0) << at;
  }
}

}  // namespace
}  // namespace moevk::unit
