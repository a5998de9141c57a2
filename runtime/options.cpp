// SPDX-License-Identifier: MIT
//
// Environment -> Options. Unknown words are refused, so that a typing error does not pass for an experiment.
#include "runtime/options.h"

#include <string_view>
#include <vector>

#include "runtime/device_caps.h"
#include "runtime/platform.h"

namespace moevk {
namespace {

constexpr std::string_view kDisableNames[] = {"bda", "integer_dot", "push_descriptors", "signed_dot", "unified"};

std::vector<std::string> words(const std::string& list) {
  std::vector<std::string> out;
  std::string word;
  for (char c : list + ",") {
    if (c != ',') {
      if (c != ' ') word += c;
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  return out;
}

Result<bool> flag(const char* name, bool otherwise) {
  const std::string value = environment_variable(name);
  if (value.empty()) return otherwise;
  if (value == "1" || value == "on" || value == "true") return true;
  if (value == "0" || value == "off" || value == "false") return false;
  return invalid(name, "\"" + value + "\" is neither 0 nor 1");
}

std::string default_cache_dir() {
  if (const std::string dir = environment_variable("MOEVK_CACHE_DIR"); !dir.empty()) return dir;
  if (const std::string dir = environment_variable("XDG_CACHE_HOME"); !dir.empty()) return dir + "/moevk";
  if (const std::string dir = environment_variable("LOCALAPPDATA"); !dir.empty()) return dir + "/moevk";
  if (const std::string dir = environment_variable("HOME"); !dir.empty()) return dir + "/.cache/moevk";
  return "";
}

}  // namespace

Result<Options> options_from_environment() {
  Options options;
  for (const std::string& word : words(environment_variable("MOEVK_TRACE"))) {
    if (word == "plan") {
      options.trace_plan = true;
    } else if (word == "timing") {
      options.trace_timing = true;
    } else if (word == "memory") {
      options.trace_memory = true;
    } else if (word == "ggml") {  // read by the adapter for llama.cpp, hosts/ggml
    } else {
      return invalid("MOEVK_TRACE", "\"" + word + "\" is none of plan, timing, memory, ggml");
    }
  }
  for (const std::string& word : words(environment_variable("MOEVK_DISABLE"))) {
    bool known = false;
    std::string names;
    for (std::string_view name : kDisableNames) {
      known = known || word == name;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    if (!known) return invalid("MOEVK_DISABLE", "\"" + word + "\" is none of " + names);
    options.disable.insert(word);
  }
  options.device = environment_variable("MOEVK_DEVICE");
  options.limits = environment_variable("MOEVK_LIMITS");
  MOE_RETURN_IF_ERROR(check_limits(options.limits));  // where there is no device to refuse it, too
  MOE_ASSIGN_OR_RETURN(options.validation, flag("MOEVK_VALIDATION", false));
  MOE_ASSIGN_OR_RETURN(options.cache, flag("MOEVK_CACHE", true));
  options.cache_dir = default_cache_dir();
  return options;
}

}  // namespace moevk
