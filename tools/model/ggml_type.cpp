// SPDX-License-Identifier: MIT
//
// In:  the type number of a tensor in a GGUF file.
// Out: its row of the table below (see ggml_type.h).
// Why: one table, in the order of the format's numbers, as ggml had them in mid-2026. To retest:
//      compare with enum ggml_type in ggml.h and the block structs' asserts in ggml-common.h.
#include "tools/model/ggml_type.h"

#include <algorithm>
#include <iterator>

namespace moevk::model {
namespace {

constexpr GgmlType kTypes[] = {
    {0, "f32", 1, 4},
    {1, "f16", 1, 2},
    {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},
    {4, "Q4_2 (removed from ggml)", 0, 0},
    {5, "Q4_3 (removed from ggml)", 0, 0},
    {6, "Q5_0", 32, 22},
    {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},
    {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},
    {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136},
    {24, "i8", 1, 1},
    {25, "i16", 1, 2},
    {26, "i32", 1, 4},
    {27, "i64", 1, 8},
    {28, "f64", 1, 8},
    {29, "IQ1_M", 256, 56},
    {30, "bf16", 1, 2},
    {31, "Q4_0_4_4 (removed from GGUF)", 0, 0},
    {32, "Q4_0_4_8 (removed from GGUF)", 0, 0},
    {33, "Q4_0_8_8 (removed from GGUF)", 0, 0},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {36, "IQ4_NL_4_4 (removed from GGUF)", 0, 0},
    {37, "IQ4_NL_4_8 (removed from GGUF)", 0, 0},
    {38, "IQ4_NL_8_8 (removed from GGUF)", 0, 0},
    {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
    {42, "Q2_0", 64, 18},
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t id) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [id](const GgmlType& type) { return type.id == id; });
  return found == std::end(kTypes) ? nullptr : found;
}

bool is_plain_float(uint32_t id) { return id == kGgmlF32 || id == kGgmlF16 || id == kGgmlBf16; }

bool is_block_format(uint32_t id) {
  constexpr uint32_t kQ8_1 = 9, kQ8_K = 15;  // of activations: no file has them
  const GgmlType* type = find_ggml_type(id);
  return type != nullptr && type->block_numbers > 1 && id != kQ8_1 && id != kQ8_K;
}

}  // namespace moevk::model
