// SPDX-License-Identifier: MIT
//
// Float controls in each kernel's module: the words stand where SPIR-V wants them, nothing else changes, and the
// validator (found when the build was configured, unless for another machine) takes the result.
#include "backend/spirv_float_controls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tests/support/scratch_folder.h"
#include "tests/unit/repository.h"
#include "tests/unit/spirv_module.h"

namespace moevk::unit {
namespace {

constexpr uint32_t kOpExtension = 10, kOpEntryPoint = 15, kOpExecutionMode = 16, kOpCapability = 17;
constexpr uint32_t kCapabilityHalf = 4464, kCapabilityInfNan = 4466, kCapabilityRte = 4467;
constexpr uint32_t kModeHalf = 4459, kModeInfNan = 4461, kModeRte = 4462;

struct Module {
  std::string name;
  std::vector<uint32_t> words;
};

std::vector<Module> modules() {
  std::vector<Module> all;
  for (const KernelInfo& kernel : kKernels) {
    for (size_t v = 0; v < (kernel.reads_weights ? 2u : 1u); ++v) {
      all.push_back(
          {std::string(kernel.name) + "." + std::to_string(v), {kernel.code[v], kernel.code[v] + kernel.words[v]}});
    }
  }
  return all;
}

std::vector<uint32_t> patched(const Module& m, const FloatControls& controls) {
  return with_float_controls(m.words.data(), m.words.size(), controls);
}

// Each alone, and all.
const FloatControls kAsked[] = {{true, false, false}, {false, true, false}, {false, false, true}, {true, true, true}};

bool is_ours(const SpirvInstruction& i) {
  if (i.op == kOpCapability) return i.operands[0] >= kCapabilityHalf && i.operands[0] <= kCapabilityRte;
  if (i.op == kOpExecutionMode) return i.operands[1] >= kModeHalf && i.operands[1] <= kModeRte;
  return i.op == kOpExtension &&
         std::strcmp(reinterpret_cast<const char*>(i.operands.data()), "SPV_KHR_float_controls") == 0;
}

// The order of a module's sections, as far as these instructions go.
int section(uint32_t op) {
  switch (op) {
    case kOpCapability: return 0;
    case kOpExtension: return 1;
    case kOpEntryPoint: return 3;
    case kOpExecutionMode: return 4;
    case 11:            // OpExtInstImport
    case 14: return 2;  // OpMemoryModel
    default: return 5;
  }
}

TEST(SpirvFloatControls, NothingAskedNothingChanged) {
  for (const Module& m : modules()) EXPECT_EQ(patched(m, {}), m.words) << m.name;
}

TEST(SpirvFloatControls, WordsStandInTheirSections) {
  for (const Module& m : modules()) {
    for (const FloatControls& asked : kAsked) {
      SCOPED_TRACE(m.name);
      const std::vector<uint32_t> words = patched(m, asked);
      EXPECT_TRUE(std::equal(words.begin(), words.begin() + 5, m.words.begin())) << "the header stays";
      const SpirvModule before(m.words.data(), m.words.size()), after(words.data(), words.size());
      std::vector<uint32_t> capabilities, modes;
      size_t extensions = 0, rest = 0;
      uint32_t entry = 0;
      int last = 0;
      for (const SpirvInstruction& i : after.instructions()) {
        EXPECT_GE(section(i.op), last) << "opcode " << i.op << " is out of order";
        last = section(i.op);
        if (i.op == kOpEntryPoint) entry = i.operands[1];
        if (!is_ours(i)) {
          ASSERT_LT(rest, before.instructions().size());
          EXPECT_EQ(i.op, before.instructions()[rest].op);
          EXPECT_EQ(i.operands, before.instructions()[rest].operands);
          ++rest;
          continue;
        }
        if (i.op == kOpCapability) capabilities.push_back(i.operands[0]);
        if (i.op == kOpExtension) ++extensions;
        if (i.op != kOpExecutionMode) continue;
        modes.push_back(i.operands[1]);
        EXPECT_EQ(i.operands, (std::vector<uint32_t>{entry, i.operands[1], i.operands[1] == kModeHalf ? 16u : 32u}));
      }
      EXPECT_EQ(rest, before.instructions().size());
      EXPECT_EQ(extensions, 1u);
      std::vector<uint32_t> all_capabilities, all_modes;
      const auto expect = [&](bool is_asked, uint32_t capability, uint32_t mode) {
        if (!is_asked) return;
        all_capabilities.push_back(capability);
        all_modes.push_back(mode);
      };
      expect(asked.round_to_even, kCapabilityRte, kModeRte);
      expect(asked.keep_inf_nan, kCapabilityInfNan, kModeInfNan);
      expect(asked.keep_half_subnormals, kCapabilityHalf, kModeHalf);
      EXPECT_EQ(capabilities, all_capabilities);
      EXPECT_EQ(modes, all_modes);
    }
  }
}

TEST(SpirvFloatControls, TheValidatorTakesThem) {
  const std::string validator = MOEVK_SPIRV_VAL;
  if (validator.empty()) GTEST_SKIP() << "spirv-val does not run here: a cross build";
  const moe_tests::ScratchFolder folder;
  const auto validate = [&](const std::vector<uint32_t>& words) {
    const std::string path = (folder.path() / "module.spv").string();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(words.data()), static_cast<std::streamsize>(words.size() * 4));
    return std::system(("'" + validator + "' --target-env vulkan1.1 '" + path + "' > '" + path + ".log' 2>&1").c_str());
  };
  for (const Module& m : modules()) {
    for (const FloatControls& asked : kAsked) {
      EXPECT_EQ(validate(patched(m, asked)), 0) << m.name << ": " << read_text(folder.path() / "module.spv.log");
    }
  }
  std::vector<uint32_t> broken = patched(modules().front(), kAsked[3]);
  broken[5] = 1u << 16 | 0xFFFF;
  EXPECT_NE(validate(broken), 0) << "the validator takes anything";
}

}  // namespace
}  // namespace moevk::unit
