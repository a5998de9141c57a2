// SPDX-License-Identifier: MIT
//
// In:  the words of the command line.
// Out: the options of one command, which then runs (see command_line.h).
// Why: what can be asked for stands in one place, and the parser, which takes long to compile, is compiled once.
#include "tools/moevk/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>

#include "tools/model/block_encoder.h"
#include "tools/moevk/commands.h"

namespace moevk::cli {
namespace {

// Values are checked while the command line is read.
void add_layer_options(CLI::App& command, LayerOptions& options) {
  command.add_option("--shape", options.shape, "H,F,E,k: hidden, intermediate, experts, experts per token")->required();
  command.add_option("--shared", options.shared, "width of all shared experts together (0: none)");
  command.add_option("--latent", options.latent, "width of the routed experts' latent space (0: none)");
  for (const LayerChoice& choice : layer_choices()) {
    command.add_option(choice.option, options.*choice.value, choice.help)
        ->check(CLI::IsMember(choice.words))
        ->capture_default_str();
  }
  command.add_flag("--ungated", options.ungated, "experts without a gate matrix");
  command.add_flag("--bias", options.expert_bias, "experts with biases");
}

void add_token_list(CLI::App& command, std::vector<uint64_t>& tokens) {
  command.add_option("--tokens", tokens, "numbers of tokens T in a call, with commas between them")
      ->delimiter(',')
      ->check(CLI::Range(uint64_t{1}, kMostTokens))
      ->capture_default_str();
}

void add_devices(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("devices", "the devices that the library offers, and which one it would choose");
  command->footer(
      "Examples:\n"
      "  moevk devices\n"
      "  moevk devices --caps 0 > my-gpu.caps     what planning knows of device 0, for moevk plan "
      "--caps\n"
      "MOEVK_DEVICE (an index or a part of a name) changes the choice.");
  auto options = std::make_shared<DevicesOptions>();
  command->add_option("--caps", options->caps, "print this device's caps text instead")->type_name("INDEX|NAME");
  command->callback([options, &globals, &exit_code] { exit_code = list_devices(globals, *options); });
}

void add_info(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("info", "what a model file holds: layers, experts, parameters, bytes");
  command->footer(
      "Examples:\n  moevk info models/tiny-moe-f16.gguf\n  moevk info CHECKPOINT_FOLDER\n  moevk info --preset "
      "mixtral");
  auto options = std::make_shared<InfoOptions>();
  CLI::Option* file =
      command->add_option("FILE", options->file, "a GGUF file, or a checkpoint's folder, with MoE layers");
  command->add_option("--preset", options->preset, "what a model family's layer is, and its figures (list: the names)")
      ->type_name("NAME")
      ->excludes(file);
  command->add_option("--tokens", options->tokens, "of one call at most, for the workspace on devices")
      ->check(CLI::Range(uint64_t{1}, kMostTokens))
      ->capture_default_str();
  command->callback([options, &globals, &exit_code] { exit_code = show_info(globals, *options); });
}

void add_advise(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("advise", "what of a model fits where, how fast it can be, llama.cpp's flags");
  command->footer(
      "Examples:\n"
      "  moevk advise models/tiny-moe-f16.gguf\n"
      "  moevk advise MODEL.gguf --bandwidth 936 --host-bandwidth 60\n"
      "  moevk advise CHECKPOINT_FOLDER --device radeon --reserve 2048\n"
      "The speed is a bound for one token at a time: weights read / bandwidth. Attention over a long context,\n"
      "dispatches and synchronisation come on top.");
  auto options = std::make_shared<AdviseOptions>();
  command->add_option("FILE", options->file, "a GGUF file, or a checkpoint's folder, with MoE layers")->required();
  command->add_option("--device", options->device, "index or part of a name (default: every one that can be used)");
  command->add_option("--bandwidth", options->bandwidth, "of the device's memory, in GB/s")
      ->check(CLI::Range(0.001, 1e6));
  command->add_option("--host-bandwidth", options->host_bandwidth, "of the host's memory, in GB/s")
      ->check(CLI::Range(0.001, 1e6));
  command->add_option("--reserve", options->reserve_mib, "MiB of the device that weights must leave free")
      ->check(CLI::Range(uint64_t{0}, uint64_t{1} << 24))
      ->capture_default_str();
  command->callback([options, &globals, &exit_code] { exit_code = advise(globals, *options); });
}

void add_run(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("run", "run a model file's MoE layers and compare with the CPU reference");
  command->footer(
      "Examples:\n"
      "  moevk run models/tiny-moe-f16.gguf                      every layer, on the best device\n"
      "  moevk run MODEL.gguf --layer 3 --tokens 512 --repeat 10\n"
      "  moevk run CHECKPOINT_FOLDER --layer 0                   config.json and .safetensors files\n"
      "  moevk run MODEL.gguf --input x.npy --device reference\n"
      "Without --input and --tokens the tokens come from oracle/lN.moe_in.npy beside the file (in "
      "the folder), if it is\n"
      "there, and the results are compared with lN.moe_out.npy and lN.selected.npy, too.\n"
      "Exit code 1 if experts differ where no near-tie excuses it, or a relative RMS error is "
      "above 1e-5.");
  auto options = std::make_shared<RunOptions>();
  command->add_option("FILE", options->file, "a GGUF file, or a checkpoint's folder, with MoE layers")->required();
  command->add_option("--layer", options->layer, "number of one block, or all")->capture_default_str();
  command->add_option("--input", options->input, "tokens [T, H] (f4, f2 or f8)")->type_name("FILE.npy");
  command->add_option("--tokens", options->tokens, "so many random tokens (default: the oracle's, or 64)")
      ->check(CLI::Range(uint64_t{1}, kMostTokens));
  command->add_option("--seed", options->seed, "of random tokens")->capture_default_str();
  command->add_option("--device", options->device, "index, part of a name, or reference (default: the best)");
  command->add_option("--repeat", options->repeat, "times the median of so many runs")
      ->check(CLI::Range(1u, 100000u))
      ->capture_default_str();
  command->add_option("--routes", options->routes, "record each token's experts and weights (see moevk routes)")
      ->type_name("FILE")
      ->envname("MOEVK_ROUTES");
  command->add_option("--oracle", options->oracle, "folder with lN.moe_in.npy, ..., or none")->type_name("DIR");
  command->callback([options, &globals, &exit_code] { exit_code = run_model(globals, *options); });
}

void add_plan(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
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
  command->add_option("--format", options->format, "of the experts' matrices")
      ->check(CLI::IsMember(format_names()))
      ->capture_default_str();
  CLI::Option* caps =
      command->add_option("--caps", options->caps, "plan for the device described there")->type_name("FILE");
  command->add_option("--device", options->device, "plan for this device: index or part of a name (default: the best)")
      ->excludes(caps);
  command->callback([options, &globals, &exit_code] { exit_code = show_plans(globals, *options); });
}

void add_check(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("check", "the conformance suite on this machine's device");
  command->footer(
      "Examples:\n"
      "  moevk check --report report.json     the JSON is made to be pasted into an issue\n"
      "  moevk check --index 17 --seed 1      one random layer again\n"
      "  moevk check --case NAME              one fixed case again (names: --list)");
  auto options = std::make_shared<CheckOptions>();
  command->add_option("--count", options->count, "random layers, after the fixed cases")->capture_default_str();
  command->add_option("--seed", options->seed, "of the random layers")->capture_default_str();
  CLI::Option* index =
      command->add_option("--index", options->index, "this random layer alone")->check(CLI::Range(0u, 0xfffffffeu));
  command->add_option("--case", options->case_name, "this fixed case alone")->type_name("NAME")->excludes(index);
  command->add_option("--without", options->without,
                      "leave out fixed cases with this in their name; several: with commas between");
  command->add_option("--device", options->device,
                      "index, part of a name, or reference (default: the best Vulkan device)");
  command->add_option("--report", options->report, "write a report there")->type_name("FILE.json");
  command->add_flag("--long", options->long_run, "larger layers, and the cases that take long");
  command->add_flag("--validation", options->validation, "with Vulkan validation layers; a message fails");
  command->add_flag("--verbose", options->verbose, "a line for every case");
  command->add_flag("--list", options->list, "print the names of the fixed cases");
  command->callback([options, &globals, &exit_code] { exit_code = check(globals, *options); });
}

void add_bench(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("bench", "the time of a whole layer with random weights");
  command->footer(
      "Examples:\n"
      "  moevk bench --shape 512,256,32,4 --tokens 1,9,64 --format f16,bf16,f32\n"
      "  moevk bench --shape 2048,768,128,8 --tokens 1 --json | jq '.[0].median_ms'\n"
      "  moevk bench --shape 2048,1408,60,4 --shared 5632 --routing zipf --json rows.json\n"
      "  moevk bench --shape 512,256,32,4/2048,768,128,8 --tokens 1,8,64 --html report.html\n"
      "  moevk bench --routes run.routes --tokens 1,64 --format Q4_K\n"
      "MB and GFLOP are what the layer needs (each weight of each expert that is used read once), not what a plan "
      "does;\n"
      "GB/s and GFLOP/s come from them. The floor is the time that they take at what the device does at most, which "
      "is\n"
      "measured first. With --json alone the array goes to stdout in place of the table.");
  auto options = std::make_shared<BenchOptions>();
  add_layer_options(*command, options->layer);
  add_token_list(*command, options->tokens);
  command->add_option("--format", options->formats, "of the experts' matrices, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember(format_names()))
      ->capture_default_str();
  command->add_option("--device", options->device, "index, part of a name, or reference (default: the best)");
  command->add_option("--repeat", options->repeat, "measurements of each row (0: for about a second)")
      ->capture_default_str();
  command
      ->add_option("--per-submit", options->per_submit,
                   "calls in one submit, whose time is divided by it; fewer where it would last half a second")
      ->delimiter(',')
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_option("--routing", options->routing, "how tokens spread over experts (onehot: all on the same k)")
      ->check(CLI::IsMember({"uniform", "zipf", "onehot"}))
      ->capture_default_str();
  command
      ->add_option("--routes", options->routes,
                   "replay what MOEVK_ROUTES recorded, in place of --routing; the layer is the file's where --shape is "
                   "not given")
      ->type_name("FILE")
      ->excludes("--routing");
  command->get_option("--shape")->required(false);
  command->add_option("--seed", options->seed, "of weights and tokens")->capture_default_str();
  command->add_option("--json", options->json, "write rows as JSON, to FILE or stdout")
      ->type_name("[FILE]")
      ->expected(0, 1)
      ->default_str("-");
  command->add_flag("--steps", options->steps, "the device's time of each step too, of further calls");
  command->add_option("--html", options->html, "write a page with plots to FILE")->type_name("FILE");
  command
      ->add_option("--peak", options->peak,
                   "a file of what device_peak printed, or none (default: device_peak beside this program is run)")
      ->type_name("FILE");
  command->callback([options, &globals, &exit_code] { exit_code = bench(globals, *options); });
}

void add_quantize(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("quantize", "a GGUF file whose experts have another type");
  command->footer(
      "Examples:\n"
      "  moevk quantize models/tiny-moe-f16.gguf tiny-moe-q8.gguf --type Q8_0\n"
      "Routers, attention and all else stay as they are. Nothing is overwritten.");
  auto options = std::make_shared<QuantizeOptions>();
  command->add_option("IN", options->in, "a GGUF file with MoE layers in f32, f16 or bf16")->required();
  command->add_option("OUT", options->out, "the new file")->required();
  command->add_option("--type", options->type, "of the experts: " + model::encodable_types())->required();
  command->callback([options, &exit_code] { exit_code = quantize(*options); });
}

void add_routes(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("routes", "how a recorded run spread its tokens over experts");
  command->footer(
      "Examples:\n"
      "  MOEVK_ROUTES=run.routes llama-cli -m MODEL.gguf ...     records (docs/routes.md)\n"
      "  moevk routes run.routes --svg map.svg\n"
      "  moevk routes run.routes --layer 3                      a bar with figures for each expert\n"
      "  moevk routes run.routes --csv - | head\n"
      "max/mean is the load imbalance factor (1: even), CV the coefficient of variation of the loads, entropy that of\n"
      "the loads over ln E, effective experts e to their entropy; top tenth is the share of the routes on the tenth "
      "of\n"
      "the experts with most. A file that ends within a record is used as far as it is whole, and stderr says so.");
  auto options = std::make_shared<RoutesOptions>();
  command->add_option("FILE", options->file, "what MOEVK_ROUTES named")->required();
  command->add_option("--layer", options->layer, "this layer alone")->type_name("N");
  command->add_option("--svg", options->svg, "write a heat map of layers and experts (-: stdout)")->type_name("FILE");
  command->add_option("--csv", options->csv, "write each route as a line (-: stdout)")->type_name("FILE");
  command->add_option("--json", options->json, "write the figures of each layer (-: stdout)")->type_name("FILE");
  command->callback([options, &exit_code] { exit_code = show_routes(*options); });
}

void add_vectors(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("vectors", "hand-checked vectors of model families, on any library");
  command->footer(
      "Examples:\n"
      "  moevk vectors tests/vectors                       all of them, on the best device\n"
      "  moevk vectors --library ./libother.so --device 0 share/moevk/vectors\n"
      "  moevk vectors --device reference tests/vectors/mixtral.vec\n"
      "Exit code 1 if a vector fails, or none passes. A layer that the library refuses is skipped, with its reason.");
  auto options = std::make_shared<VectorOptions>();
  command->add_option("PATH", options->paths, "files, or folders of .vec files (default: ../share/moevk/vectors)");
  command->add_option("--device", options->device, "index, part of a name, or reference (default: the best)");
  command->add_option("--results", options->results, "append a line for each vector there, for a table of results")
      ->type_name("FILE");
  command->add_flag("--require-all", options->require_all,
                    "a refused layer fails, unless the vector says that a library may lack what it needs");
  command->add_flag("--verbose", options->verbose, "errors of what passed, too");
  command->callback([options, &globals, &exit_code] { exit_code = run_vectors(globals, *options); });
}

}  // namespace

int run_command_line(int count, const char* const* values) {
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
  add_devices(app, globals, exit_code);
  add_info(app, globals, exit_code);
  add_advise(app, globals, exit_code);
  add_run(app, globals, exit_code);
  add_plan(app, globals, exit_code);
  add_check(app, globals, exit_code);
  add_bench(app, globals, exit_code);
  add_quantize(app, exit_code);
  add_routes(app, exit_code);
  add_vectors(app, globals, exit_code);
  try {
    app.parse(count, values);
    if (app.get_subcommands().empty()) {
      throw UsageError("COMMAND",
                       "is missing: devices, info, advise, run, plan, check, bench, quantize, routes or vectors "
                       "(see: moevk --help)");
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

}  // namespace moevk::cli
