// SPDX-License-Identifier: MIT
//
// moevk plan. In: a layer's shape, numbers of tokens, a device or its .caps file. Out: the plan as
// text. Why: shows what would be dispatched and why, without a GPU and without weights.
#include <cstdio>
#include <fstream>
#include <sstream>

#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

std::string read_caps(const std::string& path) {
  std::ifstream file(model::path_of(path), std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) throw UsageError("--caps", path + " cannot be read");
  return text.str();
}

}  // namespace

int show_plans(const GlobalOptions& globals, const PlanOptions& options) {
  const moe_layer_desc desc = describe_layer(options.layer, options.format);
  std::string caps;
  std::string device = options.caps;
  if (!options.caps.empty()) caps = read_caps(options.caps);  // before the library: the file may be wrong
  const Host host(globals);
  if (options.caps.empty()) {
    const uint32_t index = host.find(options.device);
    if (host.devices()[index].kind == MOE_DEVICE_KIND_REFERENCE) {
      throw UsageError("--device", "the CPU reference follows no plan; name a GPU, or a --caps file");
    }
    caps = host.caps_text(host.open(index));
    device = host.devices()[index].name;
  }
  bool first = true;
  for (const uint64_t tokens : options.tokens) {
    const std::string text = host.plan_text(caps, desc, tokens);
    std::printf(
        "%s%s\n", first ? "" : "\n",
        heading("# " + layer_text(desc) + ", " + options.format + ", T=" + std::to_string(tokens) + ", " + device)
            .c_str());
    std::printf("%s%s", text.c_str(), text.ends_with('\n') ? "" : "\n");
    first = false;
  }
  return kExitOk;
}

}  // namespace moevk::cli
