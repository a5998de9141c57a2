// SPDX-License-Identifier: MIT
//
// In:  the options that every command has: which library, which device.
// Out: the loaded library, its instance and its devices, found by index or by a part of the name.
// Why: the command line is an ordinary host. All it knows of the library, it knows through the ABI.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_introspection.h"

namespace moevk::cli {

// Exit codes of the program.
constexpr int kExitOk = 0;
constexpr int kExitDisagrees = 1;  // something was computed, and it is wrong
constexpr int kExitCannot = 2;     // bad usage, a bad file, no such device

// Of one call: what moe_context_desc::max_tokens may be.
constexpr uint64_t kMostTokens = uint64_t{1} << 20;

// What a person has to correct: printed as one line, exit code 2.
class UsageError : public std::runtime_error {
 public:
  UsageError(const std::string& argument, const std::string& what) : std::runtime_error(argument + ": " + what) {}
};

struct GlobalOptions {
  std::string library;  // empty: found as Host's constructor says
};

// The library named by the options, else by MOEVK_LIBRARY, else ../lib beside the program; else empty: the loader's
// default (on Windows: beside the program first).
std::string library_path(const GlobalOptions& options);
// The folder of the running program; empty where the system does not say.
std::string program_folder();

class Host {
 public:
  // Loads library_path.
  explicit Host(const GlobalOptions& options);

  const moe::Library& library() const { return library_; }
  const moe_api& api() const { return *library_.api(); }
  moe_instance* instance() const { return instance_; }
  const std::vector<moe_device_info>& devices() const { return devices_; }
  const moe_introspection& introspection() const;

  uint32_t chosen() const;     // what choose_device says
  uint32_t reference() const;  // index of the CPU reference
  // An index, a part of a name (any case), or "reference"; empty: chosen(). Throws UsageError.
  uint32_t find(const std::string& which) const;
  moe::Device open(uint32_t index) const;

  std::string caps_text(moe_device* device) const;
  std::string plan_text(const std::string& caps, const moe_layer_desc& desc, uint64_t tokens) const;

 private:
  moe::Library library_;
  moe::Instance instance_;
  std::vector<moe_device_info> devices_;
};

// A moe_write_fn whose user is a std::string.
void MOE_CALL append_text(void* user, const char* text, uint64_t bytes);

}  // namespace moevk::cli
