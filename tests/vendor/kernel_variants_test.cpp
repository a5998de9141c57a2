// SPDX-License-Identifier: MIT
//
// The variants that are compiled are those that plans take: every kernel, and every choice of the constants that
// matter to it.
#include "tests/vendor/kernel_variants.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace moevk::vendor {
namespace {

DeviceCaps device(const std::string& name) {
  std::ifstream file(std::string(MOEVK_SOURCE_DIR) + "/tests/devices/" + name + ".caps");
  std::ostringstream text;
  text << file.rdbuf();
  Result<DeviceCaps> caps = caps_from_text(text.str());
  EXPECT_TRUE(caps.ok()) << name;
  return caps.ok() ? caps.value() : DeviceCaps{};
}

TEST(KernelVariants, EveryKernelAndEveryValueOfItsConstants) {
  // Two devices, which decide some constants each in its way.
  DeviceCaps wide = device("wide-discrete"), narrow = wide;
  wide.unpack_half = 0;
  narrow.unpack_half = 2;
  narrow.subgroup_size = 8;
  std::vector<Dispatch> variants = kernel_variants(wide);
  std::set<std::string> names;
  for (const Dispatch& d : variants) EXPECT_TRUE(names.insert(variant_name(d)).second) << variant_name(d);
  for (const Dispatch& d : kernel_variants(narrow)) variants.push_back(d);
  for (uint32_t k = 0; k < kKernelCount; ++k) {
    std::array<std::set<uint32_t>, kConstantCount> values;
    for (const Dispatch& d : variants) {
      if (static_cast<uint32_t>(d.kernel) != k) continue;
      for (uint32_t c = 0; c < kConstantCount; ++c) values[c].insert(d.constants[c]);
    }
    EXPECT_FALSE(values[0].empty()) << kKernels[k].name << " is never planned";
    for (uint32_t c = 0; c < kConstantCount; ++c) {
      if ((kKernels[k].constants >> c & 1) == 0) continue;
      EXPECT_GE(values[c].size(), 2u) << kKernels[k].name << " has one value of " << kConstantNames[c];
    }
  }
  for (const char* name :
       {"gate_up_tile", "gate_up_tile{GATE_FORMAT=1,UP_FORMAT=1,SHARED_GATE_FORMAT=1,SHARED_UP_FORMAT=1}",
        "gate_up_small{GATE_FORMAT=2,UP_FORMAT=2,SHARED_GATE_FORMAT=2,SHARED_UP_FORMAT=2,TOKENS_PER_GROUP=8}",
        "down_small{COMBINE=1}", "down_tile{DOWN_FORMAT=1}", "scan{FROM_OFFSETS=1}"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

}  // namespace
}  // namespace moevk::vendor
