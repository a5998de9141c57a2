// SPDX-License-Identifier: MIT
//
// In:  what llama.cpp and its backends log, with MOEVK_TRACE=ggml in the environment.
// Out: which MoE blocks ran as one layer of ours, and what our adapter warned of.
// Why: results that agree say nothing where the CPU backend made them.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "ggml.h"

namespace moevk::peers {

struct PluginTrace {
  std::set<std::string> fused;    // by the name of the block's last node
  std::vector<std::string> told;  // each once
  bool verbose = false;           // print our lines, too
};
inline PluginTrace plugin_trace;

// For llama_log_set; contexts log from threads of their own.
inline void trace_log(ggml_log_level level, const char* text, void*) {
  constexpr char kOurs[] = "moevk: ";
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (std::strncmp(text, kOurs, sizeof kOurs - 1) != 0) {
    if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
    return;
  }
  if (plugin_trace.verbose) std::fputs(text, stdout);
  text += sizeof kOurs - 1;
  const std::string line(text, std::strcspn(text, "\n"));
  std::vector<std::string>& told = plugin_trace.told;
  if (const size_t nodes = line.find(" nodes, "); nodes != std::string::npos) {
    plugin_trace.fused.insert(line.substr(0, line.rfind(':', nodes)));
  } else if (line.find(": taken") == std::string::npos && line.find(": declined") == std::string::npos) {
    if (std::find(told.begin(), told.end(), line) == told.end()) told.push_back(line);
  }
}

}  // namespace moevk::peers
