// SPDX-License-Identifier: MIT
//
// In:  the command line.
// Out: what the command prints; exit code 0, 1 (wrong results) or 2 (bad usage, file or device).
// Why: `moevk` shows what libmoevk.so does on a machine, through the ABI that any host uses.
#include <cstdio>
#include <exception>

#include "tools/moevk/arguments.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/terminal.h"

int main(int argc, char** argv) {
  using namespace moevk::cli;
  prepare_terminal();
  const Arguments arguments(argc, argv);
  CLI::App app("moevk - Mixture-of-Experts layers on Vulkan: devices, models, plans, checks, benchmarks");
  app.allow_windows_style_options(false);  // or /a/path would be one, on Windows
  app.require_subcommand(0, 1);            // none: see below; a message of our own, and better ones for misspelt ones
  app.fallthrough();                       // --library may stand after the command, too
  app.footer(
      "Examples:\n"
      "  moevk devices\n"
      "  moevk run models/tiny-moe-f16.gguf\n"
      "  moevk bench --shape 512,256,32,4 --tokens 1,9,64 --format f16\n"
      "Exit codes: 0 fine, 1 something was computed and is wrong, 2 bad usage, file or device.\n"
      "moevk COMMAND --help tells more about a command.");
  app.failure_message(
      [](const CLI::App*, const CLI::Error& error) { return std::string("moevk: ") + error.what() + "\n"; });
  GlobalOptions globals;
  app.add_option("--library", globals.library,
                 "the plugin to load (default: $MOEVK_LIBRARY, else ../lib beside this program, "
                 "else the system's)")
      ->type_name("PATH");

  int exit_code = kExitOk;
  register_devices(app, globals, exit_code);
  register_info(app, globals, exit_code);
  register_advise(app, globals, exit_code);
  register_run(app, globals, exit_code);
  register_plan(app, globals, exit_code);
  register_check(app, globals, exit_code);
  register_bench(app, globals, exit_code);
  register_quantize(app, globals, exit_code);
  register_routes(app, globals, exit_code);
  register_vectors(app, globals, exit_code);
  try {
    app.parse(arguments.count(), arguments.values());
    if (app.get_subcommands().empty()) {
      throw UsageError("COMMAND",
                       "is missing: devices, info, advise, run, plan, check, bench, quantize, routes or vectors (see: moevk --help)");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitCannot;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "moevk: %s\n", error.what());
    return kExitCannot;
  }
  return exit_code;
}
