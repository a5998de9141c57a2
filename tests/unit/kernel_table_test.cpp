// SPDX-License-Identifier: MIT
//
// The manifest agrees with the kernels as they were compiled: bindings, specialization constants, workgroup size,
// and shared memory for every choice of constants that a plan may make.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "runtime/plan.h"
#include "tests/unit/spirv_module.h"

namespace moevk::unit {
namespace {

struct Variant {
  KernelId id;
  const KernelInfo* info;
  size_t variant;
  SpirvModule module;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (uint32_t k = 0; k < kKernelCount; ++k) {
    const auto id = static_cast<KernelId>(k);
    for (size_t v = 0; v < (kKernels[k].reads_weights ? 2u : 1u); ++v)
      all.push_back({id, &kKernels[k], v, SpirvModule::of(id, v)});
  }
  return all;
}

// A binding that optimisation has removed may be missing, but none beyond the manifest's number may be there.
TEST(KernelTable, Bindings) {
  for (const Variant& v : variants()) {
    const auto buffers = v.module.bindings(0);
    ASSERT_FALSE(buffers.empty()) << v.info->name;
    EXPECT_EQ(buffers.rbegin()->first + 1, v.info->bindings) << v.info->name << " " << v.variant;
    EXPECT_LE(v.info->bindings, 10u) << v.info->name;
    EXPECT_TRUE(std::any_of(buffers.begin(), buffers.end(), [](const auto& b) { return b.second.writes; }))
        << v.info->name;
    const auto windows = v.module.bindings(1);
    EXPECT_EQ(windows.size(), v.info->reads_weights && v.variant == 0 ? 1u : 0u) << v.info->name << " " << v.variant;
    for (const auto& [number, access] : windows) EXPECT_FALSE(access.writes) << v.info->name << " writes weights";
  }
}

// A constant that a kernel reads but the manifest does not list would stay at its default for ever.
TEST(KernelTable, ConstantsThatAKernelReadsAreListed) {
  for (const Variant& v : variants()) {
    for (const uint32_t id : v.module.constant_ids()) {
      ASSERT_LT(id, kConstantCount);
      EXPECT_NE(v.info->constants >> id & 1, 0u)
          << v.info->name << " reads " << kConstantNames[id] << ", which the manifest does not list";
    }
    for (uint32_t id = 0; id < kConstantCount; ++id) {
      if ((v.info->constants >> id & 1) == 0) continue;
      EXPECT_EQ(v.module.constant_ids().count(id), 1u) << v.info->name << " does not read " << kConstantNames[id];
    }
  }
}

// As its execution mode says, or the specialization constant INVOCATIONS where the kernel reads that.
TEST(KernelTable, WorkgroupSize) {
  constexpr uint32_t kOpExecutionMode = 16, kModeLocalSize = 17, kOpSpecConstantComposite = 51, kOpDecorate = 71;
  constexpr uint32_t kSpecId = 1, kBuiltIn = 11, kWorkgroupSize = 25;
  const auto invocations = static_cast<uint32_t>(Constant::kInvocations);
  EXPECT_EQ(kConstantDefaults[invocations], kNumberWorkgroup);
  for (const Variant& v : variants()) {
    const bool chosen = (v.info->constants >> invocations & 1) != 0;
    size_t modes = 0, sizes = 0;
    std::set<uint32_t> specialised;  // ids of INVOCATIONS
    uint32_t size_id = 0;
    for (const SpirvInstruction& i : v.module.instructions()) {
      if (i.op == kOpDecorate && i.operands[1] == kSpecId && i.operands[2] == invocations) {
        specialised.insert(i.operands[0]);
      }
      if (i.op == kOpDecorate && i.operands[1] == kBuiltIn && i.operands[2] == kWorkgroupSize) size_id = i.operands[0];
      if (i.op == kOpSpecConstantComposite && i.operands[1] == size_id) sizes += specialised.count(i.operands[2]);
      if (i.op != kOpExecutionMode || i.operands[1] != kModeLocalSize) continue;
      ++modes;
      if (chosen) continue;
      EXPECT_EQ(i.operands, (std::vector<uint32_t>{i.operands[0], kModeLocalSize, kNumberWorkgroup, 1, 1}))
          << v.info->name;
    }
    EXPECT_EQ(modes, 1u) << v.info->name;
    EXPECT_EQ(sizes, chosen ? 1u : 0u) << v.info->name;
  }
}

// What the reader of modules finds, by hand, of the arrays as the kernels declare them:
//   route           keys 2176 + best_key, best_id, lane_value 3 x 128 + norm_partial 128, and for each token of a
//                   block chosen 40 + lane_sums 129
//   gate_up_small   lane_sums 2 x 129 for each of rows x tokens, routes_of_expert 16 x 40 / 32
//   down_small      lane_sums 129 for each of rows x tokens, links 16 x 40 with 8 tokens, 40 a token with fewer, and
//                   route_out, 1 or rows x 4 for each route that it combines: 512 with 8 tokens, 40 a token with fewer;
//                   as a projection 129 more a token for its squares, 1 link and 16 routes
//   gate_up_tile    row_tile 16 x 33, up_tile 16 x 65, gate_tile 16 x 65 or 1
//   down_tile       row_tile 16 x 33, down_tile 16 x 65, row_squares 1, as a projection 32 x 2
TEST(KernelTable, SharedMemoryByHand) {
  std::array<uint32_t, kConstantCount> c;
  const auto floats = [&](KernelId id) { return SpirvModule::of(id).shared_bytes(c.data(), kConstantCount) / 4; };
  const auto set = [&](Constant constant, uint32_t value) { c[static_cast<size_t>(constant)] = value; };
  std::copy_n(kConstantDefaults, kConstantCount, c.begin());
  for (const uint32_t tokens : {1u, 2u, 4u, 8u}) {
    set(Constant::kTokensPerGroup, tokens);
    EXPECT_EQ(floats(KernelId::kRoute), 2176 + 3 * 128 + 128 + tokens * (40 + 129));
    const uint32_t rows = tokens <= 2 ? 4 : tokens == 4 ? 2 : 1;  // of a group; a workgroup has 4
    const uint32_t routes = tokens == 8 ? 512 : tokens * 40, links = tokens == 8 ? 640 : tokens * 40;
    EXPECT_EQ(floats(KernelId::kGateUpSmall), 2 * rows * tokens * 129 + 20);
    set(Constant::kCombine, 1);
    set(Constant::kLatent, kNumberLatentProjection);
    EXPECT_EQ(floats(KernelId::kDownSmall), (rows + 1) * tokens * 129 + 1 + 16 * rows * 4);
    set(Constant::kLatent, 0);
    EXPECT_EQ(floats(KernelId::kDownSmall), rows * tokens * 129 + links + routes * rows * 4);
    set(Constant::kCombine, 0);
    EXPECT_EQ(floats(KernelId::kDownSmall), rows * tokens * 129 + links + 1);
  }
  EXPECT_EQ(floats(KernelId::kGateUpTile), 16u * 33 + 2 * 16 * 65);
  set(Constant::kGated, 0);
  EXPECT_EQ(floats(KernelId::kGateUpTile), 16u * 33 + 16 * 65 + 1);
  EXPECT_EQ(floats(KernelId::kDownTile), 16u * 33 + 16 * 65 + 1);
  set(Constant::kLatent, kNumberLatentProjection);
  EXPECT_EQ(floats(KernelId::kDownTile), 16u * 33 + 16 * 65 + 32 * 2);
}

TEST(KernelTable, SharedMemoryFitsTheFloor) {
  for (const Variant& v : variants()) {
    std::array<uint32_t, kConstantCount> c;
    for (uint32_t tokens : {1u, 2u, 4u, 8u}) {
      for (uint32_t one = 0; one < 3; ++one) {
        std::fill(c.begin(), c.end(), one);
        c[static_cast<size_t>(Constant::kTokensPerGroup)] = tokens;
        EXPECT_LE(v.module.shared_bytes(c.data(), kConstantCount), 16384u)
            << v.info->name << ", " << tokens << " tokens";
      }
    }
  }
}

}  // namespace
}  // namespace moevk::unit
