// SPDX-License-Identifier: MIT
//
// The reader of one safetensors file: what is read, and that what breaks the format is refused by field.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/model/sample_checkpoints.h"
#include "tests/model/touch_checkpoint.h"
#include "tools/model/safetensors.h"

namespace moevk::model {
namespace {

using Bytes = SafetensorsWriter::Bytes;

SafetensorsWriter two_tensors() {
  SafetensorsWriter file;
  file.tensor("a", "F32", {2, 3}).tensor("b", "BF16", {5});
  return file;
}

// The error of a file with this header and 34 bytes of data.
ParseError error_of(const std::string& header) {
  const auto parsed = parse_safetensors(SafetensorsWriter::file(header, Bytes(34)));
  EXPECT_FALSE(parsed.ok()) << header;
  return parsed.ok() ? ParseError{} : parsed.error();
}

void expect_error(const std::string& header, const std::string& field, const std::string& part) {
  const ParseError error = error_of(header);
  EXPECT_EQ(error.field, field) << error.text() << "\n" << header;
  EXPECT_NE(error.message.find(part), std::string::npos) << error.text() << "\n" << header;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

const std::string kGood = entry("a", "F32", "[2,3]", "[0,24]");

TEST(Safetensors, ReadsNamesShapesAndRanges) {
  const Bytes bytes = two_tensors().bytes();
  const auto parsed = parse_safetensors(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.error().text();
  ASSERT_EQ(parsed->tensors.size(), 2u);
  const TensorInfo& a = parsed->tensors[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_STREQ(a.type->name, "f32");
  EXPECT_EQ(a.dimensions, 2u);
  EXPECT_EQ(a.ne[0], 3u);
  EXPECT_EQ(a.ne[1], 2u);
  EXPECT_EQ(a.bytes, 24u);
  EXPECT_EQ(a.numbers, 6u);
  EXPECT_EQ(a.offset, bytes.size() - 34);
  EXPECT_EQ(parsed->tensors[1].offset, bytes.size() - 10);
}

TEST(Safetensors, TakesMetadataScalarsEmptyTensorsAndManyAxes) {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\",\"b\":\"\"}," + kGood + "," +
                             entry("s", "I64", "[]", "[24,32]") + "," + entry("e", "F16", "[0,7]", "[32,32]") + "," +
                             entry("v", "U8", "[1,1,1,1,1,2]", "[32,34]") + "}   ";
  const auto parsed = parse_safetensors(SafetensorsWriter::file(header, Bytes(34)));
  ASSERT_TRUE(parsed.ok()) << parsed.error().text();
  EXPECT_EQ(parsed->tensors.size(), 4u);
  EXPECT_EQ(parsed->tensors.back().dimensions, 6u);
}

TEST(Safetensors, RefusesHeaderLengths) {
  const Bytes good = two_tensors().bytes();
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_EQ(parse_safetensors(std::span(good).first(size)).error().field, "header length") << size;
  }
  for (const uint64_t length : {uint64_t{100}, uint64_t{1} << 40, UINT64_MAX}) {
    const auto parsed = parse_safetensors(SafetensorsWriter::file("{}", Bytes(34), length));
    ASSERT_FALSE(parsed.ok()) << length;
    EXPECT_EQ(parsed.error().field, "header length");
    EXPECT_NE(parsed.error().message.find("the file has 36 left"), std::string::npos) << parsed.error().text();
  }
  const Bytes large = SafetensorsWriter::file(std::string(kMaxSafetensorsHeader + 1, ' '), {});
  EXPECT_NE(parse_safetensors(large).error().message.find("at most 100000000"), std::string::npos);
}

TEST(Safetensors, RefusesFilesCutAnywhere) {
  const Bytes good = two_tensors().bytes();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_safetensors(std::span(good).first(size)).ok()) << size;
  }
}

TEST(Safetensors, RefusesWhatIsNoJson) {
  const ParseError error = error_of("{\"a\":}");
  EXPECT_EQ(error.field, "header");
  EXPECT_EQ(error.offset, 8u + 5);
  EXPECT_NE(error.message.find("is not JSON"), std::string::npos) << error.text();
  expect_error("", "header", "is not JSON");
  expect_error("[1]", "header", "array");
  expect_error("7", "header", "not an object");
  expect_error("{" + kGood + "} x", "header", "is not JSON");
  expect_error("{\"\xff\":{}}", "header", "is not JSON");
  expect_error("{\"a\":7}", "a", "is not an object");
  expect_error("{\"a\":[]}", "a", "is not an object");
  expect_error(std::string(100000, '['), "header", "array");
  expect_error("{\"a\":{\"dtype\":" + std::string(100000, '['), "header", "nested deeper");
  expect_error("{\"a\":{\"shape\":[" + std::string(200000, '1') + "]}}", "header", "cannot be read");
}

TEST(Safetensors, RefusesEntriesByField) {
  expect_error("{\"a\":{\"shape\":[1],\"data_offsets\":[0,34]}}", "a.dtype", "is missing");
  expect_error("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,34]}}", "a.shape", "is missing");
  expect_error("{\"a\":{\"dtype\":\"U8\",\"shape\":[34]}}", "a.data_offsets", "is missing");
  expect_error("{\"a\":{\"dtype\":3,\"shape\":[34],\"data_offsets\":[0,34]}}", "a.dtype", "not a string");
  expect_error("{\"a\":{\"dtype\":\"U8\",\"shape\":7,\"data_offsets\":[0,34]}}", "a.shape", "not an array");
  expect_error("{\"a\":{\"dtype\":\"U8\",\"shape\":[34],\"data_offsets\":[0,34],\"x\":1}}", "a.x", "not known");
  expect_error("{" + entry("a", "F31", "[34]", "[0,34]") + "}", "a.dtype", "'F31' is not known");
  expect_error("{" + entry("a", "U8", "[-1]", "[0,34]") + "}", "a.shape[0]", "unsigned");
  expect_error("{" + entry("a", "U8", "[3.5]", "[0,34]") + "}", "a.shape[0]", "unsigned");
  expect_error("{" + entry("a", "U8", "[99999999999999999999]", "[0,34]") + "}", "a.shape[0]", "unsigned");
  expect_error("{" + entry("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,34]", "[0,34]") + "}", "a.shape", "17 axes");
  expect_error("{" + entry("a", "U8", "[34]", "[0]") + "}", "a.data_offsets", "1 numbers");
  expect_error("{" + entry("a", "U8", "[34]", "[0,\"34\"]") + "}", "a.data_offsets[1]", "unsigned");
  expect_error("{\"__metadata__\":{\"a\":1}}", "__metadata__", "other than strings");
  expect_error("{\"__metadata__\":{\"a\":{}}}", "__metadata__", "other than strings");
  std::string many = "{\"a\":{";
  for (int i = 0; i < 100; ++i) many += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":{}";
  expect_error(many + "}}", "a", "too many values");
}

TEST(Safetensors, RefusesRanges) {
  expect_error("{" + entry("a", "U8", "[35]", "[0,35]") + "}", "a.data_offsets", "not in the file's 34");
  expect_error("{" + entry("a", "U8", "[4]", "[8,4]") + "}", "a.data_offsets", "8 to 4 is not in");
  expect_error("{" + entry("a", "U8", "[33]", "[0,34]") + "}", "a.data_offsets", "34 bytes for 33 numbers");
  expect_error("{" + entry("a", "F32", "[4611686018427387904,4]", "[0,0]") + "}", "a.shape", "2^63");
  expect_error("{" + entry("a", "F64", "[4611686018427387904]", "[0,0]") + "}", "a.data_offsets", "0 bytes for");
  expect_error("{" + kGood + "," + entry("b", "U8", "[11]", "[23,34]") + "}", "b.data_offsets", "overlaps that of 'a'");
  expect_error("{" + kGood + "," + entry("b", "U8", "[24]", "[0,24]") + "}", "b.data_offsets", "overlaps");
  expect_error("{" + kGood + "," + entry("b", "U8", "[9]", "[25,34]") + "}", "b.data_offsets", "1 bytes before it");
  expect_error("{" + kGood + "}", "data", "10 bytes belong to no tensor");
  expect_error("{" + kGood + "," + kGood + "}", "a", "is there twice");
}

TEST(Safetensors, EverySeedOfTheFuzzerIsReadOrRefused) {
  size_t files = 0;
  for (const auto& found : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/corpus/safetensors")) {
    std::ifstream stream(found.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    const bool good = touch_checkpoint(std::as_bytes(std::span(text)));
    EXPECT_EQ(good, found.path().filename().string().starts_with("good_")) << found.path();
    for (size_t size = 0; size < text.size(); size += 1 + text.size() / 300) {
      EXPECT_FALSE(touch_checkpoint(std::as_bytes(std::span(text)).first(size))) << found.path() << " " << size;
    }
    ++files;
  }
  EXPECT_GE(files, 8u);
}

// Every byte of header and config bent in two ways: read or refused, never worse.
TEST(Safetensors, BentBytesAreReadOrRefused) {
  const SampleCheckpoint sample =
      sample_plain("olmoe", ",\"intermediate_size\":6,\"num_experts\":2", {}, {.experts = 2, .blocks = 1});
  Bytes bytes = checkpoint_seed(sample.config, "", sample.file.bytes());
  ASSERT_TRUE(touch_checkpoint(bytes));
  const size_t end = kSeedPrefix + sample.config.size() + 8 + sample.file.header().size();
  size_t refused = 0;
  for (size_t at = 0; at < end; ++at) {
    for (const std::byte bend : {std::byte{0x01}, std::byte{0x80}}) {
      bytes[at] ^= bend;
      refused += touch_checkpoint(bytes) ? 0 : 1;
      bytes[at] ^= bend;
    }
  }
  EXPECT_GT(refused, end);
}

}  // namespace
}  // namespace moevk::model
