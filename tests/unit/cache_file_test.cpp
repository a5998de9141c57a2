// SPDX-License-Identifier: MIT
//
// The pipeline cache's file: what was written comes back, and nothing else ever does - a driver trusts what it is
// given. A folder that cannot be written is a sentence, not a failure.
#include "backend/cache_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/system.h"
#include "tests/support/scratch_folder.h"
#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

const std::vector<char> kData = {'a', 'b', '\0', '\xFF', 'c', '\n', 'd'};

std::string write_raw(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(text.data(), static_cast<std::streamsize>(text.size()));
  return path.string();
}

TEST(CacheFile, ComesBack) {
  const moe_tests::ScratchFolder folder;
  const std::string path = (folder.path() / "not/there/yet.bin").string();
  EXPECT_EQ(read_cache_file(path), std::vector<char>());
  for (const std::vector<char>& data : {kData, std::vector<char>(100000, 'x'), std::vector<char>{'y'}}) {
    EXPECT_EQ(write_cache_file(path, data), "");
    EXPECT_EQ(read_cache_file(path), data);
  }
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path() / "not/there")) ++files;
  EXPECT_EQ(files, 1u) << "no temporary file is left";
  EXPECT_EQ(read_cache_file(""), std::vector<char>());
}

TEST(CacheFile, PathsAreUtf8) {
  const moe_tests::ScratchFolder folder;
  const std::filesystem::path file = folder.path() / u8"Größe" / u8"重み.bin";
  EXPECT_EQ(write_cache_file(moe_tests::utf8_of(file), kData), "");
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(read_cache_file(moe_tests::utf8_of(file)), kData);
}

TEST(CacheFile, TruncatedIsNone) {
  const moe_tests::ScratchFolder folder;
  const std::string path = (folder.path() / "cache.bin").string();
  ASSERT_EQ(write_cache_file(path, kData), "");
  const std::string whole = read_text(path);
  ASSERT_EQ(whole.size(), 8 + 8 + 8 + kData.size());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(read_cache_file(write_raw(path, whole.substr(0, size))), std::vector<char>()) << size;
  }
  EXPECT_EQ(read_cache_file(write_raw(path, whole)), kData);
}

TEST(CacheFile, AnyFlippedBitIsNone) {
  const moe_tests::ScratchFolder folder;
  const std::string path = (folder.path() / "cache.bin").string();
  ASSERT_EQ(write_cache_file(path, kData), "");
  const std::string whole = read_text(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_EQ(read_cache_file(write_raw(path, damaged)), std::vector<char>()) << "byte " << i << ", bit " << bit;
    }
  }
}

// A file that claims an enormous payload costs no memory.
TEST(CacheFile, HugeClaimIsNone) {
  const moe_tests::ScratchFolder folder;
  const std::string path = (folder.path() / "cache.bin").string();
  ASSERT_EQ(write_cache_file(path, kData), "");
  std::string whole = read_text(path);
  for (size_t i = 8; i < 16; ++i) whole[i] = '\x7F';
  EXPECT_EQ(read_cache_file(write_raw(path, whole)), std::vector<char>());
}

TEST(CacheFile, UnwritablePlacesAreNamed) {
  const moe_tests::ScratchFolder folder;
  const std::string file = write_raw(folder.path() / "file", "x");
  const std::string below = file + "/cache.bin";  // a file is no folder
  EXPECT_NE(write_cache_file(below, kData).find(below), std::string::npos);
  std::filesystem::create_directories(folder.path() / "taken/full");
  const std::string taken = (folder.path() / "taken").string();
  EXPECT_NE(write_cache_file(taken, kData).find(taken), std::string::npos);  // a folder is no file
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_TRUE(entry.path() == file || entry.path() == taken) << entry.path() << " is left over";
  }
}

TEST(CacheFile, NamesTellDevicesAndDriversApart) {
  ProbedDevice device;
  device.caps.vendor_id = 0x10005;
  device.caps.device_id = 0xAB;
  for (uint8_t i = 0; i < 16; ++i) device.info.driver_uuid[i] = static_cast<uint8_t>(0xF0 + i);
  EXPECT_EQ(cache_file_name(device), "00010005-000000ab-f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff.bin");
  const std::string before = cache_file_name(device);
  device.info.driver_uuid[15] = 0;
  EXPECT_NE(cache_file_name(device), before);
}

}  // namespace
}  // namespace moevk::unit
