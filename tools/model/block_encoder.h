// SPDX-License-Identifier: MIT
//
// In:  rows of f32 weights.
// Out: the same in a plain type, or in one of GGUF's block types that need no importance matrix.
// Why: `moevk quantize`. Where the codes follow from the block alone (Q4_0 to Q8_0, MXFP4) the formulas are ggml's (its
//      quantize_row_*_ref), bit for bit; where scales are searched for, the search is our own, for the least squared
//      error. tests/model/encoder_oracle_test.cpp compares both with ggml's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace moevk::model {

constexpr uint32_t kGgmlQ4_0 = 2, kGgmlQ4_1 = 3, kGgmlQ5_0 = 6, kGgmlQ5_1 = 7, kGgmlQ8_0 = 8, kGgmlMxfp4 = 39;
constexpr uint32_t kGgmlQ2_K = 10, kGgmlQ3_K = 11, kGgmlQ4_K = 12, kGgmlQ5_K = 13, kGgmlQ6_K = 14;
constexpr uint32_t kGgmlIq3S = 21, kGgmlIq4Nl = 20, kGgmlIq4Xs = 23, kGgmlTq1_0 = 34, kGgmlTq2_0 = 35, kGgmlQ1_0 = 41,
                   kGgmlQ2_0 = 42;

// True for what encodable_types() names.
bool can_encode(uint32_t ggml_type);
// Their names, for messages: "F32, F16, ...".
std::string encodable_types();
// The number of a type by its name, in any case; UINT32_MAX if it is none of them.
uint32_t encodable_type(const std::string& name);
// What general.file_type says of a file most of whose weights have a type that can be encoded.
uint32_t file_type_of(uint32_t ggml_type);

// `count` weights, whole blocks of a type that can be encoded; `to` has room for them. All are finite, and none is
// larger than f16 allows where that has to hold it or a block's scale.
void encode_row(uint32_t ggml_type, const float* from, uint64_t count, std::byte* to);

}  // namespace moevk::model
