// SPDX-License-Identifier: MIT
//
// In:  what main got.
// Out: the command line as UTF-8.
// Why: on Windows main's argv has lost what the user's code page lacks; the system still has all of it.
#pragma once

#include <string>
#include <vector>

namespace moevk::cli {

class Arguments {
 public:
  Arguments(int argc, char** argv);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  int count() const { return static_cast<int>(pointers_.size()); }
  const char* const* values() const { return pointers_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<const char*> pointers_;  // into texts_
};

}  // namespace moevk::cli
