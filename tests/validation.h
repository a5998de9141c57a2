// SPDX-License-Identifier: MIT
//
// In:  a library; an environment that asks for validation, as ctest's does.
// Out: an instance, without validation and with a printed note where the layers are not installed.
// Why: a machine without the layers can still run every test; it only sees less.
#pragma once

#include <iostream>
#include <string>

#include "plugin_api/moe_plugin.hpp"
#include "tests/support/system.h"

namespace moe_tests {

// True if an instance was refused for want of the layers: the environment then no longer asks for them.
inline bool drop_missing_validation(moe_status status, const std::string& argument) {
  if (status != MOE_ERROR_UNSUPPORTED || argument != "validation") return false;
  std::cout << "note: the Vulkan validation layers are not installed; this test runs without them\n";
  set_environment("MOEVK_VALIDATION", "0");
  return true;
}

inline moe::Instance create_instance(const moe::Library& library) {
  try {
    return moe::create_instance(library);
  } catch (const moe::Error& error) {
    if (!drop_missing_validation(error.code(), error.argument())) throw;
  }
  return moe::create_instance(library);
}

}  // namespace moe_tests
