// SPDX-License-Identifier: MIT
//
// Every kernel with every choice of specialization constants that the plan takes on a device, found by planning:
// the layer shapes of models, formats, options, stages and numbers of tokens. A dispatch stands for each; only its
// kernel and constants mean anything.
#pragma once

#include <string>
#include <vector>

#include "runtime/plan.h"

namespace moevk::vendor {

// In the order of the manifest, then of the constants.
std::vector<Dispatch> kernel_variants(const DeviceCaps& caps);

// "gate_up_tile" or "gate_up_tile{UP_FORMAT=1}": the kernel, and the constants that are not at their defaults.
std::string variant_name(const Dispatch& dispatch);

}  // namespace moevk::vendor
