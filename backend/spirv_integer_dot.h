// SPDX-License-Identifier: MIT
//
// Takes the declaration of integer dot products out of a module that has none left, so that a device without them may
// compile what pruning has left of a kernel.
#pragma once

#include <cstdint>
#include <vector>

namespace moevk {

std::vector<uint32_t> without_unused_dots(std::vector<uint32_t> code);

}  // namespace moevk
