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

// The precision that rounds activations as ggml's CPU backend does for this type (its type traits of 0.27): to 8 bits
// in blocks of 32 (Q8_0, Q8_1), or to f16. EXACT where it has blocks of 256 (K-quants and their like), bf16, or f32,
// and for nvfp4, q1_0 and q2_0, of which no model was compared.
inline uint32_t cpu_precision(const char* type_name) {
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4"}) {
    if (std::strcmp(type_name, name) == 0) return MOE_PRECISION_INT8;
  }
  return std::strcmp(type_name, "f16") == 0 ? MOE_PRECISION_MATRIX : MOE_PRECISION_EXACT;
}

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_WEIGHT_TYPES_H_
