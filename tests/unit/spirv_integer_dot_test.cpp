// SPDX-License-Identifier: MIT
//
// Kernels that multiply integers declare it, and those from which pruning took it do not: a device without
// shaderIntegerDotProduct may only see the latter.
#include "backend/spirv_integer_dot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/spirv_prune.h"
#include "kernel_table.h"

namespace moevk::unit {
namespace {

constexpr uint32_t kOpExtension = 10, kOpCapability = 17, kOpSDot = 4450, kOpSUDot = 4452;

struct Found {
  size_t signed_dots = 0, mixed_dots = 0, capabilities = 0, extensions = 0;
};

Found look(const std::vector<uint32_t>& code) {
  Found found;
  for (size_t at = 5; at < code.size(); at += code[at] >> 16) {
    const uint32_t op = code[at] & 0xFFFF;
    found.signed_dots += op == kOpSDot ? 1 : 0;
    found.mixed_dots += op == kOpSUDot ? 1 : 0;
    found.capabilities += op == kOpCapability && (code[at + 1] == 6018 || code[at + 1] == 6019) ? 1 : 0;
    const char* text = reinterpret_cast<const char*>(code.data() + at + 1);
    found.extensions += op == kOpExtension && std::strcmp(text, "SPV_KHR_integer_dot_product") == 0 ? 1 : 0;
  }
  return found;
}

std::vector<uint32_t> module_for(KernelId id, size_t variant, uint32_t dot, uint32_t format) {
  const KernelInfo& kernel = kKernels[static_cast<size_t>(id)];
  std::array<uint32_t, kConstantCount> c;
  std::copy_n(kConstantDefaults, kConstantCount, c.begin());
  for (const Constant one : {Constant::kGateFormat, Constant::kUpFormat, Constant::kDownFormat,
                             Constant::kSharedGateFormat, Constant::kSharedUpFormat, Constant::kSharedDownFormat}) {
    c[static_cast<size_t>(one)] = format;
  }
  c[static_cast<size_t>(Constant::kIntegerDot)] = dot;
  return without_unused_dots(prune_spirv(kernel.code[variant], kernel.words[variant], c.data(), c.size()));
}

TEST(SpirvIntegerDot, OnlyThoseThatMultiplyIntegersDeclareIt) {
  for (const KernelId id : {KernelId::kGateUpSmall, KernelId::kDownSmall}) {
    for (const size_t variant : {size_t{0}, size_t{1}}) {
      for (const uint32_t format : {kNumberFormatQ80, kNumberFormatQ4K, kNumberFormatF16}) {
        const Found none = look(module_for(id, variant, 0, format));
        EXPECT_EQ(none.signed_dots + none.mixed_dots + none.capabilities + none.extensions, 0u) << format;
      }
      const Found as_signed = look(module_for(id, variant, 1, kNumberFormatQ4K));
      EXPECT_GT(as_signed.signed_dots, 0u);
      EXPECT_EQ(as_signed.mixed_dots, 0u);
      const Found mixed = look(module_for(id, variant, 2, kNumberFormatQ4K));
      EXPECT_EQ(mixed.signed_dots, 0u);
      EXPECT_GT(mixed.mixed_dots, 0u);
      for (const Found& found : {as_signed, mixed}) {
        EXPECT_EQ(found.capabilities, 2u);
        EXPECT_EQ(found.extensions, 1u);
      }
    }
  }
}

TEST(SpirvIntegerDot, OtherModulesComeBackAsTheyAre) {
  for (const KernelInfo& kernel : kKernels) {
    if (kernel.reads_weights) continue;
    const std::vector<uint32_t> code(kernel.code[0], kernel.code[0] + kernel.words[0]);
    EXPECT_EQ(without_unused_dots(code), code) << kernel.name;
  }
}

}  // namespace
}  // namespace moevk::unit
