// SPDX-License-Identifier: MIT
//
// Reads the repository's files by the path that the build gave, so that tests run from any folder.
#include "tests/unit/repository.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace moevk::unit {

namespace fs = std::filesystem;

fs::path source_dir() { return MOEVK_SOURCE_DIR; }

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    ADD_FAILURE() << "cannot read " << path;
    return "";
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

DeviceCaps device(const std::string& name) {
  Result<DeviceCaps> caps = caps_from_text(read_text(source_dir() / "tests/devices" / (name + ".caps")));
  if (!caps.ok()) {
    ADD_FAILURE() << name << ".caps: " << caps.status().argument() << ": " << caps.status().text();
    return {};
  }
  return caps.value();
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(source_dir() / "tests/devices")) {
    if (entry.path().extension() == ".caps") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

DeviceCaps windows_only() {
  DeviceCaps caps = device("lavapipe-22.3");
  const Status status = lower_caps("buffer_device_address=0", &caps);
  EXPECT_TRUE(status.ok()) << status.text();
  return caps;
}

}  // namespace moevk::unit
