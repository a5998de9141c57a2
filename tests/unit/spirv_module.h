// SPDX-License-Identifier: MIT
//
// Reads from a kernel's own SPIR-V what plans must respect: its bindings and which of them it writes, the
// specialization constants it knows, and the shared memory that it takes for given constants. So the tests judge
// plans by the kernels as they are, not by a copy of their declarations.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "kernel_table.h"

namespace moevk::unit {

struct SpirvBinding {
  bool reads = true;
  bool writes = true;
};

struct SpirvInstruction {
  uint32_t op = 0;
  std::vector<uint32_t> operands;  // without the first word
};

class SpirvModule {
 public:
  SpirvModule(const uint32_t* code, size_t words);
  static SpirvModule of(KernelId kernel, size_t variant = 0);

  const std::vector<SpirvInstruction>& instructions() const { return instructions_; }
  // Storage buffers of a descriptor set by binding number.
  std::map<uint32_t, SpirvBinding> bindings(uint32_t set) const;
  std::set<uint32_t> constant_ids() const;
  // Bytes of all Workgroup variables; `constants` by SpecId.
  uint64_t shared_bytes(const uint32_t* constants, size_t count) const;

 private:
  uint64_t type_bytes(uint32_t type, const std::map<uint32_t, uint32_t>& values) const;

  std::vector<SpirvInstruction> instructions_;
  std::map<uint32_t, SpirvInstruction> types_;  // by id
};

}  // namespace moevk::unit
