// SPDX-License-Identifier: MIT
//
// Every environment variable that the library reads, parsed in one place when an instance is created.
// README.md has the same list for users.
#pragma once

#include <set>
#include <string>

#include "runtime/status.h"

namespace moevk {

struct Options {
  bool trace_plan = false;        // MOEVK_TRACE=plan: each new plan, an upload's too, with its reasons
  bool trace_timing = false;      // MOEVK_TRACE=timing: pipeline compilation
  bool trace_memory = false;      // MOEVK_TRACE=memory: each device allocation
  std::string device;             // MOEVK_DEVICE: an index, or part of a device's name
  std::set<std::string> disable;  // MOEVK_DISABLE: features that planning must not see, see kDisableNames
  std::string limits;             // MOEVK_LIMITS: "name=value,..." lowers facts of the caps
  bool validation = false;        // MOEVK_VALIDATION=1
  std::string cache_dir;          // MOEVK_CACHE_DIR, else moevk in the user's cache folder; empty: none
  bool cache = true;              // MOEVK_CACHE=0 turns the cache on disk off
  bool pipeline_reports = false;  // no variable: tests/vendor asks drivers what they made of a kernel

  bool disabled(const std::string& name) const { return disable.count(name) != 0; }
};

// A value that is not understood is an error, not a silent default.
Result<Options> options_from_environment();

}  // namespace moevk
