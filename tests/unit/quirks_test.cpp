// SPDX-License-Identifier: MIT
//
// Driver defects as data: an entry applies to the driver, vendor and versions that it names, lowers the facts it
// names, and says why; entries of the table itself are complete.
#include "runtime/quirks.h"

#include <gtest/gtest.h>

#include "tests/unit/repository.h"

namespace moevk::unit {
namespace {

const Quirk kQuirk = {"llvmpipe Mesa 22",    65541,     10,      20, "buffer_device_address=0,max_bound_sets=4",
                      "addresses are wrong", "2026-01", "retest"};

std::vector<std::string> apply(const Quirk& quirk, uint32_t version, DeviceCaps* caps) {
  Result<std::vector<std::string>> reasons = apply_quirks({quirk}, version, caps);
  EXPECT_TRUE(reasons.ok()) << reasons.status().text();
  return reasons.ok() ? reasons.value() : std::vector<std::string>();
}

TEST(Quirks, LowerFactsAndSayWhy) {
  DeviceCaps caps = device("lavapipe-22.3");
  EXPECT_EQ(apply(kQuirk, 15, &caps),
            std::vector<std::string>{"buffer_device_address=0,max_bound_sets=4: addresses are wrong"});
  EXPECT_EQ(caps.buffer_device_address, 0u);
  EXPECT_EQ(caps.max_bound_sets, 4u);
}

TEST(Quirks, ApplyWhereTheyMatch) {
  const auto applies = [](const Quirk& quirk, uint32_t version, const char* name) {
    DeviceCaps caps = device(name);
    const std::string before = caps_text(caps);
    const bool applied = !apply(quirk, version, &caps).empty();
    EXPECT_EQ(applied, caps_text(caps) != before);
    return applied;
  };
  EXPECT_TRUE(applies(kQuirk, 10, "lavapipe-22.3"));
  EXPECT_TRUE(applies(kQuirk, 20, "lavapipe-22.3"));
  EXPECT_FALSE(applies(kQuirk, 9, "lavapipe-22.3"));
  EXPECT_FALSE(applies(kQuirk, 21, "lavapipe-22.3"));
  EXPECT_FALSE(applies(kQuirk, 15, "lavapipe-25.0"));
  EXPECT_FALSE(applies(kQuirk, 15, "swiftshader"));
  Quirk other = kQuirk;
  other.vendor_id = 1;
  EXPECT_FALSE(applies(other, 15, "lavapipe-22.3"));
  other.vendor_id = 0;
  EXPECT_TRUE(applies(other, 15, "lavapipe-22.3"));
  other.driver_part = "SwiftShader Device";  // part of the name serves too
  other.limits = "buffer_device_address=0";
  EXPECT_TRUE(applies(other, 15, "swiftshader"));
}

TEST(Quirks, TheTableIsComplete) {
  for (const Quirk& quirk : known_quirks()) {
    SCOPED_TRACE(quirk.driver_part);
    for (const char* text : {quirk.driver_part, quirk.limits, quirk.reason, quirk.seen, quirk.retest})
      EXPECT_NE(std::string(text), "");
    EXPECT_LE(quirk.first_version, quirk.last_version);
    DeviceCaps caps = device("wide-discrete");
    EXPECT_TRUE(lower_caps(quirk.limits, &caps).ok()) << quirk.limits;
  }
}

}  // namespace
}  // namespace moevk::unit
