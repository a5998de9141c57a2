// SPDX-License-Identifier: MIT
//
// In:  every preset, and the built library.
// Out: the library takes each descriptor for well-formed; one that it does not run yet is refused with its reason.
// Why: a preset that contradicts itself would be found by the first host that uses it.
#include <gtest/gtest.h>

#include "tools/model/presets/presets.h"
#include "tools/moevk/host.h"

namespace moevk::cli {
namespace {

TEST(PresetSupport, EveryDescriptorIsWellFormed) {
  GlobalOptions options;
  options.library = MOEVK_PLUGIN;
  const Host host(options);
  const moe::Device device = host.open(host.find("reference"));
  uint32_t supported = 0;
  for (const model::Preset& preset : model::all_presets()) {
    moe_support support = MOE_INIT(moe_support);
    moe_error error = MOE_INIT(moe_error);
    const moe_status status = host.api().query_support(device.get(), &preset.desc, &support, &error);
    EXPECT_EQ(status, MOE_OK) << preset.name << ": " << error.argument << " " << error.text;
    supported += support.supported;
    if (support.supported == 0) {
      EXPECT_STRNE(support.reason, "") << preset.name;
    }
  }
  EXPECT_GE(supported, 15u);  // Mixtral, Qwen, OLMoE, gpt-oss and others run
}

}  // namespace
}  // namespace moevk::cli
