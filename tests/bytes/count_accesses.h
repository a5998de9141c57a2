// SPDX-License-Identifier: MIT
//
// In:  a kernel's SPIR-V, the device address of counters, the device's subgroup size (0: not by
//      subgroups; kernels compile faster).
// Out: the same kernel, which counts each load and store of a buffer there: how many words were asked for, how many of
//      them were different in a subgroup, and which lines of memory were touched at all.
// Why: what a kernel reads and writes is then counted by the device, and not told by the plan. Kernels stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace moe_bytes {

inline constexpr uint32_t kLineBytes = 64;
// Of set 0; the next one stands for what is read through device addresses, that is, weights.
inline constexpr uint32_t kCountedBindings = 31;
inline constexpr uint32_t kThroughAddresses = kCountedBindings;
// A slot for the reads, and one for the writes, of each binding.
constexpr uint32_t slot_of(uint32_t binding, bool writes) { return 2 * binding + (writes ? 1 : 0); }
inline constexpr uint32_t kSlots = 2 * (kCountedBindings + 1);

// The counters, in words of 4 bytes. A line has the bit of its address modulo 4 GiB; of a binding, the
// address is what stands in kBases and the offset.
inline constexpr uint32_t kLineWords = 1u << 21;
inline constexpr uint32_t kBases = 0;               // in: what is added to each binding's offsets
inline constexpr uint32_t kRequested = kSlots;      // [slot] words asked for by all invocations
inline constexpr uint32_t kCoalesced = 2 * kSlots;  // [slot] and by subgroups, each different address once
inline constexpr uint32_t kLines = 1024;            // [reads, writes] bit a line
inline constexpr uint32_t kCounterWords = kLines + 2 * kLineWords;

struct CountedKernel {
  std::vector<uint32_t> code;  // empty: it could not be done
  std::string why_not;
  std::vector<std::string> binding_names;  // of the blocks in set 0; empty where nothing is declared
};

// Refuses what it cannot count: atomics and copies of buffers, arrays of descriptors, elements that are not of whole words.
CountedKernel count_accesses(const uint32_t* code, size_t words, uint64_t counters_address, uint32_t subgroup_size);

}  // namespace moe_bytes
