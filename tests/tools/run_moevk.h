// SPDX-License-Identifier: MIT
//
// In:  a command line for the built moevk.
// Out: its exit code, and what it printed.
// Why: the command is tested as a person would run it, by a POSIX shell.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/system.h"

namespace moe_tests {

struct Output {
  int code = -1;  // exit code; -1: ended by a signal
  std::string out;
  std::string err;
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A path of this run's own: tests run side by side, those of several builds too.
inline std::string temporary(const std::string& name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return ::testing::TempDir() + "moevk_" + std::to_string(process_id()) + "_" + test->name() + "_" + name;
}

inline Output run_command(const std::string& command) {
  const std::string out = temporary("stdout");
  const std::string err = temporary("stderr");
  const int status = std::system((command + " >'" + out + "' 2>'" + err + "'").c_str());
  Output output{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return output;
}

// `environment`: "NAME=value ..." for this run.
inline Output run_moevk(const std::string& arguments, const std::string& environment = "") {
  return run_command("env " + environment + " '" MOEVK_PROGRAM "' --library '" MOEVK_PLUGIN "' " + arguments);
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Exit code 2 and one line on stderr that holds `part`.
inline void expect_refused(const std::string& arguments, const std::string& part, const std::string& environment = "") {
  const Output output = run_moevk(arguments, environment);
  EXPECT_EQ(output.code, 2) << arguments << "\n" << output.out << output.err;
  EXPECT_TRUE(contains(output.err, part)) << arguments << "\n" << output.err;
  EXPECT_EQ(output.err.find('\n'), output.err.size() - 1) << output.err;
}

}  // namespace moe_tests
