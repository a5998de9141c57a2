// SPDX-License-Identifier: MIT
//
// In:  files of routes written by plugin_api/moe_routes.hpp, whole, cut and overwritten.
// Out: tests of the writer, of the reader, and of the figures of balance, by numbers worked out by hand.
// Why: docs/routes.md promises that what is whole in a file is used, and that a host outlives every failure.
#include "tools/model/routes_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "tests/model/touch_routes.h"
#include "tests/support/system.h"
#include "tools/model/route_load.h"

#if !defined(_WIN32)
#include <sys/resource.h>
#include <sys/stat.h>
#endif

namespace moevk::model {
namespace {

class RoutesFile : public ::testing::Test {
 protected:
  RoutesFile()
      : path_(::testing::TempDir() + "moevk_routes_" + std::to_string(moe_tests::process_id()) + "_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove(path_);
  }
  ~RoutesFile() override { std::filesystem::remove(path_); }

  // Two tokens of a layer with 4 experts, 2 a token: 1 3, 0 1.
  moe::Routes two_tokens(uint32_t layer = 5) const {
    moe::Routes routes;
    routes.layer = layer, routes.experts = 4, routes.top_k = 2, routes.hidden = 8, routes.intermediate = 6;
    routes.tokens = 2;
    routes.ids = ids_, routes.weights = weights_;
    return routes;
  }
  std::vector<std::byte> bytes() const {
    std::ifstream file(path_, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return {begin, begin + text.size()};
  }
  std::vector<RouteRecord> read(RoutesReport* report = nullptr) const {
    std::vector<RouteRecord> records;
    const auto done = read_routes(bytes(), [&](const RouteRecord& record) { records.push_back(record); });
    EXPECT_TRUE(done) << done.error().text();
    if (done && report != nullptr) *report = *done;
    return records;
  }

  const std::string path_;
  const int32_t ids_[4] = {1, 3, 0, 1};
  const float weights_[4] = {0.75f, 0.25f, 0.5f, 0.5f};
  std::string why_;
};

TEST_F(RoutesFile, HoldsWhatWasAppended) {
  moe::RouteFile file(path_);
  moe::RouteStream stream, other;
  ASSERT_NE(stream.id, other.id);
  ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  ASSERT_TRUE(file.append(stream, two_tokens(6), why_)) << why_;
  ASSERT_TRUE(file.append(other, two_tokens(), why_)) << why_;
  RoutesReport report;
  const std::vector<RouteRecord> records = read(&report);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(report.damaged, 0u);
  const uint64_t firsts[] = {0, 2, 0, 0};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(records[i].header.stream, i == 3 ? other.id : stream.id);
    EXPECT_EQ(records[i].header.first_token, firsts[i]);
    EXPECT_EQ(records[i].header.layer, i == 2 ? 6u : 5u);
    EXPECT_EQ(records[i].ids, std::vector<int32_t>(ids_, ids_ + 4));
    EXPECT_EQ(records[i].weights, std::vector<float>(weights_, weights_ + 4));
  }
}

// The layout itself, so that no change of the structs goes unseen.
TEST_F(RoutesFile, HasTheDocumentedBytes) {
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  stream.id = 0x1122334455667788u;
  stream.seen[5] = 7;
  ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  const std::vector<std::byte> all = bytes();
  ASSERT_EQ(all.size(), 100u);  // 64 + 2 * 2 * (4 + 4) + 4
  const auto word = [&](size_t at) {
    uint32_t value;
    std::memcpy(&value, all.data() + at, 4);
    return value;
  };
  EXPECT_EQ(std::memcmp(all.data(), "moeroute", 8), 0);
  const uint32_t words[] = {1, 100, 0x55667788, 0x11223344, 7, 0, 2, 5, 4, 0, 2, 8, 6, 0, 1, 3, 0, 1};
  for (size_t i = 0; i < std::size(words); ++i) EXPECT_EQ(word(8 + 4 * i), words[i]) << i;
  EXPECT_EQ(word(80), 0x3f400000u);  // 0.75f
  EXPECT_EQ(word(96), moe::routes_checksum(all.data(), 96));
  EXPECT_EQ(moe::routes_checksum("123456789", 9), 0xCBF43926u);  // the check value that the CRC's definition has
}

TEST_F(RoutesFile, ReadsRowsThatLieApart) {
  const int32_t ids[] = {1, 3, 9, 0, 1, 9};
  const float weights[] = {0.75f, 0.25f, 9, 9, 0.5f, 0.5f};
  moe::Routes routes = two_tokens();
  routes.ids = ids, routes.ids_row_bytes = 12;
  routes.weights = weights, routes.weights_row_bytes = 16;
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  ASSERT_TRUE(file.append(stream, routes, why_)) << why_;
  EXPECT_EQ(read()[0].ids, std::vector<int32_t>(ids_, ids_ + 4));
  EXPECT_EQ(read()[0].weights, std::vector<float>(weights_, weights_ + 4));
}

TEST_F(RoutesFile, SplitsLongCalls) {
  constexpr uint64_t kTokens = 100000;
  std::vector<int32_t> ids(kTokens * 2);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 4);
  const std::vector<float> weights(ids.size(), 0.5f);
  moe::Routes routes = two_tokens();
  routes.tokens = kTokens, routes.ids = ids.data(), routes.weights = weights.data();
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  ASSERT_TRUE(file.append(stream, routes, why_)) << why_;
  std::vector<int32_t> all;
  uint64_t next = 0;
  const std::vector<RouteRecord> records = read();
  for (const RouteRecord& record : records) {
    EXPECT_EQ(record.header.first_token, next);
    EXPECT_LE(record.header.record_bytes, moe::kMostRouteBytes);
    next += record.header.tokens;
    all.insert(all.end(), record.ids.begin(), record.ids.end());
  }
  EXPECT_EQ(records.size(), 2u);
  EXPECT_EQ(all, ids);
}

TEST_F(RoutesFile, UsesWhatIsWholeOfACutFile) {
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  for (const uint64_t size : {299, 264, 201}) {
    std::filesystem::resize_file(path_, size);
    RoutesReport report;
    EXPECT_EQ(read(&report).size(), 2u) << size;
    EXPECT_EQ(report.damaged, 1u);
    EXPECT_EQ(report.damaged_bytes, size - 200);
    EXPECT_EQ(report.first_damage, 200u);
    EXPECT_EQ(report.why, "it ends within a record");
  }
  // Another process goes on behind the cut.
  moe::RouteFile again(path_);
  ASSERT_TRUE(again.append(stream, two_tokens(), why_)) << why_;
  RoutesReport report;
  EXPECT_EQ(read(&report).size(), 3u);
  EXPECT_EQ(report.damaged_bytes, 1u);
}

TEST_F(RoutesFile, LeavesOutADamagedRecord) {
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  const std::vector<std::byte> whole = bytes();
  for (size_t at = 100; at < 200; ++at) {  // each byte of the second record
    std::vector<std::byte> broken = whole;
    broken[at] ^= std::byte{0x10};
    EXPECT_EQ(touch_routes(broken), 2u) << at;
  }
}

TEST_F(RoutesFile, RefusesWhatHoldsNoRoutes) {
  const auto refusal = [](std::vector<std::byte> bytes) {
    const auto read = read_routes(bytes, [](const RouteRecord&) {});
    return read ? std::string() : read.error().text();
  };
  EXPECT_EQ(refusal({}), "file: is empty");
  EXPECT_EQ(refusal(std::vector<std::byte>(300)), "file: holds no whole record of routes: no record begins here");
  moe::RouteFile file(path_);
  moe::RouteStream stream;
  ASSERT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  std::vector<std::byte> later = bytes();
  later[8] = std::byte{2};
  EXPECT_EQ(refusal(later), "version at byte 8: is 2; this program reads 1");
}

TEST_F(RoutesFile, IsSharedByThreads) {
  moe::RouteFile one(path_), two(path_);
  const auto work = [&](moe::RouteFile& file) {
    moe::RouteStream stream;
    std::string why;
    for (int i = 0; i < 500; ++i) EXPECT_TRUE(file.append(stream, two_tokens(), why)) << why;
  };
  std::thread first(work, std::ref(one)), second(work, std::ref(two)), third(work, std::ref(two));
  first.join(), second.join(), third.join();
  RoutesReport report;
  EXPECT_EQ(read(&report).size(), 1500u);
  EXPECT_EQ(report.damaged, 0u);
}

TEST_F(RoutesFile, SaysOnceWhyItDoesNotWrite) {
  moe::RouteStream stream;
  const auto reason = [&](const std::string& path) {
    moe::RouteFile file(path);
    std::string why, later = "x";
    EXPECT_FALSE(file.append(stream, two_tokens(), why));
    EXPECT_FALSE(file.append(stream, two_tokens(), later));
    EXPECT_EQ(later, "");
    return why;
  };
  EXPECT_NE(reason(path_ + "/nowhere"), "");
  EXPECT_NE(reason(::testing::TempDir()), "");
  std::ofstream(path_) << "GGUF, say";
  EXPECT_EQ(reason(path_), path_ + " records no more routes: it is there and holds no routes");
  EXPECT_EQ(bytes().size(), 9u);  // as it was
#if !defined(_WIN32)
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(reason(path_), path_ + " records no more routes: it is no regular file");
  std::filesystem::remove(path_);
  if (std::filesystem::exists("/dev/full")) {
    EXPECT_EQ(reason("/dev/full"), "/dev/full records no more routes: No space left on device");
  }
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit low = {150, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  moe::RouteFile file(path_);
  EXPECT_TRUE(file.append(stream, two_tokens(), why_)) << why_;
  EXPECT_FALSE(file.append(stream, two_tokens(), why_));  // and no SIGXFSZ
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(why_.find("limit of file sizes"), std::string::npos) << why_;
  EXPECT_EQ(read().size(), 1u);
#endif
}

TEST(Balance, OfAnEvenLoad) {
  const Balance b = balance_of({5, 5, 5, 5}, 4);
  EXPECT_DOUBLE_EQ(b.mean, 5);
  EXPECT_DOUBLE_EQ(b.max_over_mean, 1);
  EXPECT_DOUBLE_EQ(b.variation, 0);
  EXPECT_NEAR(b.entropy, 1, 1e-12);
  EXPECT_NEAR(b.effective_experts, 4, 1e-12);
  EXPECT_DOUBLE_EQ(b.top_tenth_share, 0.25);  // one expert is a tenth of four, rounded up
  EXPECT_EQ(b.unused, 0u);
}

// Shares 1/2, 1/4, 1/4, 0: entropy 1.5 ln 2 of ln 4 = 2 ln 2; e to it 2^1.5. Squares off the mean 2: 4 + 0 + 0 + 4.
TEST(Balance, OfAnUnevenLoad) {
  const Balance b = balance_of({2, 4, 2, 0}, 4);
  EXPECT_DOUBLE_EQ(b.mean, 2);
  EXPECT_EQ(b.most, 4u);
  EXPECT_EQ(b.busiest, 1u);
  EXPECT_DOUBLE_EQ(b.max_over_mean, 2);
  EXPECT_DOUBLE_EQ(b.variation, std::sqrt(2.0) / 2);
  EXPECT_NEAR(b.entropy, 0.75, 1e-12);
  EXPECT_NEAR(b.effective_experts, std::pow(2, 1.5), 1e-12);
  EXPECT_DOUBLE_EQ(b.top_tenth_share, 0.5);
  EXPECT_EQ(b.unused, 1u);
}

TEST(Balance, OfOneExpertAndOfNone) {
  EXPECT_NEAR(balance_of({0, 7, 0, 0}, 4).entropy, 0, 1e-12);
  EXPECT_NEAR(balance_of({0, 7, 0, 0}, 4).effective_experts, 1, 1e-12);
  EXPECT_DOUBLE_EQ(balance_of({0, 7, 0, 0}, 4).max_over_mean, 4);
  EXPECT_EQ(balance_of({0, 0, 0, 0}, 4).max_over_mean, 0);
  EXPECT_EQ(balance_of({9}, 1).entropy, 1);
  // Of 20 experts two are a tenth; identity experts, the last one here, are not counted.
  std::vector<uint64_t> loads(21, 1);
  loads[3] = 11, loads[20] = 1000;
  EXPECT_DOUBLE_EQ(balance_of(loads, 20).top_tenth_share, 12.0 / 30);
}

TEST(RouteLoads, CountsByLayerAndRefusesAnotherModel) {
  RouteRecord record{};
  record.header.tokens = 2, record.header.top_k = 2, record.header.experts = 3, record.header.identity_experts = 1;
  record.header.layer = 1;
  record.ids = {0, 3, 2, -1};
  record.weights = {0.75f, 0.25f, 0.5f, std::numeric_limits<float>::quiet_NaN()};
  RouteLoads loads;
  EXPECT_EQ(loads.add(record), std::nullopt);
  const LayerLoad& layer = loads.layers().at(1);
  EXPECT_EQ(layer.routes, (std::vector<uint64_t>{1, 0, 1, 1}));
  EXPECT_EQ(layer.skipped, 1u);
  EXPECT_DOUBLE_EQ(layer.top_weight, 1.25);
  record.header.top_k = 4, record.header.tokens = 1;
  EXPECT_NE(loads.add(record).value_or("").find("different models: layer 1"), std::string::npos);
  EXPECT_EQ(loads.layers().at(1).tokens, 2u);
}

}  // namespace
}  // namespace moevk::model
