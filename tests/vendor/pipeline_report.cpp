// SPDX-License-Identifier: MIT
//
// A compute pipeline may have several executables (Intel compiles one for each width); the last one runs.
#include "tests/vendor/pipeline_report.h"

#include <algorithm>
#include <cstring>

namespace moevk::vendor {
namespace {

uint64_t as_number(const VkPipelineExecutableStatisticKHR& s) {
  switch (s.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s.value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return static_cast<uint64_t>(s.value.i64);
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return s.value.u64;
    default: return static_cast<uint64_t>(s.value.f64);
  }
}

struct Spelling {
  const char* statistic;
  std::optional<uint64_t> CompilerFacts::*fact;
};

// RADV, ANV, Turnip, PanVK, NVK of Mesa 25.0. Several of one fact are added up.
constexpr Spelling kSpellings[] = {
    {"VGPRs", &CompilerFacts::registers},
    {"Registers used", &CompilerFacts::registers},
    {"Max live registers", &CompilerFacts::registers},
    {"Number of GPRs", &CompilerFacts::registers},
    {"Spilled SGPRs", &CompilerFacts::spills},
    {"Spilled VGPRs", &CompilerFacts::spills},
    {"Spill Count", &CompilerFacts::spills},
    {"Fill Count", &CompilerFacts::spills},
    {"STP Count", &CompilerFacts::spills},
    {"LDP Count", &CompilerFacts::spills},
    {"Scratch size", &CompilerFacts::scratch_bytes},
    {"Scratch Memory Size", &CompilerFacts::scratch_bytes},
    {"SLM Size", &CompilerFacts::scratch_bytes},
    {"LDS size", &CompilerFacts::shared_bytes},
    {"Workgroup Memory Size", &CompilerFacts::shared_bytes},
    {"Subgroups per SIMD", &CompilerFacts::waves},
    {"Max Waves Per Core", &CompilerFacts::waves},
    {"Code size", &CompilerFacts::code_bytes},
    {"Code Size", &CompilerFacts::code_bytes},
    {"Instructions", &CompilerFacts::instructions},
    {"Instruction Count", &CompilerFacts::instructions},
    {"Instruction count", &CompilerFacts::instructions},
};

}  // namespace

Result<PipelineReport> pipeline_report(VulkanDevice* device, VkPipeline pipeline) {
  const DeviceFunctions& vk = device->vk();
  if (vk.vkGetPipelineExecutablePropertiesKHR == nullptr) {
    return unsupported("device", "the driver has no VK_KHR_pipeline_executable_properties");
  }
  PipelineReport report;
  VkPipelineInfoKHR of_pipeline{VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, nullptr, pipeline};
  uint32_t count = 0;
  MOEVK_TRY(vk.vkGetPipelineExecutablePropertiesKHR(device->handle(), &of_pipeline, &count, nullptr));
  std::vector<VkPipelineExecutablePropertiesKHR> executables(count);
  for (auto& e : executables) e.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
  MOEVK_TRY(vk.vkGetPipelineExecutablePropertiesKHR(device->handle(), &of_pipeline, &count, executables.data()));
  if (count == 0) return unsupported("pipeline", "the driver reports no executable");
  report.subgroup_size = executables[count - 1].subgroupSize;

  VkPipelineExecutableInfoKHR last{VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, nullptr, pipeline, count - 1};
  count = 0;
  MOEVK_TRY(vk.vkGetPipelineExecutableStatisticsKHR(device->handle(), &last, &count, nullptr));
  std::vector<VkPipelineExecutableStatisticKHR> statistics(count);
  for (auto& s : statistics) s.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  MOEVK_TRY(vk.vkGetPipelineExecutableStatisticsKHR(device->handle(), &last, &count, statistics.data()));
  for (const auto& s : statistics) report.statistics.emplace_back(s.name, as_number(s));

  count = 0;
  MOEVK_TRY(vk.vkGetPipelineExecutableInternalRepresentationsKHR(device->handle(), &last, &count, nullptr));
  std::vector<VkPipelineExecutableInternalRepresentationKHR> texts(count);
  for (auto& t : texts) t.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  // Sizes first, then the texts.
  MOEVK_TRY(vk.vkGetPipelineExecutableInternalRepresentationsKHR(device->handle(), &last, &count, texts.data()));
  std::vector<std::vector<char>> memory(count);
  for (uint32_t i = 0; i < count; ++i) {
    memory[i].resize(texts[i].dataSize + 1);
    texts[i].pData = memory[i].data();
  }
  MOEVK_TRY(vk.vkGetPipelineExecutableInternalRepresentationsKHR(device->handle(), &last, &count, texts.data()));
  for (uint32_t i = 0; i < count; ++i) {
    const std::string name = texts[i].name;  // "Assembly", "GEN Assembly", "IR3 Assembly"
    if (texts[i].isText == VK_TRUE && name.find("Assembly") != std::string::npos) report.disassembly = memory[i].data();
  }
  return report;
}

CompilerFacts compiler_facts(const PipelineReport& report) {
  CompilerFacts facts;
  for (const auto& [name, value] : report.statistics) {
    for (const Spelling& s : kSpellings) {
      if (name == s.statistic) facts.*s.fact = (facts.*s.fact).value_or(0) + value;
    }
  }
  return facts;
}

}  // namespace moevk::vendor
