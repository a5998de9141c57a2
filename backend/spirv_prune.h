// SPDX-License-Identifier: MIT
//
// Takes out of a module what its specialization constants rule out: branches whose condition is then known. Kernels hold
// the decoding of every weight format, of which a pipeline needs one or two, and some drivers work through all of it
// before they look at constants (SwiftShader 2023: seven times as long for a plain layer).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moevk {

// `constants` by SpecId. The module stays specializable by the same values; one that is not understood comes back as it
// is.
std::vector<uint32_t> prune_spirv(const uint32_t* code, size_t words, const uint32_t* constants, size_t count);

}  // namespace moevk
