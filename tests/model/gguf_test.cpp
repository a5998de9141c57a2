// SPDX-License-Identifier: MIT
//
// In:  GGUF files made in memory: good ones, cut ones, bent ones.
// Out: good files give what was written; every other file is refused with offset and field, or is
//      harmless.
// Why: run under the address and undefined-behaviour sanitizers, this proves gguf.h's promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/model/sample_models.h"
#include "tests/model/touch_gguf.h"
#include "tests/support/system.h"
#include "tools/model/utf8_path.h"

namespace moevk::model {
namespace {

using Bytes = std::vector<std::byte>;

// Parses a copy whose end is the end of its allocation, so that a sanitizer sees the first byte too
// far.
Result<GgufFile> touch(Bytes& bytes) {
  bytes.shrink_to_fit();
  return touch_gguf(bytes);
}

// The error of a file that must be refused.
ParseError refusal(Bytes bytes) {
  const auto file = touch(bytes);
  EXPECT_FALSE(file.ok());
  return file.ok() ? ParseError{} : file.error();
}

void overwrite(Bytes& bytes, size_t offset, uint64_t value, size_t width) {
  std::memcpy(bytes.data() + offset, &value, width);
}

// Offset of field number `index` (from 0) of that name.
size_t offset_of(const GgufWriter& writer, const std::string& name, size_t index = 0) {
  for (const GgufWriter::Field& field : writer.fields()) {
    if (field.name == name && index-- == 0) {
      return field.offset;
    }
  }
  ADD_FAILURE() << name;
  return 0;
}

class GgufVersions : public testing::TestWithParam<uint32_t> {};

TEST_P(GgufVersions, EveryTypeReadsBack) {
  Bytes bytes = sample_all_types(GetParam()).bytes();
  const auto file = touch(bytes);
  ASSERT_TRUE(file.ok()) << file.error().text();
  EXPECT_EQ(file->version(), GetParam());
  EXPECT_EQ(file->alignment(), 64u);
  const auto value = [&](const char* key) { return *file->find_value(key); };
  EXPECT_EQ(value("t.u8").as_u64(), 200u);
  EXPECT_EQ(value("t.i8").as_u64(), std::nullopt);
  EXPECT_EQ(value("t.i8").as_f64(), -5.0);
  EXPECT_EQ(value("t.u16").as_u64(), 60000u);
  EXPECT_EQ(value("t.i16").as_f64(), -6.0);
  EXPECT_EQ(value("t.u32").as_u64(), 4000000000u);
  EXPECT_EQ(value("t.i32").as_u64(), 7u);
  EXPECT_EQ(value("t.f32").as_f64(), 1.5);
  EXPECT_EQ(value("t.f32").as_u64(), std::nullopt);
  EXPECT_EQ(value("t.bool").as_bool(), true);
  EXPECT_EQ(value("t.string").as_string(), "text");
  EXPECT_EQ(value("t.u64").as_u64(), uint64_t{1} << 40);
  EXPECT_EQ(value("t.i64").as_f64(), -8.0);
  EXPECT_EQ(value("t.f64").as_f64(), 0.1);
  EXPECT_EQ(value("t.numbers").count, 3u);
  EXPECT_EQ(value("t.numbers").element_u64(2), 3u);
  EXPECT_EQ(value("t.numbers").element_u64(3), std::nullopt);
  EXPECT_EQ(value("t.strings").strings(9), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(value("t.strings").strings(1).size(), 1u);
  EXPECT_EQ(file->find_value("t"), nullptr);

  ASSERT_EQ(file->tensors().size(), 2u);
  const TensorInfo* a = file->find_tensor("a");
  EXPECT_STREQ(a->type->name, "f32");
  EXPECT_EQ(a->shape_text(), "[3, 2]");
  EXPECT_EQ(a->bytes, 24u);
  EXPECT_EQ(a->offset % 64, 0u);
  EXPECT_EQ(a->offset, file->data_offset());
  const TensorInfo* b = file->find_tensor("b");
  EXPECT_STREQ(b->type->name, "Q8_0");
  EXPECT_EQ(b->bytes, 2u * 34u);
  EXPECT_EQ(b->offset, a->offset + 64);
  EXPECT_EQ(b->offset + b->bytes, bytes.size());
  EXPECT_EQ(file->find_tensor("c"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Read, GgufVersions, testing::Values(2u, 3u));

TEST(Gguf, CutAtEveryByteIsRefused) {
  const Bytes whole = sample_all_types().bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto file = touch(cut);
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_LE(file.error().offset, size);
  }
}

TEST(Gguf, EveryFieldReplacedIsHarmless) {
  for (GgufWriter writer : {sample_all_types(), sample_qwen3moe(), sample_mixtral(true)}) {
    const Bytes whole = writer.bytes();
    for (const GgufWriter::Field& field : writer.fields()) {
      for (const uint64_t value :
           {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{9}, uint64_t{0x7fffffff}, uint64_t{0xffffffff},
            uint64_t{1} << 62, uint64_t{1} << 63, UINT64_MAX - 7, UINT64_MAX}) {
        Bytes bent = whole;
        overwrite(bent, field.offset, value, field.width);
        const auto file = touch(bent);
        if (!file) {
          SCOPED_TRACE(field.name + " := " + std::to_string(value) + " -> " + file.error().text());
          EXPECT_FALSE(file.error().field.empty());
        }
        // A length or count beyond the file is never believed.
        if (value > 0xffffffff && field.width == 8) {
          EXPECT_FALSE(file.ok()) << field.name;
        }
      }
    }
  }
}

TEST(Gguf, EveryByteFlippedIsHarmless) {
  const Bytes whole = sample_all_types().bytes();
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned mask : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u, 255u}) {
      Bytes bent = whole;
      bent[at] ^= static_cast<std::byte>(mask);
      refused += touch(bent).ok() ? 0u : 1u;
    }
  }
  EXPECT_GT(refused, whole.size());
}

TEST(Gguf, RandomBytesAfterTheMagicAreHarmless) {
  uint64_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    Bytes bytes = sample_all_types().bytes();
    for (int change = 0; change < 6; ++change) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes[8 + (state >> 33) % (bytes.size() - 8)] = static_cast<std::byte>(state >> 56);
    }
    (void)touch(bytes);
  }
}

TEST(Gguf, NamesWhatIsWrong) {
  const auto expect = [](const ParseError& error, const char* field, const char* part) {
    EXPECT_EQ(error.field, field) << error.text();
    EXPECT_NE(error.message.find(part), std::string::npos) << error.text();
  };
  GgufWriter writer = sample_all_types();
  const Bytes good = writer.bytes();
  const auto bent = [&](const char* name, size_t index, uint64_t value, size_t width) {
    Bytes bytes = good;
    overwrite(bytes, offset_of(writer, name, index), value, width);
    const ParseError error = refusal(bytes);
    EXPECT_EQ(error.offset, offset_of(writer, name, index)) << error.text();
    return error;
  };
  Bytes text(good);
  std::memcpy(text.data(), "PK\3\4", 4);
  expect(refusal(text), "magic", "not a GGUF file");
  std::memcpy(text.data(), "FUGG", 4);
  expect(refusal(text), "magic", "big-endian");
  expect(bent("version", 0, 0x03000000, 4), "version", "big-endian");
  expect(bent("version", 0, 1, 4), "version", "versions 2 and 3");
  expect(bent("version", 0, 4, 4), "version", "version 4");
  expect(bent("tensor_count", 0, uint64_t{1} << 40, 8), "tensor_count", "bytes left");
  expect(bent("metadata_kv_count", 0, UINT64_MAX, 8), "metadata_kv_count", "bytes left");
  expect(bent("key.length", 0, 0, 8), "kv[0].key", "empty");
  expect(bent("key.length", 1, uint64_t{1} << 63, 8), "kv[1].key.length", "left");
  expect(bent("value.type", 0, 13, 4), "kv[0] 't.u8'.type", "13");
  expect(bent("string.length", 0, 1u << 30, 8), "kv[8] 't.string'.value.length", "left");
  expect(bent("element.type", 0, 9, 4), "kv[12] 't.numbers'.element_type", "nested");
  expect(bent("array.count", 0, uint64_t{1} << 62, 8), "kv[12] 't.numbers'.count", "left");
  expect(bent("element.length", 1, uint64_t{1} << 62, 8), "kv[13] 't.strings'.value[1]", "left");
  expect(bent("name.length", 0, 0, 8), "tensor[0].name", "empty");
  expect(bent("n_dims", 0, 5, 4), "tensor[0] 'a'.n_dims", "at most 4");
  expect(bent("ne", 1, 0, 8), "tensor[0] 'a'.ne[1]", "is 0");
  expect(bent("ne", 1, uint64_t{1} << 62, 8), "tensor[0] 'a'.ne[1]", "2^63");
  expect(bent("type", 0, 999, 4), "tensor[0] 'a'.type", "999");
  expect(bent("type", 0, 4, 4), "tensor[0] 'a'.type", "Q4_2");
  expect(bent("type", 0, 12, 4), "tensor[0] 'a'.type", "blocks of 256");
  expect(bent("offset", 1, 4, 8), "tensor[1] 'b'.offset", "alignment");
  expect(bent("offset", 1, 1u << 20, 8), "tensor[1] 'b'.offset", "bytes of data");
  expect(bent("offset", 1, 0, 8), "tensor[1] 'b'.offset", "overlaps");

  GgufWriter twice;
  expect(refusal(twice.u32("x", 1).u32("y", 2).u32("x", 3).bytes()), "kv[2] 'x'", "kv[0]");
  GgufWriter same;
  expect(refusal(same.tensor("n", {4}).tensor("n", {4}).bytes()), "tensor[1] 'n'", "tensor[0]");
  GgufWriter maybe;
  expect(refusal(maybe.scalar<uint8_t>("b", ValueType::boolean, 2).bytes()), "kv[0] 'b'.value", "neither 0 nor 1");
  for (const uint32_t alignment : {0u, 3u, 4u, 48u, 0x80000000u}) {
    GgufWriter odd(3, 0);
    expect(refusal(odd.u32("general.alignment", alignment).tensor("n", {4}).bytes()), "general.alignment",
           "power of two");
  }
  GgufWriter wrong;
  expect(refusal(wrong.string("general.alignment", "32").bytes()), "general.alignment", "string");
  GgufWriter strange;
  const ParseError error = refusal(strange.u32("\n\x01", 1).u32("\n\x01", 1).bytes());
  EXPECT_EQ(error.field, "kv[1] '\\x0a\\x01'");
}

TEST(Gguf, SmallestFiles) {
  GgufWriter empty;
  Bytes bytes = empty.bytes();
  EXPECT_TRUE(touch(bytes).ok());
  GgufWriter scalar;  // no dimension: one number
  bytes = scalar.tensor("s", {}, kGgmlF32).bytes();
  const auto file = touch(bytes);
  ASSERT_TRUE(file.ok()) << file.error().text();
  EXPECT_EQ(file->tensors()[0].numbers, 1u);
}

TEST(Gguf, ManyEntriesAreQuick) {
  GgufWriter many;
  for (int i = 0; i < 20000; ++i) {
    const std::string number = std::to_string(i);
    many.scalar<uint8_t>(number + "k", ValueType::u8, 1);
    many.tensor(number + "t", {1}, kGgmlF32);
  }
  Bytes bytes = many.bytes();
  const auto file = touch(bytes);
  ASSERT_TRUE(file.ok()) << file.error().text();
  EXPECT_EQ(file->tensors().size(), 20000u);
}

#if defined(_WIN32)
constexpr char kNoSuchFile[] = "Windows error 3";
#else
constexpr char kNoSuchFile[] = "errno 2";
#endif

TEST(MappedFile, RefusesWhatIsNoFile) {
  const auto missing = GgufFile::open("/nonexistent/model.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("/nonexistent/model.gguf"), std::string::npos);
  EXPECT_NE(missing.error().message.find(kNoSuchFile), std::string::npos) << missing.error().message;
  const auto folder = GgufFile::open("/");
  ASSERT_FALSE(folder.ok());
  EXPECT_NE(folder.error().message.find("not a regular file"), std::string::npos);
}

TEST(MappedFile, OpensMovesAndReads) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) /
                                     path_of("moevk_Größe_重み_" + std::to_string(moe_tests::process_id()) + ".gguf");
  const Bytes bytes = sample_olmoe().bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  {  // Windows resizes no file that is mapped
    auto opened = GgufFile::open(utf8_of(path));
    ASSERT_TRUE(opened.ok()) << opened.error().text();
    GgufFile moved = std::move(*opened);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), moved.bytes().begin(), moved.bytes().end()));
    EXPECT_EQ(moved.path(), utf8_of(path));
    EXPECT_NE(moved.find_tensor("output.weight"), nullptr);
  }
  std::filesystem::resize_file(path, 0);
  const auto nothing = GgufFile::open(utf8_of(path));
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().field, "magic");
  std::filesystem::remove(path);
}

TEST(GgufCorpus, SeedsOfTheFuzzerAreHarmless) {
  size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/corpus/gguf")) {
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    EXPECT_LE(text.size(), 4096u) << entry.path();
    const auto view = std::as_bytes(std::span(text));
    Bytes bytes(view.begin(), view.end());
    const bool good = entry.path().filename().string().starts_with("good_");
    EXPECT_EQ(touch(bytes).ok(), good) << entry.path();
    ++seen;
  }
  EXPECT_GE(seen, 6u);
}

}  // namespace
}  // namespace moevk::model
