// SPDX-License-Identifier: MIT
//
// In:  .npy files made in memory and on disk, good and bad.
// Out: good ones read back; bad ones are refused with offset and field.
// Why: `moevk run --input` takes files from anybody.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "tests/model/npy_writer.h"
#include "tests/support/system.h"
#include "tools/model/npy.h"
#include "tools/model/utf8_path.h"

namespace moevk::model {
namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(const std::string& header, size_t data_bytes, int version = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(version);
  text += '\0';
  text += static_cast<char>(header.size() & 255);
  text += static_cast<char>(header.size() >> 8);
  if (version == 2) {
    text += std::string(2, '\0');
  }
  text += header;
  Bytes bytes(text.size() + data_bytes);
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string header_of(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

template <class T>
Bytes with_numbers(const std::string& descr, const std::string& shape, const std::vector<T>& numbers, int version = 1) {
  Bytes bytes = file_of(header_of(descr, shape), numbers.size() * sizeof(T), version);
  std::memcpy(bytes.data() + bytes.size() - numbers.size() * sizeof(T), numbers.data(), numbers.size() * sizeof(T));
  return bytes;
}

TEST(Npy, ReadsEveryType) {
  const auto f4 = parse_npy(with_numbers<float>("<f4", "(2, 3)", {1, 2, 3, 4, 5, -0.5f}));
  ASSERT_TRUE(f4.ok()) << f4.error().text();
  EXPECT_EQ(f4->rows, 2u);
  EXPECT_EQ(f4->columns, 3u);
  EXPECT_EQ(f4->to_f32(), (std::vector<float>{1, 2, 3, 4, 5, -0.5f}));
  EXPECT_TRUE(f4->to_i32().empty());
  const auto f8 = parse_npy(with_numbers<double>("<f8", "(2,)", {0.1, -3}, 2));
  ASSERT_TRUE(f8.ok()) << f8.error().text();
  EXPECT_EQ(f8->dimensions, 1u);
  EXPECT_EQ(f8->rows, 1u);
  EXPECT_EQ(f8->to_f64(), (std::vector<double>{0.1, -3}));
  EXPECT_EQ(f8->to_f32()[0], 0.1f);
  const auto i4 = parse_npy(with_numbers<int32_t>("<i4", "(3, 1)", {-1, 0, 7}));
  ASSERT_TRUE(i4.ok()) << i4.error().text();
  EXPECT_EQ(i4->to_i32(), (std::vector<int32_t>{-1, 0, 7}));
  EXPECT_EQ(i4->to_f32()[2], 7.0f);
  // 1, smallest and largest subnormal, smallest normal, largest, -2, -0, infinity, NaN
  const auto f2 = parse_npy(
      with_numbers<uint16_t>("<f2", "(9,)", {0x3c00, 0x0001, 0x03ff, 0x0400, 0x7bff, 0xc000, 0x8000, 0x7c00, 0x7e01}));
  ASSERT_TRUE(f2.ok()) << f2.error().text();
  const std::vector<float> h = f2->to_f32();
  EXPECT_EQ(h[0], 1.0f);
  EXPECT_EQ(h[1], 0x1p-24f);
  EXPECT_EQ(h[2], 1023 * 0x1p-24f);
  EXPECT_EQ(h[3], 0x1p-14f);
  EXPECT_EQ(h[4], 65504.0f);
  EXPECT_EQ(h[5], -2.0f);
  EXPECT_TRUE(h[6] == 0.0f && std::signbit(h[6]));
  EXPECT_EQ(h[7], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(h[8]));
}

TEST(Npy, KeysInAnyOrderAndEitherQuotes) {
  const auto array = parse_npy(file_of("{\"shape\":(1,2),\"fortran_order\" : False , \"descr\": \"<f4\"}   \n", 8));
  ASSERT_TRUE(array.ok()) << array.error().text();
  EXPECT_EQ(array->columns, 2u);
}

TEST(Npy, NamesWhatIsWrong) {
  const auto expect = [](const Bytes& bytes, const char* field, const char* part) {
    const auto array = parse_npy(bytes);
    ASSERT_FALSE(array.ok()) << field;
    EXPECT_EQ(array.error().field, field) << array.error().text();
    EXPECT_NE(array.error().message.find(part), std::string::npos) << array.error().text();
  };
  expect({}, "magic", "not a .npy");
  expect(file_of(header_of("<f4", "(1, 2)"), 8, 3), "version", "3.0");
  expect(file_of(header_of(">f4", "(1, 2)"), 8), "descr", "is not");
  expect(file_of(header_of("|O", "(1, 2)"), 8), "descr", "is not");
  expect(file_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8), "descr", "structured");
  expect(file_of("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", 8), "fortran_order", "C order");
  expect(file_of(header_of("<f4", "(1, 2, 3)"), 24), "shape", "more than two");
  expect(file_of(header_of("<f4", "()"), 4), "shape", "no dimension");
  expect(file_of(header_of("<f4", "(0, 4)"), 0), "shape", "empty");
  expect(file_of(header_of("<f4", "(2 2)"), 16), "shape", "expected a number");
  expect(file_of(header_of("<f4", "(-1,)"), 16), "shape", "expected a number");
  expect(file_of(header_of("<f4", "(99999999999999999999,)"), 16), "shape", "64 bits");
  expect(file_of(header_of("<f4", "(9223372036854775808, 2)"), 0), "data", "0 bytes of data");
  expect(file_of(header_of("<f4", "(4611686018427387904, 1)"), 0), "data", "0 bytes of data");
  expect(file_of(header_of("<f4", "(1, 2)"), 7), "data", "7 bytes of data");
  expect(file_of(header_of("<f4", "(1, 2)"), 9), "data", "9 bytes of data");
  expect(file_of("{'descr': '<f4', 'descr': '<f4', }", 8), "header", "twice");
  expect(file_of("{'descr': '<f4', 'other': 1, }", 8), "header", "not descr");
  expect(file_of("{'descr': '<f4', }", 8), "header", "lacks");
  expect(file_of(header_of("<f4", "(1, 2)") + "x", 8), "header", "after the dictionary");
  Bytes longer = file_of(header_of("<f4", "(1, 2)"), 8);
  longer[9] = std::byte{0xff};
  expect(longer, "header.length", "left");
}

TEST(Npy, CutAndBentFilesAreHarmless) {
  for (const int version : {1, 2}) {
    const Bytes whole = with_numbers<float>("<f4", "(2, 2)", {1, 2, 3, 4}, version);
    for (size_t size = 0; size < whole.size(); ++size) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      cut.shrink_to_fit();
      const auto array = parse_npy(cut);
      ASSERT_FALSE(array.ok()) << size;
      EXPECT_LE(array.error().offset, size);
    }
    for (size_t at = 0; at < whole.size(); ++at) {
      for (unsigned value = 0; value < 256; ++value) {
        Bytes bent = whole;
        bent[at] = static_cast<std::byte>(value);
        const auto array = parse_npy(bent);
        if (array) {
          EXPECT_EQ(array->to_f64().size(), array->rows * array->columns);
        } else {
          EXPECT_FALSE(array.error().field.empty());
          EXPECT_LE(array.error().offset, bent.size());
        }
      }
    }
  }
}

TEST(Npy, ReadsFiles) {
  const std::string path = utf8_of(std::filesystem::path(testing::TempDir()) /
                                   path_of("moevk_Größe_重み_" + std::to_string(moe_tests::process_id()) + ".npy"));
  const std::vector<float> numbers = {1, -2, 3.5f, 0, 1e30f, -0.0f};
  ASSERT_TRUE(write_npy(path, numbers, 3, 2));
  auto back = read_npy(path);
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(back->type, NpyType::f4);
  EXPECT_EQ(back->rows, 3u);
  EXPECT_EQ(back->columns, 2u);
  EXPECT_EQ(back->to_f32(), numbers);
  ASSERT_TRUE(write_npy(path, std::vector<int32_t>{5, -6}, 1, 2));
  back = read_npy(path);
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(back->to_i32(), (std::vector<int32_t>{5, -6}));
  std::filesystem::remove(path_of(path));
  EXPECT_NE(read_npy("/nonexistent/x.npy").error().message.find("cannot open"), std::string::npos);
}

}  // namespace
}  // namespace moevk::model
