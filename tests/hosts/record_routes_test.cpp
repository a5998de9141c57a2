// SPDX-License-Identifier: MIT
//
// In:  matched layers of graphs built as llama.cpp builds them; a file.
// Out: tests of which routes are recorded, of what block, and that nothing is asked for without a file.
// Why: a record must say where in the model it is from, and a host without MOEVK_ROUTES must not pay for it.
#include "hosts/ggml/record_routes.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/hosts/graph_builder.h"

namespace moevk::hosts {
namespace {

using ggml::block_of;
using ggml::LayerMatch;
using ggml::RouteTap;
using ggml::Tensor;

TEST(BlockOf, ReadsTheNameOfATensor) {
  EXPECT_EQ(block_of("blk.0.ffn_gate_exps.weight"), 0u);
  EXPECT_EQ(block_of("blk.61.ffn_up_exps.weight"), 61u);
  for (const char* name : {"", "blk", "blk.", "blk.x.ffn", "blk.5", "blk.-1.ffn", "blk.99999999999.ffn", "a.blk.1.b"}) {
    EXPECT_EQ(block_of(name), std::nullopt) << name;
  }
}

struct Recorded {
  moe::RoutesHeader header;
  std::vector<int32_t> ids;
};

class RecordRoutes : public ::testing::Test {
 protected:
  RecordRoutes() { std::remove(path_.c_str()); }
  ~RecordRoutes() override { std::remove(path_.c_str()); }

  Recorded read() const {
    std::ifstream file(path_, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    Recorded recorded{};
    EXPECT_GE(bytes.size(), sizeof recorded.header);
    if (bytes.size() < sizeof recorded.header) return recorded;
    std::memcpy(&recorded.header, bytes.data(), sizeof recorded.header);
    EXPECT_EQ(recorded.header.record_bytes, bytes.size());  // one record
    recorded.ids.resize(size_t{recorded.header.tokens} * recorded.header.top_k);
    std::memcpy(recorded.ids.data(), bytes.data() + sizeof recorded.header, recorded.ids.size() * sizeof(int32_t));
    return recorded;
  }
  std::string path_ = ::testing::TempDir() + "moevk_record_routes_" + std::to_string(getpid());
  GraphBuilder graph_;
  std::vector<std::string> why_;
  moe::RouteFile file_{path_};
  moe::RouteStream stream_;
};

TEST_F(RecordRoutes, AsksForTheLayersOwnRoutes) {
  add_moe_block(graph_, graph_.leaf("x", 64, 5), {});
  const std::vector<LayerMatch> found = ggml::match_layers(graph_.ops, graph_.nodes, why_);
  ASSERT_EQ(found.size(), 1u);
  moe_call_args args = MOE_INIT(moe_call_args);
  RouteTap nobody(nullptr, stream_, found[0]);
  nobody.ask(args);
  EXPECT_EQ(args.ids, nullptr);
  EXPECT_EQ(args.weights, nullptr);
  nobody.write();

  RouteTap tap(&file_, stream_, found[0]);
  tap.ask(args);
  ASSERT_NE(args.ids, nullptr);
  ASSERT_NE(args.weights, nullptr);
  EXPECT_EQ(args.ids->rows, 5u);
  EXPECT_EQ(args.ids->columns, 2u);
  for (int i = 0; i < 10; ++i) static_cast<int32_t*>(args.ids->host)[i] = i % 8;
  tap.write();
  const Recorded recorded = read();
  EXPECT_EQ(recorded.header.layer, 0u);
  EXPECT_EQ(recorded.header.tokens, 5u);
  EXPECT_EQ(recorded.header.experts, 8u);
  EXPECT_EQ(recorded.header.hidden, 64u);
  EXPECT_EQ(recorded.header.intermediate, 32u);
  EXPECT_EQ(recorded.ids, (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1}));
}

TEST_F(RecordRoutes, ReadsGivenRoutesWhereTheyLie) {
  BlockOptions options;
  options.given_routes = true;
  add_moe_block(graph_, graph_.leaf("x", 64, 5), options);
  std::vector<LayerMatch> found = ggml::match_layers(graph_.ops, graph_.nodes, why_);
  ASSERT_EQ(found.size(), 1u);
  // Ids as a view of a full sort has them: rows of all 8 experts, of which two are the token's.
  int32_t ids[5][8] = {{7, 1}, {6, 0}, {5, 2}, {4, 3}, {1, 2}};
  float weights[5][2] = {{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}};
  Tensor ids_tensor = *found[0].ids, weights_tensor = *found[0].route_weights;
  ids_tensor.data = ids, ids_tensor.nb[1] = sizeof ids[0];
  weights_tensor.data = weights, weights_tensor.nb[2] = sizeof weights[0];
  found[0].ids = &ids_tensor, found[0].route_weights = &weights_tensor;
  moe_call_args args = MOE_INIT(moe_call_args);
  RouteTap tap(&file_, stream_, found[0]);
  tap.ask(args);
  EXPECT_EQ(args.ids, nullptr);  // they are known
  tap.write();
  EXPECT_EQ(read().ids, (std::vector<int32_t>{7, 1, 6, 0, 5, 2, 4, 3, 1, 2}));
}

}  // namespace
}  // namespace moevk::hosts
