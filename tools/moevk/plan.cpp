// SPDX-License-Identifier: MIT
//
// moevk plan. In: a layer's shape, numbers of tokens, a device or its .caps file. Out: the plan as
// text. Why: shows what would be dispatched and why, without a GPU and without weights.
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>

#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

struct PlanOptions {
  LayerOptions layer;
  std::vector<uint64_t> tokens = {1, 512};
  std::string format = "f16";
  std::string caps;
  std::string device;
};

std::string read_caps(const std::string& path) {
  std::ifstream file(model::path_of(path), std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) throw UsageError("--caps", path + " cannot be read");
  return text.str();
}

int plan(const GlobalOptions& globals, const PlanOptions& options) {
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

}  // namespace

void register_plan(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("plan", "what would be dispatched for a layer, and why (needs no GPU with --caps)");
  command->footer(
      "Examples:\n"
      "  moevk plan --shape 2048,768,128,8 --tokens 1,64,512\n"
      "  moevk plan --shape 2880,2880,32,4 --activation swiglu-oai --bias --caps "
      "tests/devices/NAME.caps");
  auto options = std::make_shared<PlanOptions>();
  add_layer_options(*command, options->layer);
  add_token_list(*command, options->tokens);
  command->get_option("--tokens")->capture_default_str();
  command->add_option("--format", options->format, "of the experts' matrices")
      ->check(CLI::IsMember(format_names()))
      ->capture_default_str();
  CLI::Option* caps =
      command->add_option("--caps", options->caps, "plan for the device described there")->type_name("FILE");
  command->add_option("--device", options->device, "plan for this device: index or part of a name (default: the best)")
      ->excludes(caps);
  command->callback([options, &globals, &exit_code] { exit_code = plan(globals, *options); });
}

}  // namespace moevk::cli
