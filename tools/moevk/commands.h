// SPDX-License-Identifier: MIT
//
// In:  the command line's parser.
// Out: one subcommand each, which sets `exit_code` when it runs.
// Why: a command is one file, whose only door is here.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/moevk/host.h"

namespace moevk::cli {

// `globals` and `exit_code` must outlive the parse.
void register_devices(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_info(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_advise(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_run(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_plan(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_check(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_bench(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_quantize(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_routes(CLI::App& app, const GlobalOptions& globals, int& exit_code);
void register_vectors(CLI::App& app, const GlobalOptions& globals, int& exit_code);

}  // namespace moevk::cli
