// SPDX-License-Identifier: MIT
//
// Kernels without what their constants rule out: the validator takes each, little is left of formats that are not
// asked for, bindings and shared memory stay, and a hand-written module loses exactly the branch that it should.
#include "backend/spirv_prune.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "runtime/affine_format.h"
#include "tests/support/scratch_folder.h"
#include "tests/unit/repository.h"
#include "tests/unit/spirv_module.h"

namespace moevk::unit {
namespace {

using Constants = std::array<uint32_t, kConstantCount>;

// Every number of a format that is not affine, and one affine format of each element.
std::vector<uint32_t> formats() {
  std::vector<uint32_t> all;
  for (uint32_t format = 0; format < kWeightFormats; ++format) all.push_back(format);
  for (uint32_t range = kNumberRangeInt2; range <= kNumberRangeE2m1; ++range) {
    AffineFormat one;
    one.range = static_cast<WeightFormat>(range * kNumberFormatRange);
    one.group = 32;
    if (one.is_integer()) one.zero = ZeroPoint::kStored;
    all.push_back(kernel_format(number_of(one)));
  }
  return all;
}

Constants constants_of(uint32_t format, uint32_t other) {
  Constants c;
  std::copy_n(kConstantDefaults, kConstantCount, c.begin());
  for (const Constant one : {Constant::kGateFormat, Constant::kUpFormat, Constant::kDownFormat}) {
    c[static_cast<size_t>(one)] = format;
  }
  for (const Constant one : {Constant::kSharedGateFormat, Constant::kSharedUpFormat, Constant::kSharedDownFormat}) {
    c[static_cast<size_t>(one)] = other;
  }
  return c;
}

std::vector<uint32_t> pruned(const KernelInfo& kernel, size_t variant, const Constants& c) {
  return prune_spirv(kernel.code[variant], kernel.words[variant], c.data(), c.size());
}

TEST(SpirvPrune, LittleIsLeftOfOtherFormats) {
  for (const KernelInfo& kernel : kKernels) {
    if (!kernel.reads_weights) continue;
    for (const size_t variant : {size_t{0}, size_t{1}}) {
      size_t all = 0;
      for (const uint32_t format : formats()) {
        const size_t one = pruned(kernel, variant, constants_of(format, format)).size();
        EXPECT_LT(one, kernel.words[variant] / 2) << kernel.name << ", format " << format;
        all += one;
        const size_t two = pruned(kernel, variant, constants_of(format, 0)).size();
        EXPECT_GE(two, format == 0 ? one : one - 100) << kernel.name << ", format " << format;
      }
      EXPECT_LT(all / formats().size(), kernel.words[variant] * 2 / 5) << kernel.name;
    }
  }
}

TEST(SpirvPrune, BindingsAndSharedMemoryStay) {
  for (const KernelInfo& kernel : kKernels) {
    for (size_t variant = 0; variant < (kernel.reads_weights ? 2u : 1u); ++variant) {
      const Constants c = constants_of(kNumberFormatQ4K, 0);
      const std::vector<uint32_t> words = pruned(kernel, variant, c);
      const SpirvModule before(kernel.code[variant], kernel.words[variant]), after(words.data(), words.size());
      EXPECT_EQ(after.bindings(0).size(), before.bindings(0).size()) << kernel.name;
      EXPECT_EQ(after.constant_ids(), before.constant_ids()) << kernel.name;
      EXPECT_EQ(after.shared_bytes(c.data(), c.size()), before.shared_bytes(c.data(), c.size())) << kernel.name;
    }
  }
}

TEST(SpirvPrune, TheValidatorTakesThem) {
  const std::string validator = MOEVK_SPIRV_VAL;
  if (validator.empty()) GTEST_SKIP() << "spirv-val does not run here: a cross build";
  const moe_tests::ScratchFolder folder;
  std::string command = "for f in";
  size_t files = 0;
  const auto write = [&](const std::vector<uint32_t>& words) {
    const std::string path = (folder.path() / ("m" + std::to_string(files++) + ".spv")).string();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(words.data()), static_cast<std::streamsize>(words.size() * 4));
    command += " '" + path + "'";
  };
  for (const KernelInfo& kernel : kKernels) {
    for (size_t variant = 0; variant < (kernel.reads_weights ? 2u : 1u); ++variant) {
      const std::vector<uint32_t> all = formats();
      for (uint32_t i = 0; i < (kernel.reads_weights ? all.size() : 1); ++i) {
        Constants c = constants_of(all[i], i % 3 == 0 ? all[i] : all[(i + 7) % all.size()]);
        c[static_cast<size_t>(Constant::kGated)] = i % 2;
        c[static_cast<size_t>(Constant::kTokensPerGroup)] = 1u << i % 4;
        c[static_cast<size_t>(Constant::kCombine)] = i / 2 % 2;
        write(pruned(kernel, variant, c));
      }
    }
  }
  command += "; do '" + validator + "' --target-env vulkan1.1 \"$f\" || { echo \"$f\"; exit 1; }; done";
  const std::string log = (folder.path() / "log").string();
  EXPECT_EQ(std::system(("(" + command + ") > '" + log + "' 2>&1").c_str()), 0) << read_text(log);
  EXPECT_GT(files, 8 * formats().size());
}

TEST(SpirvPrune, WhatIsNoModuleComesBackAsItIs) {
  const KernelInfo& kernel = kKernels[static_cast<size_t>(KernelId::kDownTile)];
  std::vector<uint32_t> words(kernel.code[0], kernel.code[0] + kernel.words[0]);
  words.pop_back();  // the last instruction is cut
  words.back() = 9u << 16 | 1;
  EXPECT_EQ(prune_spirv(words.data(), words.size(), nullptr, 0), words);
}

// Two blocks that store 1 or 2, chosen by the constant 3 being 7: of each one stays.
TEST(SpirvPrune, ABranchByHand) {
  const auto module = [] {
    const std::vector<std::vector<uint32_t>> instructions = {
        {17, 1},                       // Shader
        {14, 0, 1},                    // Logical GLSL450
        {71, 10, 1, 3},                // %10 has SpecId 3
        {71, 21, 0},                   // a decoration of what is in the first branch
        {21, 2, 32, 0},                // %2 uint
        {20, 3},                       // %3 bool
        {19, 4},                       // %4 void
        {33, 5, 4},                    // %5 function type
        {50, 2, 10, 5},                // %10 = 5, specializable
        {43, 2, 11, 7},                // %11 = 7
        {52, 3, 12, 170, 10, 11},      // %12 = %10 == %11
        {54, 4, 13, 0, 5},             // function
        {248, 14},                     //
        {247, 17, 0},                  // selection, merges at %17
        {250, 12, 15, 16},             // if %12
        {248, 15},                     //
        {128, 2, 21, 10, 11},          // %21 = %10 + %11
        {249, 17},                     //
        {248, 16},                     //
        {128, 2, 22, 11, 11},          // %22 = %11 + %11
        {249, 17},                     //
        {248, 17},                     //
        {245, 2, 23, 21, 15, 22, 16},  // phi
        {253},                         // return
        {56}};
    std::vector<uint32_t> words = {0x07230203, 0x00010300, 0, 30, 0};
    for (const auto& one : instructions) {
      words.push_back(static_cast<uint32_t>(one.size()) << 16 | one[0]);
      words.insert(words.end(), one.begin() + 1, one.end());
    }
    return words;
  }();
  for (const uint32_t value : {7u, 5u}) {
    const uint32_t constants[] = {0, 0, 0, value};
    const std::vector<uint32_t> words = prune_spirv(module.data(), module.size(), constants, 4);
    std::vector<uint32_t> labels, sums, decorated;
    bool branches = false;
    const SpirvModule after(words.data(), words.size());
    for (const SpirvInstruction& i : after.instructions()) {
      if (i.op == 248) labels.push_back(i.operands[0]);
      if (i.op == 128) sums.push_back(i.operands[1]);
      if (i.op == 71 && i.operands.size() == 2) decorated.push_back(i.operands[0]);
      EXPECT_TRUE(i.op != 245 || i.operands.size() == 4) << "the phi has one way left";
      branches = branches || i.op == 250 || i.op == 247;
    }
    const bool first = value == 7;
    EXPECT_EQ(labels, (std::vector<uint32_t>{14, first ? 15u : 16u, 17}));
    EXPECT_EQ(sums, (std::vector<uint32_t>{first ? 21u : 22u}));
    EXPECT_EQ(decorated.size(), first ? 1u : 0u);
    EXPECT_FALSE(branches);
  }
}

}  // namespace
}  // namespace moevk::unit
