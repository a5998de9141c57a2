// SPDX-License-Identifier: MIT
//
// The loop that a kernel spends its time in, counted in the driver's disassembly. In: text of RADV's, ANV's or
// Turnip's compiler. Out: instructions of that loop by class. Loops are looked at that multiply, add and touch memory
// (any that multiply and add, if none does all): a matmul reads what it multiplies, a polynomial does not. Innermost
// is one with no such loop inside; of several the one that does most of both is taken (a word of memory serves four
// multiply-adds in a tile). Counts are static: a branch inside counts both ways, and so does a further loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace moevk::vendor {

struct LoopCounts {
  uint32_t multiply_adds = 0;  // of scalars in one invocation; a packed or repeated instruction holds several
  uint32_t instructions = 0;   // all of them; a repeated one counts as often as it issues
  uint32_t fma = 0;            // instructions that multiply and add, matrix instructions among them
  uint32_t loads = 0;          // from buffers, and stores
  uint32_t shared = 0;         // to and from shared memory
  uint32_t waits = 0;          // that do nothing but wait, barriers among them
};

enum class Assembly : uint8_t { kAmd, kIntel, kAdreno };
// By the driver's name as Vulkan reports it; nothing for drivers whose text is not known here.
std::optional<Assembly> assembly_of(const std::string& driver);

// Nothing where no loop multiplies and adds.
std::optional<LoopCounts> inner_loop(Assembly assembly, const std::string& text);

}  // namespace moevk::vendor
