// SPDX-License-Identifier: MIT
//
// What a driver's compiler says of one pipeline (VK_KHR_pipeline_executable_properties): its statistics, in words
// that all vendors share, and its disassembly. Drivers spell them differently; the table is in the .cpp file.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/vulkan_device.h"

namespace moevk::vendor {

struct PipelineReport {
  std::vector<std::pair<std::string, uint64_t>> statistics;  // in the driver's words
  std::string disassembly;                                   // empty: it gives none
  uint32_t subgroup_size = 0;                                // that the kernel was compiled for
};

// Fails where the device was not opened for reports.
Result<PipelineReport> pipeline_report(VulkanDevice* device, VkPipeline pipeline);

// The facts that budgets are about; a driver gives some of them.
struct CompilerFacts {
  std::optional<uint64_t> registers;      // vector registers of an invocation
  std::optional<uint64_t> spills;         // registers, stores or loads that went to memory
  std::optional<uint64_t> scratch_bytes;  // private memory
  std::optional<uint64_t> shared_bytes;
  std::optional<uint64_t> waves;  // subgroups that fit a compute unit's SIMD at a time
  std::optional<uint64_t> code_bytes;
  std::optional<uint64_t> instructions;
};

CompilerFacts compiler_facts(const PipelineReport& report);

}  // namespace moevk::vendor
