// SPDX-License-Identifier: MIT
//
// In:  the name of one of ggml's types.
// Out: the ABI's format of weights.
// Why: names are stable, and GGUF's numbers are what the ABI counts its presets by.
#ifndef MOEVK_HOSTS_GGML_WEIGHT_TYPES_H_
#define MOEVK_HOSTS_GGML_WEIGHT_TYPES_H_

#include <cstring>

#include "plugin_api/moe_plugin.h"

namespace moevk::ggml {

// False where moevk has no such format. `dtype` is that of moe_tensor_source.
inline bool weight_format(const char* type_name, moe_weight_format& format, uint32_t& dtype) {
  struct Row {
    const char* name;
    uint32_t gguf;  // GGUF's number of the type
  };
  static constexpr Row kBlocks[] = {
      {"q4_0", 2},    {"q4_1", 3},   {"q5_0", 6},   {"q5_1", 7},     {"q8_0", 8},    {"q2_K", 10},    {"q3_K", 11},
      {"q4_K", 12},   {"q5_K", 13},  {"q6_K", 14},  {"iq2_xxs", 16}, {"iq2_xs", 17}, {"iq3_xxs", 18}, {"iq1_s", 19},
      {"iq4_nl", 20}, {"iq3_s", 21}, {"iq2_s", 22}, {"iq4_xs", 23},  {"iq1_m", 29},  {"tq1_0", 34},   {"tq2_0", 35},
      {"mxfp4", 39},  {"nvfp4", 40}, {"q1_0", 41},  {"q2_0", 42},
  };
  format = {};
  if (std::strcmp(type_name, "f32") == 0) {
    format.element = MOE_ELEMENT_F32;
    dtype = MOE_DTYPE_F32;
    return true;
  }
  if (std::strcmp(type_name, "f16") == 0) {
    format.element = MOE_ELEMENT_F16;
    dtype = MOE_DTYPE_F16;
    return true;
  }
  if (std::strcmp(type_name, "bf16") == 0) {
    format.element = MOE_ELEMENT_BF16;
    dtype = MOE_DTYPE_BF16;
    return true;
  }
  for (const Row& row : kBlocks) {
    if (std::strcmp(type_name, row.name) != 0) continue;
    format.preset = 1 + row.gguf;
    dtype = MOE_DTYPE_BLOCKS;
    return true;
  }
  return false;
}

// Whether ggml's CPU backend multiplies this type with activations of 8 bits in blocks of 32 (Q8_0, Q8_1), as its type
// traits of 0.27 have it. Of K-quants and their like it takes blocks of 256, of f16 and f32 the type itself.
inline bool cpu_rounds_to_q8(const char* type_name) {
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4"}) {
    if (std::strcmp(type_name, name) == 0) return true;
  }
  return false;
}

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_WEIGHT_TYPES_H_
