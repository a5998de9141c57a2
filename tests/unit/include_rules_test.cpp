// SPDX-License-Identifier: MIT
//
// The tree keeps its own rules: runtime/ never sees Vulkan, hosts see the ABI alone, every source has its licence
// line and a length that one can read. The checker itself is shown planted violations, so that it cannot sleep.
#include "tests/support/scratch_folder.h"
#include "tests/unit/include_rules.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

const std::string kSpdx = "// SPDX-License-Identifier: MIT\n";

TEST(IncludeRules, TheTreeKeepsThem) {
  size_t files = 0;
  const std::vector<std::string> problems = check_tree(source_dir(), &files);
  EXPECT_GT(files, 100u);
  for (const std::string& problem : problems) ADD_FAILURE() << problem;
}

TEST(IncludeRules, FindsAPlantedFile) {
  const moe_tests::ScratchFolder folder;
  std::filesystem::create_directories(folder.path() / "runtime/deep");
  std::filesystem::create_directories(folder.path() / "build/x");
  std::ofstream(folder.path() / "runtime/deep/good.cpp") << kSpdx << "#include <vector>\n";
  std::ofstream(folder.path() / "build/x/generated.cpp") << "#include <anything>\n";
  size_t files = 0;
  EXPECT_EQ(check_tree(folder.path(), &files), std::vector<std::string>());
  EXPECT_EQ(files, 1u);
  std::ofstream(folder.path() / "runtime/deep/bad.h") << kSpdx << "#include <vulkan/vulkan.h>\n";
  EXPECT_EQ(check_tree(folder.path(), &files),
            std::vector<std::string>{"runtime/deep/bad.h:2: runtime/ must not include vulkan/vulkan.h"});
}

TEST(IncludeRules, WhatEachPartMayInclude) {
  const struct {
    const char* path;
    const char* line;
    bool good;
  } cases[] = {
      {"runtime/a.cpp", "#include \"runtime/plan.h\"", true},
      {"runtime/a.cpp", "#include \"kernel_table.h\"", true},
      {"runtime/a.cpp", "#include <volk.h>", false},
      {"runtime/a.cpp", "#include <vk_mem_alloc.h>", false},
      {"runtime/a.cpp", "  #  include \"backend/vma.h\"", false},
      {"runtime/reference/a.h", "#include \"backend/vma.h\"", false},
      {"runtime/a.cpp", "#include \"runtime/../backend/vma.h\"", false},
      {"runtime/a.cpp", "#include <unistd.h>", false},
      {"runtime/a.cpp", "#include HEADER", false},
      {"runtime/a.cpp", "// #include <volk.h>", true},
      {"backend/a.cpp", "#include <volk.h>", true},
      {"backend/a.cpp", "#include \"runtime/plan.h\"", true},
      {"backend/a.cpp", "#include \"plugin_api/handles.h\"", false},
      {"backend/a.cpp", "#include \"tools/model/gguf.h\"", false},
      {"plugin_api/moe_plugin.h", "#include <stdint.h>", true},
      {"plugin_api/moe_plugin.h", "#include <stdio.h>", false},
      {"plugin_api/moe_plugin.h", "#include <cstdint>", false},
      {"plugin_api/moe_plugin_introspection.h", "#include \"moe_plugin.h\"", true},
      {"plugin_api/moe_loader.h", "#include <dlfcn.h>", true},
      {"plugin_api/moe_loader.h", "#include <string>", false},
      {"plugin_api/moe_plugin.hpp", "#include <string>", true},
      {"plugin_api/moe_plugin.hpp", "#include \"runtime/status.h\"", false},
      {"plugin_api/moe_routes.hpp", "#include <map>", true},
      {"plugin_api/moe_routes.hpp", "#include \"moe_plugin.h\"", false},
      {"plugin_api/entry.cpp", "#include \"backend/vulkan_backend.h\"", true},
      {"shaders/a.comp", "#include \"tile.glsl\"", true},
      {"shaders/a.comp", "#include \"push_constants.h\"", true},
      {"shaders/a.comp", "#include \"../runtime/plan.h\"", false},
      {"shaders/a.glsl", "#include \"deep/tile.glsl\"", false},
      {"shaders/push_constants.h", "#include <vector>", false},
      {"shaders/generate_kernel_table.cpp", "#include \"runtime/plan.h\"", false},
      {"tools/moevk/a.cpp", "#include \"tools/model/gguf.h\"", true},
      {"tools/moevk/a.cpp", "#include <CLI/CLI.hpp>", false},
      {"tools/moevk/command_line.cpp", "#include <CLI/CLI.hpp>", true},
      {"tools/moevk/a.cpp", "#include \"runtime/plan.h\"", false},
      {"tools/model/a.cpp", "#include \"plugin_api/moe_plugin.h\"", true},
      {"tools/model/a.cpp", "#include \"tools/moevk/host.h\"", false},
      {"tools/model/a.cpp", "#include <CLI/CLI.hpp>", false},
      {"examples/a.c", "#include \"plugin_api/moe_loader.h\"", true},
      {"examples/a.c", "#include \"tools/model/gguf.h\"", false},
      {"tests/conformance/a.cpp", "#include \"plugin_api/moe_plugin.hpp\"", true},
      {"tests/conformance/a.cpp", "#include \"runtime/plan.h\"", false},
      {"tests/conformance/a.cpp", "#include <gtest/gtest.h>", false},
      {"tests/abi/a.cpp", "#include <gtest/gtest.h>", true},
      {"tests/abi/a.cpp", "#include \"runtime/plan.h\"", false},
      {"tests/unit/a.cpp", "#include \"runtime/plan.h\"", true},
      {"hosts/ggml/a.cpp", "#include \"backend/vma.h\"", false},
      {"elsewhere/a.cpp", "", false},
  };
  for (const auto& c : cases) {
    const std::vector<std::string> problems = check_source(c.path, kSpdx + c.line + "\n");
    EXPECT_EQ(problems.size(), c.good ? 0u : 1u) << c.path << ": " << c.line;
  }
}

TEST(IncludeRules, LicenceLines) {
  EXPECT_TRUE(check_source("runtime/a.cpp", kSpdx).empty());
  EXPECT_EQ(check_source("runtime/a.cpp", "").size(), 1u);
  EXPECT_EQ(check_source("runtime/a.cpp", "\n" + kSpdx).size(), 1u);
  EXPECT_EQ(check_source("runtime/a.cpp", "// SPDX-License-Identifier: GPL-3.0\n").size(), 1u);
  EXPECT_TRUE(check_source("scripts/a", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n").empty());
  EXPECT_EQ(check_source("scripts/a", "#!/bin/sh\n#\n# SPDX-License-Identifier: MIT\n").size(), 1u);
}

TEST(IncludeRules, Lengths) {
  const auto lines = [](size_t count) {
    std::string text = kSpdx;
    for (size_t i = 1; i < count; ++i) text += "\n";
    return text;
  };
  EXPECT_TRUE(check_source("runtime/a.cpp", lines(400)).empty());
  EXPECT_EQ(check_source("runtime/a.cpp", lines(401)).size(), 1u);
  EXPECT_TRUE(check_source("shaders/a.comp", lines(200)).empty());
  EXPECT_EQ(check_source("shaders/a.comp", lines(201)).size(), 1u);
  EXPECT_TRUE(check_source("shaders/a.glsl", lines(201)).empty());
}

}  // namespace
}  // namespace moevk::unit
