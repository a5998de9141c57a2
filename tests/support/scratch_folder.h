// SPDX-License-Identifier: MIT
//
// A folder of a test's own, empty at first and gone with the object. Tests run side by side, those of several builds
// too, so its name has the process and a number in it.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "tests/support/system.h"

namespace moe_tests {

class ScratchFolder {
 public:
  ScratchFolder() {
    static std::atomic<int> made{0};
    path_ = std::filesystem::temp_directory_path() /
            ("moevk_" + std::to_string(process_id()) + "_" + std::to_string(made++));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / path_of(name); }

 private:
  std::filesystem::path path_;
};

}  // namespace moe_tests
