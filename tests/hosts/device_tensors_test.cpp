// SPDX-License-Identifier: MIT
//
// Matrices that the host writes and reads in any pieces, and that lie in device memory alone.
// Needs a Vulkan device; it is the best one, or the one that MOEVK_DEVICE names.
#include "hosts/ggml/device_tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "hosts/ggml/weight_types.h"
#include "plugin_api/moe_plugin_introspection.h"

namespace moevk::hosts {
namespace {

using ggml::DeviceTensors;
using ggml::Tensor;

struct Type {
  const char* name;
  int64_t columns;  // of a block
  size_t bytes;
};
constexpr Type kTypes[] = {{"f32", 1, 4},      {"f16", 1, 2},     {"q8_0", 32, 34},  {"q6_K", 256, 210},
                           {"q4_K", 256, 144}, {"q4_0", 32, 18},  {"mxfp4", 32, 17}, {"iq3_xxs", 256, 98},
                           {"tq1_0", 256, 54}, {"q3_K", 256, 110}};

ggml::HostGgml fake_host() {
  ggml::HostGgml host{};
  host.type_name = [](int32_t type) { return kTypes[type].name; };
  host.block_columns = [](int32_t type) { return kTypes[type].columns; };
  host.type_bytes = [](int32_t type) { return kTypes[type].bytes; };
  return host;
}

class DeviceTensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    instance_ = moe::create_instance(library_);
    uint32_t index = 0;
    moe::check([&](moe_error* error) { return library_->choose_device(instance_, &index, error); });
    moe_device_info info = MOE_INIT(moe_device_info);
    moe::check([&](moe_error* error) { return library_->get_device_info(instance_, index, &info, error); });
    if (info.kind == MOE_DEVICE_KIND_REFERENCE) GTEST_SKIP() << "no Vulkan device";
    device_ = moe::open_device(library_, instance_, index);
    tensors_ = std::make_unique<DeviceTensors>(host_, library_, device_);
  }

  uint64_t device_bytes() const {
    moe_statistics statistics = MOE_INIT(moe_statistics);
    const auto* introspection = library_.extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
    moe::check([&](moe_error* error) { return introspection->get_statistics(instance_, &statistics, error); });
    return statistics.allocated_bytes;
  }

  // A matrix [columns, 5, 3] at a made-up address: nobody may follow it.
  static Tensor matrix(int32_t type, uintptr_t address) {
    Tensor tensor{};
    tensor.type = type;
    tensor.ne[0] = kTypes[type].columns == 1 ? 19 : 2 * kTypes[type].columns;  // padded, where that can be
    tensor.ne[1] = 5;
    tensor.ne[2] = 3;
    tensor.ne[3] = 1;
    tensor.data = reinterpret_cast<void*>(address);
    return tensor;
  }
  static size_t row_bytes(const Tensor& tensor) {
    return static_cast<size_t>(tensor.ne[0] / kTypes[tensor.type].columns) * kTypes[tensor.type].bytes;
  }

  const ggml::HostGgml host_ = fake_host();
  moe::Library library_{MOEVK_TEST_LIBRARY};
  moe::Instance instance_;
  moe::Device device_;
  std::unique_ptr<DeviceTensors> tensors_;
};

TEST_F(DeviceTensorsTest, WritesInAnyPiecesComeBackBitForBit) {
  std::mt19937 random(3);
  for (int32_t type = 0; type < static_cast<int32_t>(std::size(kTypes)); ++type) {
    SCOPED_TRACE(kTypes[type].name);
    const Tensor tensor = matrix(type, 0x7000'0000u);
    std::string why;
    ASSERT_TRUE(tensors_->take(tensor, why)) << why;
    const size_t bytes = row_bytes(tensor) * 15;
    std::vector<char> expected(bytes, 0), got(bytes, 1);
    char* const begin = static_cast<char*>(tensor.data);
    tensors_->read(begin, got.data(), bytes);
    EXPECT_EQ(got, expected) << "fresh memory is zero";
    const auto draw = [&](size_t below) { return std::uniform_int_distribution<size_t>(0, below)(random); };
    for (int piece = 0; piece < 40; ++piece) {
      const size_t from = draw(bytes - 1), count = piece == 0 ? bytes - from : draw(bytes - from);
      std::vector<char> data(count);
      for (char& byte : data) byte = static_cast<char>(draw(255));
      if (piece % 8 == 7) {
        tensors_->fill(begin + from, 0x5a, count);
        std::fill_n(expected.begin() + static_cast<ptrdiff_t>(from), count, char{0x5a});
      } else {
        tensors_->write(begin + from, data.data(), count);
        std::copy(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(from));
      }
    }
    tensors_->read(begin, got.data(), bytes);
    EXPECT_EQ(got, expected);
    const size_t middle = bytes / 3;
    std::vector<char> part(bytes - 2 * middle);
    tensors_->read(begin + middle, part.data(), part.size());
    EXPECT_EQ(std::memcmp(part.data(), expected.data() + middle, part.size()), 0);
    const char* at = nullptr;
    EXPECT_EQ(tensors_->copy(begin + middle, at), expected);
    EXPECT_EQ(at, begin);
    tensors_->release(begin, 1);
    EXPECT_FALSE(tensors_->has(begin));
  }
}

TEST_F(DeviceTensorsTest, MemoryIsTheDevicesAndIsGivenBack) {
  const uint64_t before = device_bytes();
  const Tensor first = matrix(2, 0x7000'0000u), second = matrix(4, 0x7100'0000u);
  std::string why;
  ASSERT_TRUE(tensors_->take(first, why)) << why;
  ASSERT_TRUE(tensors_->take(second, why)) << why;
  EXPECT_GE(device_bytes() - before, row_bytes(first) * 15 + row_bytes(second) * 15);
  EXPECT_EQ(device_bytes() - before, tensors_->bytes());
  EXPECT_TRUE(tensors_->has(static_cast<char*>(first.data) + row_bytes(first) * 15 - 1));
  EXPECT_FALSE(tensors_->has(static_cast<char*>(first.data) + row_bytes(first) * 15));
  EXPECT_NE(tensors_->buffer(first.data), nullptr);
  EXPECT_EQ(tensors_->buffer(static_cast<char*>(first.data) + 1), nullptr);
  const auto ranges = tensors_->ranges(reinterpret_cast<void*>(uintptr_t{0x7000'0000u}), 0x0200'0000u);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[1].first, second.data);
  EXPECT_EQ(ranges[1].second, row_bytes(second) * 15);
  std::vector<char> across(row_bytes(first));
  EXPECT_THROW(tensors_->read(static_cast<char*>(first.data) + row_bytes(first) * 15 - 1, across.data(), 2),
               std::runtime_error);
  tensors_->release(first.data, 0x0200'0000u);
  EXPECT_EQ(device_bytes(), before);
  EXPECT_EQ(tensors_->bytes(), 0u);
}

}  // namespace
}  // namespace moevk::hosts
