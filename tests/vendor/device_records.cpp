// SPDX-License-Identifier: MIT
//
// The same instance, probe, device and pipelines as behind the ABI; only the reports are asked for besides.
#include "tests/vendor/device_records.h"

#include <cstdio>

#include "backend/vulkan_backend.h"
#include "tests/vendor/inner_loop.h"
#include "tests/vendor/kernel_variants.h"
#include "tests/vendor/pipeline_report.h"

namespace moevk::vendor {
namespace {

KernelRecord make_record(const std::string& name, const PipelineReport& report, const std::string& driver) {
  KernelRecord record{name, {}};
  const CompilerFacts facts = compiler_facts(report);
  const auto add = [&](const char* fact, const std::optional<uint64_t>& value) {
    if (value.has_value()) record.facts.emplace_back(fact, static_cast<double>(*value));
  };
  add("registers", facts.registers);
  add("spills", facts.spills);
  if (facts.scratch_bytes.value_or(0) != 0) add("scratch", facts.scratch_bytes);
  add("shared", facts.shared_bytes);
  add("subgroup", report.subgroup_size);
  add("waves", facts.waves);
  add("code", facts.code_bytes);
  if (!facts.code_bytes.has_value()) add("instructions", facts.instructions);
  const std::optional<Assembly> assembly = assembly_of(driver);
  if (!assembly.has_value()) return record;
  const std::optional<LoopCounts> loop = inner_loop(*assembly, report.disassembly);
  if (!loop.has_value()) return record;
  const double fmas = loop->multiply_adds;
  record.facts.emplace_back("loop_fmas", fmas);
  record.facts.emplace_back("per_fma", loop->instructions / fmas);
  if (loop->fma != loop->multiply_adds) record.facts.emplace_back("fma", loop->fma / fmas);
  record.facts.emplace_back("load", loop->loads / fmas);
  record.facts.emplace_back("lds", loop->shared / fmas);
  record.facts.emplace_back("wait", loop->waits / fmas);
  return record;
}

}  // namespace

Result<std::shared_ptr<VulkanDevice>> open_device() {
  Options options;
  options.cache = false;
  options.pipeline_reports = true;
  auto state = std::make_shared<SharedState>(moe_init<moe_instance_desc>(), std::move(options));
  MOE_ASSIGN_OR_RETURN(const std::shared_ptr<VulkanBackend> backend, VulkanBackend::create(state, false));
  for (uint32_t i = 0; i < backend->devices().size(); ++i) {
    if (backend->devices()[i].usable == 0) continue;
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, backend->open(i, 0));
    return std::static_pointer_cast<VulkanDevice>(std::move(device));
  }
  return Status(MOE_ERROR_NO_DEVICE, "", backend->why_no_gpu());
}

DeviceRecords compile_variants(VulkanDevice* device) {
  DeviceRecords all;
  for (const Dispatch& dispatch : kernel_variants(device->caps())) {
    const std::string name = variant_name(dispatch);
    Result<Pipeline> pipeline = device->pipelines().get(dispatch);
    if (!pipeline.ok()) {
      all.failures.push_back(name + ": " + pipeline.status().text());
      continue;
    }
    Result<PipelineReport> report = pipeline_report(device, pipeline.value().handle);
    if (!report.ok()) {
      all.failures.push_back(name + ": " + report.status().text());
      continue;
    }
    all.records.push_back(make_record(name, report.value(), device->caps().driver));
  }
  return all;
}

Status show_variants(VulkanDevice* device, const std::string& part) {
  for (const Dispatch& dispatch : kernel_variants(device->caps())) {
    const std::string name = variant_name(dispatch);
    if (name.find(part) == std::string::npos) continue;
    MOE_ASSIGN_OR_RETURN(const Pipeline pipeline, device->pipelines().get(dispatch));
    MOE_ASSIGN_OR_RETURN(const PipelineReport report, pipeline_report(device, pipeline.handle));
    std::printf("%s\n", record_text(make_record(name, report, device->caps().driver)).c_str());
    for (const auto& [statistic, value] : report.statistics) {
      std::printf("  %s: %llu\n", statistic.c_str(), static_cast<unsigned long long>(value));
    }
    std::printf("%s\n", report.disassembly.c_str());
  }
  return {};
}

}  // namespace moevk::vendor
