// SPDX-License-Identifier: MIT
//
// In:  a tensor of a GPTQ, AWQ or compressed-tensors checkpoint.
// Out: the bytes of the ABI's tensor with the same numbers: rows of outputs, low bits first.
// Why: those formats pack along outputs, or have inputs for rows. Only bits move; a zero point that is stored less 1
//      gets it back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tools/model/result.h"

namespace moevk::model {

// What the words of a file's tensor are. R outputs, C inputs, G groups; a word of 32 bits has n = 32 / bits numbers.
enum class WordOrder : uint32_t {
  as_stored,
  words_of_inputs,  // GPTQ's qweight [C / n, R]: a word has neighbouring inputs of one output
  awq_codes,        // AWQ's qweight [C, R / 8]: a word has neighbouring outputs of one input, in AWQ's order
  halves_by_group,  // scales of both [G, R], 16 bits each
  zeros_by_group,   // GPTQ's qzeros [G, R / n]
  awq_zeros,        // AWQ's qzeros [G, R / 8], in its order
  zeros_by_output   // compressed-tensors' weight_zero_point [ceil(R / n), G]: a word has neighbouring outputs
};

struct Repacking {
  WordOrder order = WordOrder::as_stored;
  uint32_t bits = 4;
  uint64_t rows = 0;        // outputs
  uint64_t columns = 0;     // inputs, or groups of them
  bool whole_rows = false;  // no groups: zero points of all rows follow each other without a gap
  bool less_one = false;    // zero points are stored less 1
  bool symmetric = false;   // zero points must say 2^(bits - 1)

  uint64_t bytes() const;  // of what is made
};

// `stored` has the shape that the order says. Zero points that implementations read differently, or that contradict
// `symmetric`: an error without a field.
Result<std::vector<std::byte>> repacked(const Repacking& repacking, std::span<const std::byte> stored);

}  // namespace moevk::model
