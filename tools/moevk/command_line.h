// SPDX-License-Identifier: MIT
//
// In:  the command line, the program's name first.
// Out: what its command prints, help, or one line about what is wrong with it; the exit code.
// Why: main has the system's business with arguments and terminals, this has ours.
#pragma once

namespace moevk::cli {

// 0: fine; 1: something was computed, and it is wrong; 2: bad usage, file or device.
int run_command_line(int count, const char* const* values);

}  // namespace moevk::cli
