// SPDX-License-Identifier: MIT
//
// In:  the command line.
// Out: what the command prints; exit code 0, 1 (wrong results) or 2 (bad usage, file or device).
// Why: `moevk` shows what libmoevk.so does on a machine, through the ABI that any host uses.
#include "tools/moevk/arguments.h"
#include "tools/moevk/command_line.h"
#include "tools/moevk/terminal.h"

int main(int argc, char** argv) {
  moevk::cli::prepare_terminal();
  const moevk::cli::Arguments arguments(argc, argv);
  return moevk::cli::run_command_line(arguments.count(), arguments.values());
}
