// SPDX-License-Identifier: MIT
//
// A preset by its name, for tests that compare what it says.
#pragma once

#include <gtest/gtest.h>

#include "tools/model/presets/presets.h"

namespace moevk::model {

// Fails the test, and gives an empty one, where there is none of this name.
inline const Preset& preset(const char* name) {
  const Preset* found = find_preset(name);
  EXPECT_NE(found, nullptr) << name;
  static const Preset none;
  return found != nullptr ? *found : none;
}

}  // namespace moevk::model
