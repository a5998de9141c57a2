// SPDX-License-Identifier: MIT
//
// In:  the built moevk, the shipped model with its oracle, files of routes made here.
// Out: tests of `moevk run --routes`, `moevk routes` and `moevk bench --routes`.
// Why: the three are one way: what a run records is shown, and replayed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "plugin_api/moe_routes.hpp"
#include "tests/tools/run_moevk.h"
#include "tests/tools/well_formed.h"
#include "tools/model/npy.h"

namespace {

using moe_tests::contains;
using moe_tests::expect_refused;
using moe_tests::Output;
using moe_tests::read_text;
using moe_tests::run_moevk;
using moe_tests::temporary;
using moe_tests::xml_problem;

const std::string kModels = MOEVK_SOURCE_DIR "/models/";

// Layer 2 with E = 4 and k = 1: 3 tokens to e1, one to e3.
void write_small(const std::string& path) {
  const int32_t ids[] = {1, 1, 3, 1};
  const float weights[] = {1, 1, 1, 1};
  moe::Routes routes;
  routes.layer = 2, routes.experts = 4, routes.top_k = 1, routes.hidden = 64, routes.intermediate = 32;
  routes.tokens = 4, routes.ids = ids, routes.weights = weights;
  moe::RouteFile file(path);
  moe::RouteStream stream;
  std::string why;
  ASSERT_TRUE(file.append(stream, routes, why)) << why;
}

}  // namespace

TEST(Routes, AreRecordedByARunAndEqualTheOracles) {
  const std::string path = temporary("run.routes");
  const Output run = run_moevk("run '" + kModels + "tiny-moe-f16.gguf' --device reference --routes '" + path + "'");
  ASSERT_EQ(run.code, 0) << run.out << run.err;
  std::string expected;  // the CSV's lines, less stream and weight
  for (const char* layer : {"0", "1", "2", "3"}) {
    const auto array = moevk::model::read_npy(kModels + "oracle/l" + layer + ".selected.npy");
    ASSERT_TRUE(array);
    const std::vector<int32_t> ids = array->to_i32();
    for (size_t i = 0; i < ids.size(); ++i) {
      expected += std::string(layer) + "," + std::to_string(i / 2) + "," + std::to_string(i % 2) + "," +
                  std::to_string(ids[i]) + "\n";
    }
  }
  const Output csv = run_moevk("routes '" + path + "' --csv -");
  ASSERT_EQ(csv.code, 0) << csv.err;
  std::istringstream lines(csv.out);
  std::string line, got;
  std::getline(lines, line);
  EXPECT_EQ(line, "stream,layer,token,slot,expert,weight");
  while (std::getline(lines, line)) {
    const size_t begin = line.find(',') + 1;
    got += line.substr(begin, line.rfind(',') - begin) + "\n";
  }
  EXPECT_EQ(got, expected);
  std::filesystem::remove(path);
}

TEST(Routes, AreShownAsBarsFiguresAndAMap) {
  const std::string path = temporary("small.routes"), svg = temporary("map.svg"), json = temporary("figures.json");
  write_small(path);
  const Output output = run_moevk("routes '" + path + "' --svg '" + svg + "' --json '" + json + "'");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "1 records, 1 streams, 1 layers\n")) << output.out;
  // max 3 / mean 1; deviations 2, -1, 0, -1: sqrt(6 / 4); -(3/4 ln 3/4 + 1/4 ln 1/4) / ln 4 = 0.4056; e^0.5623 = 1.75
  for (const char* figure : {"3.000", "1.225", "0.4056", "1.8 of 4", "75.0 %", " e1 "}) {
    EXPECT_TRUE(contains(output.out, figure)) << figure << output.out;
  }
  EXPECT_TRUE(contains(output.out, "··· ███ ··· ▃▃▃")) << output.out;
  const std::string map = read_text(svg);
  EXPECT_EQ(xml_problem(map), "") << map;
  EXPECT_TRUE(contains(map, "layer 2, e1: 3 routes, 3.00 of an even load")) << map;
  EXPECT_TRUE(contains(map, "class=\"u\"><title>layer 2, e0: 0 routes")) << map;
  EXPECT_TRUE(contains(map, "class=\"m3\"><title>layer 2, e1:")) << map;  // 2^(3/2) is the nearest to 3
  const std::string figures = read_text(json);
  EXPECT_TRUE(contains(figures, "\"max_over_mean\": 3, ")) << figures;
  EXPECT_TRUE(contains(figures, "\"load\": [0, 3, 0, 1]}")) << figures;
  EXPECT_TRUE(contains(run_moevk("routes '" + path + "' --layer 2").out, "75.0 %"));
  expect_refused("routes '" + path + "' --layer 3", "3 is no layer of");
  for (const std::string& file : {path, svg, json}) std::filesystem::remove(file);
}

TEST(Routes, OfACutFileAreUsedAndOfAnotherRefused) {
  const std::string path = temporary("cut.routes");
  write_small(path);
  write_small(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  const Output output = run_moevk("routes '" + path + "'");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "1 records")) << output.out;
  EXPECT_TRUE(contains(output.err, "99 bytes in 1 place are no whole record, first at 100: it ends within a record"))
      << output.err;
  expect_refused("routes '" + kModels + "tiny-moe-f16.gguf'", "holds no whole record of routes: no record begins here");
  expect_refused("routes '" + path + "-nowhere'", "cut.routes-nowhere");
  std::filesystem::resize_file(path, 50);
  expect_refused("routes '" + path + "'", "holds no whole record of routes: it ends within a record");
  std::filesystem::remove(path);
}

TEST(Routes, AreReplayedByBench) {
  const std::string path = temporary("bench.routes");
  write_small(path);
  const std::string quick = "bench --device reference --repeat 2 --json - --routes '" + path + "'";
  const Output output = run_moevk(quick + " --tokens 1,4 --shared 16");
  ASSERT_EQ(output.code, 0) << output.err;
  EXPECT_TRUE(contains(output.out, "\"shape\": \"64,32,4,1\"")) << output.out;
  EXPECT_TRUE(contains(output.out, "\"routing\": \"recorded\"")) << output.out;
  EXPECT_TRUE(contains(output.out, "\"distinct_experts\": 2")) << output.out;  // of four tokens: e1 and e3
  expect_refused(quick + " --tokens 5", "--tokens: 5 is more than the 4 consecutive tokens");
  expect_refused(quick + " --tokens 1 --shape 64,32,8,1", "is not one of H,F,4,1");
  expect_refused(quick + " --tokens 1 --routing zipf", "--routing");
  expect_refused("bench --device reference --tokens 1", "--shape: is missing");
  std::filesystem::remove(path);
}
