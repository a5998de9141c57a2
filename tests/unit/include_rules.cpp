// SPDX-License-Identifier: MIT
//
// A rule is the longest prefix of a path. A file that no rule covers breaks one: a new folder needs a decision.
#include "tests/unit/include_rules.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

namespace moevk::unit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostLines = 400;
constexpr size_t kMostKernelLines = 200;

const std::set<std::string> kCHeaders = {"assert.h", "ctype.h", "errno.h",  "float.h",   "inttypes.h",
                                         "limits.h", "math.h",  "stdarg.h", "stdbool.h", "stddef.h",
                                         "stdint.h", "stdio.h", "stdlib.h", "string.h",  "time.h"};
const std::set<std::string> kCppHeaders = {"algorithm",
                                           "array",
                                           "atomic",
                                           "bit",
                                           "bitset",
                                           "cassert",
                                           "cctype",
                                           "cerrno",
                                           "cfloat",
                                           "charconv",
                                           "chrono",
                                           "cinttypes",
                                           "climits",
                                           "cmath",
                                           "compare",
                                           "concepts",
                                           "condition_variable",
                                           "cstdarg",
                                           "cstddef",
                                           "cstdint",
                                           "cstdio",
                                           "cstdlib",
                                           "cstring",
                                           "ctime",
                                           "deque",
                                           "exception",
                                           "filesystem",
                                           "fstream",
                                           "functional",
                                           "future",
                                           "initializer_list",
                                           "iomanip",
                                           "iosfwd",
                                           "iostream",
                                           "istream",
                                           "iterator",
                                           "limits",
                                           "list",
                                           "locale",
                                           "map",
                                           "memory",
                                           "mutex",
                                           "new",
                                           "numbers",
                                           "numeric",
                                           "optional",
                                           "ostream",
                                           "queue",
                                           "random",
                                           "ranges",
                                           "ratio",
                                           "set",
                                           "shared_mutex",
                                           "span",
                                           "sstream",
                                           "stdexcept",
                                           "streambuf",
                                           "string",
                                           "string_view",
                                           "system_error",
                                           "thread",
                                           "tuple",
                                           "type_traits",
                                           "typeindex",
                                           "unordered_map",
                                           "unordered_set",
                                           "utility",
                                           "variant",
                                           "vector",
                                           "version"};
const std::set<std::string> kSystemHeaders = {
    "dlfcn.h",    "fcntl.h",     "io.h",        "link.h",     "malloc.h",       "process.h",
    "shellapi.h", "signal.h",    "sys/ioctl.h", "sys/mman.h", "sys/resource.h", "sys/socket.h",
    "sys/stat.h", "sys/types.h", "sys/wait.h",  "unistd.h",   "windows.h"};

const std::vector<std::string> kAbi = {"moe_plugin.h", "plugin_api/moe_plugin.h",
                                       "plugin_api/moe_plugin_introspection.h", "plugin_api/moe_plugin_memory.h",
                                       "plugin_api/moe_plugin_packed.h"};
const std::vector<std::string> kVulkanAbi = {"plugin_api/moe_plugin_vulkan.h"};
const std::vector<std::string> kLoader = {"moe_loader.h", "plugin_api/moe_loader.h", "plugin_api/moe_plugin.hpp",
                                          "plugin_api/moe_routes.hpp"};
const std::vector<std::string> kKernelTable = {"kernel_table.h", "push_constants.h"};
const std::vector<std::string> kVulkan = {"vulkan/", "volk.h", "vk_mem_alloc.h"};

std::vector<std::string> together(std::initializer_list<std::vector<std::string>> parts) {
  std::vector<std::string> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

struct Rule {
  std::string prefix;
  bool c = true;                    // the C library's headers
  bool cpp = true;                  // the C++ library's
  bool system = true;               // POSIX and Windows
  std::vector<std::string> others;  // by name; a folder where it ends in "/"
};

const std::vector<Rule>& rules() {
  const auto host = together({kAbi, kLoader, {"tools/model/"}});
  static const std::vector<Rule> all = {
      // The ABI: C11 and C++17, and no header beyond these two. The loader and the C++ wrapper are a host's helpers.
      {"plugin_api/moe_plugin.h", false, false, false, {"stdint.h", "stddef.h"}},
      {"plugin_api/moe_plugin_introspection.h", false, false, false, {"stdint.h", "stddef.h", "moe_plugin.h"}},
      {"plugin_api/moe_plugin_memory.h", false, false, false, {"stdint.h", "stddef.h", "moe_plugin.h"}},
      {"plugin_api/moe_plugin_packed.h", false, false, false, {"stdint.h", "stddef.h", "moe_plugin.h"}},
      // The one header of the ABI that needs another's.
      {"plugin_api/moe_plugin_vulkan.h", false, false, false, {"vulkan/vulkan_core.h", "moe_plugin.h"}},
      {"plugin_api/moe_loader.h", true, false, true, kAbi},
      {"plugin_api/moe_plugin.hpp", true, true, true, together({kAbi, kLoader})},
      {"plugin_api/moe_routes.hpp", true, true, true, {}},  // a file format, for hosts that write it
      // The plugin: all below.
      {"plugin_api/", true, true, true,
       together({kAbi, kKernelTable, kVulkan, {"plugin_api/", "runtime/", "backend/"}})},
      {"runtime/", true, true, false, together({kAbi, kKernelTable, {"runtime/"}})},
      {"runtime/platform.cpp", true, true, true, {"runtime/platform.h"}},  // environment and paths on Windows
      {"backend/", true, true, false,
       together({kKernelTable, kVulkan, {"plugin_api/moe_plugin_memory.h", "runtime/", "backend/"}})},
      {"backend/os_handle", true, true, true, together({kVulkan, {"backend/"}})},  // the platforms' handles
      // Kernels see each other's .glsl files (check_include), the constants and the push constants.
      {"shaders/", false, false, false, {"spec_constants.glsl", "push_constants.h"}},
      {"shaders/push_constants.h", false, false, false, {"cstdint"}},
      {"shaders/generate_kernel_table.cpp", true, true, false, {}},
      // Hosts know the ABI and the loader alone.
      {"examples/", true, true, false, together({kAbi, kLoader})},
      {"examples/vulkan_host", true, true, false,
       together({kAbi, kVulkanAbi, kLoader, kVulkan, {"vulkan_host_comp.h"}})},
      {"tools/model/",
       true,
       true,
       true,
       {"plugin_api/moe_plugin.h", "plugin_api/moe_routes.hpp", "nlohmann/", "tools/model/"}},
      // The codebooks are tables of facts, which need no second copy.
      {"tools/model/codebook_encoder.cpp", true, true, true, {"runtime/codebooks.h", "tools/model/"}},
      {"tools/", true, true, true, together({host, {"tools/", "tests/conformance/conformance.h"}})},
      {"tools/moevk/command_line.cpp", true, true, true,
       together({host, {"tools/", "CLI/"}})},  // takes long to compile
      {"tools/moevk/device_peak", true, true, true, together({host, {"tools/", "nlohmann/"}})},  // reads JSON
      // Adapters for unmodified hosts: the host's own headers are not there to be included.
      {"hosts/", true, true, true, together({kAbi, kLoader, {"hosts/"}})},
      // But where the user names a tree of ggml, to check the tables against (MOEVK_GGML_SOURCE_DIR).
      {"hosts/ggml/tree_tables.cpp", true, true, true, {"hosts/", "ggml.h", "ggml-backend.h", "ggml-backend-impl.h"}},
      {"bench/", true, true, true, together({host, {"bench/", "tools/"}})},
      {"bench/peer_ggml.cpp", true, true, true, together({host, {"bench/", "tools/", "CLI/"}})},
      // A peer's public C headers; its libraries are opened at run time.
      {"bench/ggml_", true, true, true,
       together({host, {"bench/", "tests/support/", "ggml.h", "ggml-alloc.h", "ggml-backend.h"}})},
      // Hosts that run on Vulkan themselves.
      {"bench/encode_cost.cpp", true, true, true, together({host, kVulkanAbi, kVulkan, {"bench/", "tests/"}})},
      {"bench/device_peak", true, true, true, together({host, kVulkanAbi, kVulkan, {"device_peak_comp.h", "tests/"}})},
      {"tests/interop/", true, true, true, together({host, kVulkanAbi, kVulkan, {"gtest/", "tools/", "tests/"}})},
      {"tests/bytes/", true, true, true,
       together({host,
                 kVulkanAbi,
                 kVulkan,
                 {"gtest/", "tools/", "tests/", "byte_probe_comp.h", "byte_probe_atomic_comp.h",
                  "byte_probe_array_comp.h"}})},
      // The codebooks are tables of facts, which need no second copy.
      {"tests/conformance/", true, true, true,
       together({host, {"tests/conformance/", "tests/support/", "runtime/codebooks.h"}})},
      {"tests/support/", true, true, true, {"tests/support/"}},
      {"tests/consumer/", true, true, true, {"moevk/moe_plugin.h"}},
      {"tests/unit/", true, true, true,
       together(
           {kAbi, kKernelTable, {"gtest/", "runtime/", "backend/", "tests/layers/", "tests/support/", "tests/unit/"}})},
      // The layers of models, for all who plan; and what asks vendors' compilers, through the library's own pipelines.
      {"tests/layers/", true, true, false, together({kAbi, kKernelTable, {"runtime/", "tests/layers/"}})},
      {"tests/vendor/", true, true, true,
       together({kAbi, kKernelTable, {"gtest/", "runtime/", "backend/", "tests/layers/", "tests/vendor/"}})},
      {"tests/backend/", true, true, true,
       together({kAbi, kKernelTable, {"gtest/", "runtime/", "backend/", "tests/layers/", "tests/backend/"}})},
      // Other people's public C headers; their libraries are opened at run time.
      {"tests/peers/", true, true, true,
       together({host,
                 {"CLI/", "gtest/", "tools/", "tests/", "bench/", "llama.h", "ggml.h", "ggml-backend.h", "gguf.h",
                  "onnxruntime_c_api.h"}})},
      {"tests/hosts/", true, true, true, together({kAbi, kLoader, {"gtest/", "hosts/", "tests/hosts/"}})},
      {"tests/", true, true, true, together({host, {"gtest/", "tools/", "tests/"}})},
  };
  return all;
}

const Rule* rule_for(const std::string& path) {
  const Rule* best = nullptr;
  for (const Rule& rule : rules()) {
    if (path.starts_with(rule.prefix) && (best == nullptr || rule.prefix.size() > best->prefix.size())) best = &rule;
  }
  return best;
}

bool is_allowed(const Rule& rule, const std::string& path, const std::string& name) {
  if (rule.c && kCHeaders.count(name) != 0) return true;
  if (rule.cpp && kCppHeaders.count(name) != 0) return true;
  if (rule.system && kSystemHeaders.count(name) != 0) return true;
  if (path.starts_with("shaders/") && name.ends_with(".glsl") && name.find('/') == std::string::npos) return true;
  return std::any_of(rule.others.begin(), rule.others.end(), [&](const std::string& other) {
    return other.ends_with('/') ? name.starts_with(other) && name.find("..") == std::string::npos : name == other;
  });
}

bool has_suffix(const std::string& path, std::initializer_list<const char*> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(), [&](const char* suffix) { return path.ends_with(suffix); });
}

bool is_code(const std::string& path) {
  return has_suffix(path, {".c", ".h", ".cpp", ".hpp", ".cc", ".hh", ".comp", ".glsl"});
}

bool is_script(const std::string& path) {
  return has_suffix(path, {"CMakeLists.txt", ".cmake", ".py", ".sh", ".manifest"}) || path.starts_with("scripts/");
}

// The name in `#include <name>` or `#include "name"`, else empty; the rest of the line if it is neither.
std::string included_name(const std::string& line) {
  size_t at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return "";
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return "";
  at = line.find_first_not_of(" \t", at + 7);
  if (at == std::string::npos) return "";
  const char close = line[at] == '<' ? '>' : line[at] == '"' ? '"' : '\0';
  const size_t end = close == '\0' ? std::string::npos : line.find(close, at + 1);
  return end == std::string::npos ? line.substr(at) : line.substr(at + 1, end - at - 1);
}

}  // namespace

std::vector<std::string> check_source(const std::string& path, const std::string& text) {
  std::vector<std::string> problems;
  const Rule* rule = rule_for(path);
  if (is_code(path) && rule == nullptr) problems.push_back(path + ": no rule says what this folder may include");
  std::istringstream lines(text);
  std::string line;
  size_t count = 0, spdx = 0;
  while (std::getline(lines, line)) {
    ++count;
    if (spdx == 0 && line.find("SPDX-License-Identifier: MIT") != std::string::npos) spdx = count;
    if (!is_code(path) || rule == nullptr) continue;
    const std::string name = included_name(line);
    if (!name.empty() && !is_allowed(*rule, path, name)) {
      problems.push_back(path + ":" + std::to_string(count) + ": " + rule->prefix + " must not include " + name);
    }
  }
  const size_t spdx_line = text.starts_with("#!") ? 2 : 1;
  if (spdx != spdx_line) problems.push_back(path + ": line " + std::to_string(spdx_line) + " is no SPDX line");
  const bool kernel = path.ends_with(".comp");
  const size_t most = kernel ? kMostKernelLines : kMostLines;
  // One header is the whole contract with hosts, mostly prose: the one exception.
  if (count > most && path != "plugin_api/moe_plugin.h") {
    problems.push_back(path + ": " + std::to_string(count) + " lines, at most " + std::to_string(most) + " for a " +
                       (kernel ? "kernel" : "source file"));
  }
  return problems;
}

std::vector<std::string> check_tree(const fs::path& root, size_t* files) {
  std::vector<std::string> problems;
  *files = 0;
  for (auto at = fs::recursive_directory_iterator(root); at != fs::recursive_directory_iterator(); ++at) {
    const std::string name = at->path().filename().string();
    if (at->is_directory() && (name.starts_with('.') || (at.depth() == 0 && name.starts_with("build")))) {
      at.disable_recursion_pending();
      continue;
    }
    const std::string path = fs::relative(at->path(), root).generic_string();
    if (!at->is_regular_file() || (!is_code(path) && !is_script(path))) continue;
    std::ifstream file(at->path(), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    ++*files;
    for (std::string& problem : check_source(path, text.str())) problems.push_back(std::move(problem));
  }
  std::sort(problems.begin(), problems.end());
  return problems;
}

}  // namespace moevk::unit
