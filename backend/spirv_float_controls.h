// SPDX-License-Identifier: MIT
//
// Declares float controls in a module where the device can honour them: rounding to nearest even, and infinities
// and NaNs that survive. GLSL cannot say it, so the words are put in when the module is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moevk {

struct FloatControls {
  bool round_to_even = false;         // f32
  bool keep_inf_nan = false;          // f32
  bool keep_half_subnormals = false;  // f16: what unpackHalf2x16 reads
};

std::vector<uint32_t> with_float_controls(const uint32_t* code, size_t words, const FloatControls& controls);

}  // namespace moevk
