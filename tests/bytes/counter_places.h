// SPDX-License-Identifier: MIT
//
// In:  where weights lie in memory, and the ranges that a dispatch binds.
// Out: which counters of lines each range gets.
// Why: kernels see the address of weights and nothing else of them; a binding's range may lie anywhere in 64 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tests/bytes/count_accesses.h"

namespace moe_bytes {

struct Range {
  uint64_t address = 0, bytes = 0;
};

// Counters stand for 4 GiB. Weights take those of their addresses, modulo 4 GiB, since kernels know no more of them.
// Bindings, whose buffers may lie anywhere, are given free ones, and ranges that share memory share them.
class Places {
 public:
  static constexpr uint64_t kBytes = uint64_t{kLineWords} * 32 * kLineBytes;

  explicit Places(const std::vector<Range>& weights) {
    for (const Range& range : weights) {
      for (uint64_t at = range.address; at < range.address + range.bytes;) {
        const uint64_t first = at % kBytes, bytes = std::min(range.address + range.bytes - at, kBytes - first);
        if (!is_free(first, first + bytes)) meet_ = true;
        taken_.push_back({first, first + bytes});
        at += bytes;
      }
    }
  }

  bool meet() const { return meet_; }  // two windows of weights share counters

  // Each range at its place; false where there is no room.
  bool give(std::array<Range, kCountedBindings>* ranges) {
    std::vector<Range*> sorted;
    for (Range& range : *ranges) {
      if (range.bytes != 0) sorted.push_back(&range);
    }
    std::sort(sorted.begin(), sorted.end(), [](const Range* a, const Range* b) { return a->address < b->address; });
    for (size_t i = 0; i < sorted.size();) {
      const uint64_t first = sorted[i]->address / kLineBytes * kLineBytes;
      uint64_t end = first;
      size_t next = i;
      for (; next < sorted.size() && (next == i || sorted[next]->address < end); ++next) {
        end = std::max(end, (sorted[next]->address + sorted[next]->bytes + kLineBytes - 1) / kLineBytes * kLineBytes);
      }
      const uint64_t place = take(end - first);
      if (place == kBytes) return false;
      for (; i < next; ++i) sorted[i]->address = place + sorted[i]->address - first;
    }
    return true;
  }

 private:
  struct Part {
    uint64_t first, end;
  };

  bool is_free(uint64_t first, uint64_t end) const {
    return std::none_of(taken_.begin(), taken_.end(),
                        [&](const Part& part) { return part.first < end && first < part.end; });
  }

  // The first place that is free; kBytes: none.
  uint64_t take(uint64_t bytes) {
    uint64_t best = is_free(0, bytes) ? 0 : kBytes;
    for (const Part& part : taken_) {
      const uint64_t behind = (part.end + kLineBytes - 1) / kLineBytes * kLineBytes;
      if (behind < best && behind + bytes <= kBytes && is_free(behind, behind + bytes)) best = behind;
    }
    if (best != kBytes) taken_.push_back({best, best + bytes});
    return best;
  }

  std::vector<Part> taken_;
  bool meet_ = false;
};

}  // namespace moe_bytes
