// SPDX-License-Identifier: MIT
//
// Facts of a device as text and back, errors by line, facts that only go down, and the floor: the least device is
// let pass, and every fact below it is named.
#include "runtime/device_caps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

DeviceCaps parsed(const std::string& text) {
  Result<DeviceCaps> caps = caps_from_text(text);
  EXPECT_TRUE(caps.ok()) << caps.status().argument() << ": " << caps.status().text();
  return caps.ok() ? caps.value() : DeviceCaps{};
}

// The text without comments and blank lines: what caps_text prints.
std::string facts_of(const std::string& text) {
  std::istringstream lines(text);
  std::string line, facts;
  while (std::getline(lines, line)) {
    if (!line.empty() && line[0] != '#') facts += line + "\n";
  }
  return facts;
}

TEST(DeviceCaps, FilesComeBackAsTheyAre) {
  const std::vector<std::string> names = device_names();
  EXPECT_GE(names.size(), 5u);
  for (const std::string& name : names) {
    const std::string text = read_text(source_dir() / "tests/devices" / (name + ".caps"));
    EXPECT_EQ(caps_text(parsed(text)), facts_of(text)) << name;
    EXPECT_EQ(below_floor(parsed(text)), "") << name;
    // A device that nobody has says so.
    const bool probed = text.starts_with("# Probed: moevk devices --caps");
    const bool synthetic =
        text.starts_with("# Synthetic: no such device.") && parsed(text).name.find("synthetic") != std::string::npos;
    EXPECT_NE(probed, synthetic) << name;
  }
}

TEST(DeviceCaps, EveryFactComesBack) {
  const std::string text = caps_text(DeviceCaps{});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 29);
  std::istringstream lines(text);
  std::string line, changed;
  for (int value = 1; std::getline(lines, line); ++value)
    changed += line.substr(0, line.find('=')) + "= " + std::to_string(value) + "\n";
  EXPECT_EQ(caps_text(parsed(changed)), changed);
  DeviceCaps caps;
  caps.max_storage_buffer_range = UINT64_MAX;
  caps.vendor_id = UINT32_MAX;
  EXPECT_EQ(parsed(caps_text(caps)).max_storage_buffer_range, UINT64_MAX);
  EXPECT_EQ(parsed(caps_text(caps)).vendor_id, UINT32_MAX);
}

// Periods of real devices: 1000 / 19.2 and 1000 / 12 ns, as the float that Vulkan reports.
TEST(DeviceCaps, TimestampPeriodComesBackExactly) {
  for (const float period : {52.083332f, 83.333336f, 1.0f, 0.03125f}) {
    DeviceCaps caps;
    caps.timestamp_period_ns = static_cast<double>(period);
    EXPECT_EQ(parsed(caps_text(caps)).timestamp_period_ns, static_cast<double>(period));
  }
}

TEST(DeviceCaps, TextIsTakenGenerously) {
  const DeviceCaps caps = parsed("\n# a comment\n  name=a = b \r\n\tvendor_id\t=\t0x10\n\n");
  EXPECT_EQ(caps.name, "a = b");
  EXPECT_EQ(caps.vendor_id, 16u);
  EXPECT_EQ(caps.device_id, 0u);
}

TEST(DeviceCaps, ErrorsNameTheLine) {
  const struct {
    const char* text;
    const char* argument;
    const char* part;
  } cases[] = {
      {"name = x\nvendor_id", "caps line 2", "\"vendor_id\" is not"},
      {"# c\n\nvendor = 1\n", "caps line 3", "\"vendor\" is no fact"},
      {"vendor_id = \n", "caps line 1", "is no value for vendor_id"},
      {"vendor_id = -1\n", "caps line 1", "\"-1\" is no value for vendor_id"},
      {"vendor_id = +1\n", "caps line 1", "is no value"},
      {"vendor_id = 1x\n", "caps line 1", "\"1x\" is no value"},
      {"vendor_id = 4294967296\n", "caps line 1", "is no value"},
      {"max_storage_buffer_range = 18446744073709551616\n", "caps line 1", "is no value"},
      {"timestamp_period_ns = fast\n", "caps line 1", "is no value"},
      {"timestamp_period_ns = -1\n", "caps line 1", "is no value"},
  };
  for (const auto& c : cases) {
    Result<DeviceCaps> caps = caps_from_text(c.text);
    ASSERT_FALSE(caps.ok()) << c.text;
    EXPECT_EQ(caps.status().code(), MOE_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(caps.status().argument(), c.argument) << c.text;
    EXPECT_NE(caps.status().text().find(c.part), std::string::npos) << caps.status().text();
  }
}

TEST(DeviceCaps, LoweringOnlyLowers) {
  const DeviceCaps before = device("lavapipe-22.3");
  DeviceCaps caps = before;
  EXPECT_TRUE(lower_caps("", &caps).ok());
  EXPECT_TRUE(lower_caps(" max_storage_buffer_range = 1048576 ,, buffer_device_address=0", &caps).ok());
  EXPECT_EQ(caps.max_storage_buffer_range, 1048576u);
  EXPECT_EQ(caps.buffer_device_address, 0u);
  EXPECT_TRUE(lower_caps("max_storage_buffer_range=1048576", &caps).ok());  // as it is
  const std::string text = caps_text(caps);
  for (const char* bad :
       {"max_storage_buffer_range=1048577", "buffer_device_address=1", "name=x", "driver=", "no_such=1",
        "subgroup_size", "subgroup_size=", "subgroup_size=four", "max_bound_sets=9", "timestamp_period_ns=2", "kind=1",
        "vendor_id=0", "device_id=0", "storage_offset_alignment=4", "max_bound_sets=1,no_such=1"}) {
    const Status status = lower_caps(bad, &caps);
    EXPECT_EQ(status.code(), MOE_ERROR_INVALID_ARGUMENT) << bad;
    EXPECT_EQ(status.argument(), "MOEVK_LIMITS") << bad;
    EXPECT_EQ(caps_text(caps), text) << bad;
  }
  EXPECT_NE(lower_caps("max_storage_buffer_range=1048577", &caps).text().find("has 1048576"), std::string::npos);
  EXPECT_TRUE(check_limits("max_storage_buffer_range=1048577, timestamps=0").ok()) << "only a device knows what it has";
  EXPECT_EQ(check_limits("no_such=1").argument(), "MOEVK_LIMITS");
}

TEST(DeviceCaps, TheFloorIsTheLeast) {
  const DeviceCaps floor = device("floor");
  EXPECT_EQ(below_floor(floor), "");
  const struct {
    uint32_t DeviceCaps::*fact;
    const char* named;
  } facts[] = {
      {&DeviceCaps::api_version, "Vulkan version"},
      {&DeviceCaps::timeline_semaphore, "timelineSemaphore"},
      {&DeviceCaps::max_workgroup_invocations, "maxComputeWorkGroupInvocations"},
      {&DeviceCaps::max_workgroup_size_x, "maxComputeWorkGroupSize[0]"},
      {&DeviceCaps::max_workgroup_count, "maxComputeWorkGroupCount"},
      {&DeviceCaps::shared_memory_bytes, "maxComputeSharedMemorySize"},
      {&DeviceCaps::push_constant_bytes, "maxPushConstantsSize"},
      {&DeviceCaps::max_stage_storage_buffers, "maxPerStageDescriptorStorageBuffers"},
      {&DeviceCaps::storage_buffer_array_indexing, "shaderStorageBufferArrayDynamicIndexing"},
      {&DeviceCaps::max_bound_sets, "maxBoundDescriptorSets"},
  };
  for (const auto& one : facts) {
    DeviceCaps caps = floor;
    caps.*one.fact -= 1;
    EXPECT_NE(below_floor(caps).find(one.named), std::string::npos) << one.named << ": " << below_floor(caps);
    EXPECT_EQ(below_floor(caps).find(';'), std::string::npos) << below_floor(caps);  // and nothing else is
  }
  DeviceCaps caps = floor;
  caps.max_storage_buffer_range -= 1;
  EXPECT_NE(below_floor(caps).find("maxStorageBufferRange"), std::string::npos);
  caps.timeline_semaphore = 0;
  EXPECT_NE(below_floor(caps).find("; "), std::string::npos) << "every missing feature is named";
  // With device addresses no windows are bound.
  caps = floor;
  caps.buffer_device_address = 1;
  caps.max_stage_storage_buffers = 10;
  caps.max_bound_sets = 1;
  caps.storage_buffer_array_indexing = 0;
  EXPECT_EQ(below_floor(caps), "");
}

}  // namespace
}  // namespace moevk::unit
