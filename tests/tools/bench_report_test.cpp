// SPDX-License-Identifier: MIT
//
// What `moevk bench` says of a measurement. In: shapes, times and peaks made up here. Out: floors, the page, the JSON of a
// peak. Why: figures that decide what is worked on next must be right where nobody measures them a second way.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/tools/well_formed.h"
#include "tools/moevk/bench_page.h"
#include "tools/moevk/host.h"
#include "tools/moevk/roofline_plot.h"

namespace {

using namespace moevk::cli;
using moe_tests::xml_problem;

moe_layer_desc layer(uint32_t hidden, uint32_t intermediate, uint32_t experts, uint32_t top_k) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = hidden, desc.intermediate = intermediate, desc.experts = experts, desc.top_k = top_k;
  return desc;
}

// The distinct experts that a table of model shapes has: Qwen3-30B-A3B, gpt-oss-20b, Mixtral 8x7B, DeepSeek-V3.
TEST(Roofline, CountsDistinctExperts) {
  const struct {
    uint32_t experts, top_k;
    double at_1, at_8, at_32, at_128;
  } rows[] = {
      {128, 8, 8, 51.6, 111.8, 128}, {32, 4, 4, 21, 31.6, 32}, {8, 2, 2, 7.2, 8, 8}, {256, 8, 8, 57.4, 163, 252}};
  for (const auto& row : rows) {
    const moe_layer_desc desc = layer(64, 32, row.experts, row.top_k);
    EXPECT_NEAR(roofline(desc, 1, 16).distinct_experts, row.at_1, 1e-9);
    EXPECT_NEAR(roofline(desc, 8, 16).distinct_experts, row.at_8, 0.1);
    EXPECT_NEAR(roofline(desc, 32, 16).distinct_experts, row.at_32, 0.5);
    EXPECT_NEAR(roofline(desc, 128, 16).distinct_experts, row.at_128, 0.5);
  }
}

// T = 2, k = 2, H = 8, F = 4, E = 4, all worked out by hand.
TEST(Roofline, CountsBytesAndOperations) {
  moe_layer_desc desc = layer(8, 4, 4, 2);
  const Roofline work = roofline(desc, 2, 16, 3.0);
  EXPECT_EQ(work.flops, 6 * 2 * 2 * 8 * 4 + 2 * 2 * 8 * 4);
  // Weights of 3 experts, the router, x, h twice, route outputs twice, y.
  EXPECT_EQ(work.bytes, 3 * 3 * 32 * 2 + 4 * 4 * 8 + 4 * (16 + 2 * 16 + 2 * 32) + 4 * 16);
  desc.flags = MOE_LAYER_UNGATED;
  EXPECT_EQ(roofline(desc, 2, 16, 3.0).bytes, work.bytes - 3 * 32 * 2);
  desc.flags = 0;
  desc.shared_intermediate = 6;
  EXPECT_EQ(roofline(desc, 2, 16, 3.0).flops, work.flops + 6 * 2 * 8 * 6);
  EXPECT_EQ(roofline(desc, 2, 16, 3.0).bytes, work.bytes + 3 * 8 * 6 * 2);
}

TEST(Roofline, TheFloorIsTheLargerLimitAndTheDispatches) {
  const Roofline work = {0, 2e9, 3e9};     // 2 GB, 3 GFLOP
  const DevicePeak peak = {100, 1000, 5};  // GB/s, GFLOP/s, us
  const Floor floor = floor_of(work, peak, 3);
  EXPECT_DOUBLE_EQ(floor.memory_ms, 20);
  EXPECT_DOUBLE_EQ(floor.compute_ms, 3);
  EXPECT_DOUBLE_EQ(floor.dispatch_ms, 0.015);
  EXPECT_DOUBLE_EQ(floor.ms(), 20.015);
  EXPECT_STREQ(floor.bound(), "memory");
  EXPECT_STREQ(floor_of({0, 2e6, 3e9}, peak, 3).bound(), "compute");
  EXPECT_STREQ(floor_of({0, 2e3, 3e3}, peak, 3).bound(), "dispatch");
  moe_layer_desc desc = layer(8, 4, 1, 1);
  EXPECT_EQ(least_steps(desc), 3u);
  desc.route_source = MOE_ROUTE_DENSE;
  EXPECT_EQ(least_steps(desc), 2u);
}

std::vector<BenchRow> some_rows(const DevicePeak& peak) {
  std::vector<BenchRow> rows;
  for (const char* format : {"f16", "Q4_K<&>\""}) {
    for (const uint64_t tokens : {1, 9, 512}) {
      BenchRow row;
      row.shape = "512,256,32,4", row.layer = "H=512 & \"others\" <1>", row.format = format, row.routing = "uniform";
      row.tokens = tokens, row.repeats = 5;
      row.work = roofline(layer(512, 256, 32, 4), tokens, 16);
      row.floor = floor_of(row.work, peak, 3);
      row.median_ms = 4 * row.floor->ms(), row.p95_ms = 2 * row.median_ms;
      rows.push_back(row);
    }
  }
  return rows;
}

moe_device_info some_device() {
  moe_device_info device = moe_init<moe_device_info>();
  device.kind = MOE_DEVICE_KIND_DISCRETE_GPU;
  std::snprintf(device.name, sizeof device.name, "a <GPU> & co");
  return device;
}

TEST(BenchPage, IsWellFormedAndSaysEachRow) {
  MeasuredPeak peak;
  peak.peak = {100, 1000, 5};
  const std::string page = bench_page(some_rows(peak.peak), some_device(), peak, "build", "2026-01-01");
  EXPECT_EQ(xml_problem(page), "");
  size_t shares = 0;
  for (size_t at = page.find(">25.0 %</td>"); at != std::string::npos; at = page.find(">25.0 %</td>", at + 1)) ++shares;
  EXPECT_EQ(shares, 6u);
  EXPECT_NE(page.find("a &lt;GPU&gt; &amp; co"), std::string::npos);
  for (const char* foreign : {"http://", "https://", "<script", "@import", "url("}) {
    size_t at = page.find(foreign);
    while (at != std::string::npos && page.compare(at, 27, "http://www.w3.org/2000/svg\"") == 0)
      at = page.find(foreign, at + 1);
    EXPECT_EQ(at, std::string::npos) << foreign;
  }
}

TEST(BenchPage, WithoutAPeakHasTheTableAlone) {
  std::vector<BenchRow> rows = some_rows({100, 1000, 5});
  for (BenchRow& row : rows) row.floor.reset();
  moe_device_info device = some_device();
  device.kind = MOE_DEVICE_KIND_CPU_VULKAN;
  const std::string page = bench_page(rows, device, std::nullopt, "build", "2026-01-01");
  EXPECT_EQ(xml_problem(page), "");
  EXPECT_EQ(page.find("<polyline"), std::string::npos);
  EXPECT_NE(page.find("no floor is known"), std::string::npos);
  EXPECT_NE(page.find("say nothing about a GPU"), std::string::npos);
}

// The judge of pages itself: each of these has one fault.
TEST(BenchPage, FaultsAreSeen) {
  EXPECT_EQ(xml_problem("<a b=\"1\"><c/>&lt;</a>\n"), "");
  for (const char* text : {"", "<a>", "<a></b>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>", "<a>&</a>", "<a>&nbsp;</a>",
                           "<a/>x", "<a/><b/>", "<a b=\"<\"/>", "<a", "</a>"}) {
    EXPECT_NE(xml_problem(text), "") << text;
  }
}

TEST(RooflinePlot, PutsPointsWhereTheyBelong) {
  // Half of the peak at the ridge: between the corner and the bottom, in the middle of the x axis's decades.
  const DevicePeak peak = {100, 1000, 0};
  BenchRow row;
  row.format = "f16", row.layer = "x", row.tokens = 1;
  row.work = {0, 1e8, 1e9}, row.median_ms = 2;  // 10 FLOP a byte, 500 GFLOP/s
  row.floor = floor_of(row.work, peak, 0);
  EXPECT_DOUBLE_EQ(row.percent_of_floor(), 50);
  const std::string svg = roofline_svg({row}, peak);
  EXPECT_EQ(xml_problem(svg), "");
  EXPECT_NE(svg.find("1000 GFLOP/s"), std::string::npos);
  EXPECT_NE(svg.find("100 GB/s"), std::string::npos);
  // x: 1..100, the ridge at 10 is its middle, (64 + 704) / 2.
  EXPECT_NE(svg.find("<circle cx=\"384.0\""), std::string::npos) << svg;
  const std::string share = share_svg({row});
  EXPECT_EQ(xml_problem(share), "");
  EXPECT_NE(share.find("cy=\"175.0\""), std::string::npos) << share;  // half way between 16 and 334
  row.median_ms = 10;                                                 // 10 %, still linear
  EXPECT_NE(share_svg({row}).find("cy=\"302.2\""), std::string::npos) << share_svg({row});
  row.median_ms = 20;  // 5 % of 1..100 on a logarithmic axis
  const std::string small = share_svg({row});
  EXPECT_EQ(xml_problem(small), "");
  EXPECT_NE(small.find("cy=\"222.9\""), std::string::npos) << small;
}

TEST(DevicePeakFile, IsReadOrRefused) {
  const std::string good =
      "{\"device\": \"x\", \"buffer_bytes\": 1, \"read_gbps\": 10, \"copy_gbps\": 12.5, \"f32_gflops\": 99, "
      "\"dispatch_us\": 3, "
      "\"submit_us\": 40}\n";
  const MeasuredPeak peak = parse_device_peak(good, "text");
  EXPECT_EQ(peak.peak.bandwidth_gbps, 12.5);
  EXPECT_EQ(peak.peak.gflops, 99);
  EXPECT_EQ(peak.peak.dispatch_us, 3);
  EXPECT_EQ(peak.device, "x");
  EXPECT_THROW(parse_device_peak("", "text"), UsageError);
  EXPECT_THROW(parse_device_peak("{}", "text"), UsageError);
  EXPECT_THROW(parse_device_peak(std::string(good).replace(good.find("99"), 2, "-1"), "text"), UsageError);
  EXPECT_THROW(parse_device_peak(std::string(good).replace(good.find("99"), 2, "\"\""), "text"), UsageError);
}

}  // namespace
