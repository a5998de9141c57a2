// SPDX-License-Identifier: MIT
//
// What the comparison with ggml makes of its inputs and says of its results. In: routers and times made up here. Out:
// the routing, rows of the table, JSON. Why: a ratio that is turned around, or tokens that two libraries route
// differently, would look like a result.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "bench/normalized_error.h"
#include "bench/peer_inputs.h"
#include "bench/peer_rows.h"
#include "tools/model/json_reader.h"
#include "tools/moevk/random_data.h"

namespace {

using namespace moevk::bench;

constexpr uint64_t kHidden = 64, kExperts = 16, kTopK = 3;

std::vector<float> some_router() {
  std::vector<float> router = moevk::cli::random_tokens(kExperts, kHidden, 7);
  for (float& value : router) value /= 8;  // logits of spread 1
  return router;
}

TEST(PeerInputs, NoRouteHangsOnRounding) {
  std::vector<float> router = some_router();
  bias_router(router, kHidden, kTopK, "uniform");
  const std::vector<float> x = routed_tokens(200, router, kHidden, kTopK, 1);
  ASSERT_EQ(x.size(), 200 * kHidden);
  for (uint64_t token = 0; token < 200; ++token) {
    EXPECT_EQ(x[token * kHidden], 1.0f);
    std::vector<double> logits(kExperts);
    for (uint64_t e = 0; e < kExperts; ++e) {
      for (uint64_t i = 0; i < kHidden; ++i) {
        logits[e] += static_cast<double>(x[token * kHidden + i]) * router[e * kHidden + i];
      }
    }
    std::sort(logits.begin(), logits.end(), std::greater<>());
    EXPECT_GE(logits[kTopK - 1] - logits[kTopK], kLeastGap * (1 - 1e-9)) << token;
  }
  EXPECT_EQ(routed_tokens(200, router, kHidden, kTopK, 1), x);
  EXPECT_NE(routed_tokens(200, router, kHidden, kTopK, 2), x);
}

TEST(PeerInputs, RoutingIsAsNamed) {
  std::vector<float> router = some_router();
  const auto used = [&](const char* routing) {
    bias_router(router, kHidden, kTopK, routing);
    return distinct_experts(routed_tokens(64, router, kHidden, kTopK, 1), router, kHidden, kTopK);
  };
  EXPECT_EQ(used("onehot"), kTopK);
  EXPECT_EQ(used("uniform"), kExperts);
  bias_router(router, kHidden, kTopK, "zipf");
  EXPECT_FLOAT_EQ(router[0], 0);
  EXPECT_FLOAT_EQ(router[9 * kHidden], -std::log(10.0f));
}

TEST(PeerInputs, ErrorIsSquaredAndRelative) {
  EXPECT_DOUBLE_EQ(normalized_error({1, 2, 4}, {1, 2, 2}), 4.0 / 9);
  EXPECT_DOUBLE_EQ(normalized_error({1, 2}, {1, 2}), 0);
  EXPECT_TRUE(std::isinf(normalized_error({NAN, 2}, {1, 2})));
  EXPECT_TRUE(std::isinf(normalized_error({0, 0}, {0, 0})));
}

PeerRow some_row() {
  PeerRow row;
  row.shape = "64,32,8,2", row.format = "f16", row.routing = "uniform", row.tokens = 9, row.experts = 7;
  row.timings = {{"ours", {2, 4, 3}, {5, 5, 8}, 0, "", ""},
                 {"ggml-vulkan", {6, 9, 12}, {10, 9, 30}, 1e-6, "experts.\"up\"", "1 x MUL_MAT_ID"}};
  return row;
}

TEST(PeerRows, ARatioAboveOneMeansOursIsFaster) {
  const PeerRow row = some_row();
  EXPECT_DOUBLE_EQ(row.timings[0].median_ms(), 3);
  EXPECT_DOUBLE_EQ(row.ratio(row.timings[1]), 3);
  EXPECT_DOUBLE_EQ(row.cpu_ratio(row.timings[1]), 2);
  const std::string line = table_line(row, {"ggml-vulkan", "ggml-cpu"});
  EXPECT_NE(line.find(" 3.00x   2.00x"), std::string::npos) << line;
  EXPECT_NE(line.find("ggml-vulkan declines experts.\"up\"; on its CPU: 1 x MUL_MAT_ID"), std::string::npos) << line;
}

TEST(PeerRows, JsonCanBeRead) {
  PeerRow skipped = some_row();
  skipped.timings.clear(), skipped.skipped = "too \"large\"";
  for (const PeerRow& row : {some_row(), skipped}) {
    const std::string text = json_object(row, "a \"GPU\"", "driver", "0.0");
    const auto document = moevk::model::read_json(std::as_bytes(std::span(text)), "row");
    EXPECT_TRUE(document.ok()) << text;
  }
}

}  // namespace
