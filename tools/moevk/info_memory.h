// SPDX-License-Identifier: MIT
//
// In:  a model, this machine's devices.
// Out: what its MoE layers take of each device's memory, beside what is free there.
// Why: part of `moevk info`; the library's own estimate, not arithmetic of the command's.
#pragma once

#include <cstdint>

#include "tools/moevk/host.h"
#include "tools/moevk/model_file.h"

namespace moevk::cli {

// `tokens`: of one call at most.
void print_device_memory(const GlobalOptions& globals, const ModelFile& file, uint64_t tokens);

}  // namespace moevk::cli
