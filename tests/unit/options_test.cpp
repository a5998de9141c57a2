// SPDX-License-Identifier: MIT
//
// Every environment variable that the library reads: what each word does, and that a word it does not know is an
// error that names the variable.
#include "runtime/options.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "tests/support/system.h"

namespace moevk::unit {
namespace {

using moe_tests::set_environment, moe_tests::unset_environment;

class OptionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"MOEVK_TRACE", "MOEVK_DISABLE", "MOEVK_DEVICE", "MOEVK_LIMITS", "MOEVK_VALIDATION",
                             "MOEVK_CACHE", "MOEVK_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"}) {
      const char* value = std::getenv(name);
      before_[name] = value != nullptr ? std::optional<std::string>(value) : std::nullopt;
      unset_environment(name);
    }
  }
  void TearDown() override {
    for (const auto& [name, value] : before_) {
      if (value)
        set_environment(name.c_str(), value->c_str());
      else
        unset_environment(name.c_str());
    }
  }

  static Options read() {
    Result<Options> options = options_from_environment();
    EXPECT_TRUE(options.ok()) << options.status().text();
    return options.ok() ? options.value() : Options{};
  }
  static void expect_refused(const char* name, const char* value, const char* word) {
    set_environment(name, value);
    Result<Options> options = options_from_environment();
    EXPECT_FALSE(options.ok()) << name << "=" << value;
    EXPECT_EQ(options.status().code(), MOE_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(options.status().argument(), name);
    EXPECT_NE(options.status().text().find("\"" + std::string(word) + "\""), std::string::npos)
        << options.status().text();
    unset_environment(name);
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(OptionsTest, NothingSet) {
  const Options o = read();
  EXPECT_FALSE(o.trace_plan || o.trace_timing || o.trace_memory || o.validation);
  EXPECT_TRUE(o.cache);
  EXPECT_EQ(o.device + o.limits + o.cache_dir, "");
  EXPECT_TRUE(o.disable.empty());
}

TEST_F(OptionsTest, Trace) {
  for (const auto& [value, plan, timing, memory] :
       {std::tuple{"plan", true, false, false}, std::tuple{"timing", false, true, false},
        std::tuple{"memory", false, false, true}, std::tuple{" plan, memory,,", true, false, true},
        std::tuple{"", false, false, false}}) {
    set_environment("MOEVK_TRACE", value);
    const Options o = read();
    EXPECT_EQ(o.trace_plan, plan) << value;
    EXPECT_EQ(o.trace_timing, timing) << value;
    EXPECT_EQ(o.trace_memory, memory) << value;
  }
  expect_refused("MOEVK_TRACE", "plan,plans", "plans");
  expect_refused("MOEVK_TRACE", "Plan", "Plan");
}

TEST_F(OptionsTest, Disable) {
  set_environment("MOEVK_DISABLE", "bda, integer_dot,push_descriptors,signed_dot,unified");
  const Options o = read();
  for (const char* name : {"bda", "integer_dot", "push_descriptors", "signed_dot", "unified"})
    EXPECT_TRUE(o.disabled(name)) << name;
  EXPECT_EQ(o.disable.size(), 5u);
  set_environment("MOEVK_DISABLE", "unified");
  EXPECT_FALSE(read().disabled("bda"));
  expect_refused("MOEVK_DISABLE", "bda,subgroups", "subgroups");
  expect_refused("MOEVK_DISABLE", "BDA", "BDA");
}

TEST_F(OptionsTest, Names) {
  set_environment("MOEVK_DEVICE", "llvmpipe (LLVM");
  set_environment("MOEVK_LIMITS", "max_bound_sets=2");
  EXPECT_EQ(read().device, "llvmpipe (LLVM");
  EXPECT_EQ(read().limits, "max_bound_sets=2");
}

TEST_F(OptionsTest, Limits) {
  set_environment("MOEVK_LIMITS", " max_storage_buffer_range = 1048576,, timestamps=0");
  EXPECT_FALSE(read().limits.empty());
  expect_refused("MOEVK_LIMITS", "timestamps=0,no_such=1", "no_such");
  expect_refused("MOEVK_LIMITS", "timestamps=no", "no");
  expect_refused("MOEVK_LIMITS", "timestamps", "");
  for (const char* fixed : {"name=x", "kind=0", "storage_offset_alignment=4"}) {
    set_environment("MOEVK_LIMITS", fixed);
    EXPECT_EQ(options_from_environment().status().argument(), "MOEVK_LIMITS") << fixed;
  }
}

TEST_F(OptionsTest, Flags) {
  for (const char* value : {"1", "on", "true"}) {
    set_environment("MOEVK_VALIDATION", value);
    EXPECT_TRUE(read().validation) << value;
  }
  for (const char* value : {"0", "off", "false"}) {
    set_environment("MOEVK_VALIDATION", value);
    set_environment("MOEVK_CACHE", value);
    EXPECT_FALSE(read().validation) << value;
    EXPECT_FALSE(read().cache) << value;
  }
  set_environment("MOEVK_VALIDATION", "");
  set_environment("MOEVK_CACHE", "");
  EXPECT_FALSE(read().validation);
  EXPECT_TRUE(read().cache);
  expect_refused("MOEVK_VALIDATION", "yes", "yes");
  expect_refused("MOEVK_CACHE", "2", "2");
}

TEST_F(OptionsTest, CacheFolder) {
  set_environment("HOME", "/h");
  EXPECT_EQ(read().cache_dir, "/h/.cache/moevk");
  set_environment("LOCALAPPDATA", "/l");
  EXPECT_EQ(read().cache_dir, "/l/moevk");
  set_environment("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(read().cache_dir, "/x/moevk");
  set_environment("MOEVK_CACHE_DIR", "/c");
  EXPECT_EQ(read().cache_dir, "/c");
  set_environment("MOEVK_CACHE_DIR", "/Größe/重み");  // outside of any code page
  EXPECT_EQ(read().cache_dir, "/Größe/重み");
}

}  // namespace
}  // namespace moevk::unit
