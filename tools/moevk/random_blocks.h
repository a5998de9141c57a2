// SPDX-License-Identifier: MIT
//
// In:  a type of GGUF's quantised weights, a seed.
// Out: blocks with random codes and scales that make their weights about 1 / sqrt(width) in size.
// Why: benchmarks of quantised layers need no model file. A few hundred blocks are made and repeated in random order.
#pragma once

#include <cstdint>
#include <vector>

namespace moevk::cli {

class RandomBlocks {
 public:
  // `ggml_type`: one of those that is_block_format knows.
  RandomBlocks(uint32_t ggml_type, double weight, uint64_t seed);
  uint64_t block_bytes() const { return block_bytes_; }
  // Block number `index` of the tensor.
  const unsigned char* block(uint64_t index) const;

 private:
  uint64_t block_bytes_;
  uint64_t seed_;
  std::vector<unsigned char> blocks_;
};

}  // namespace moevk::cli
