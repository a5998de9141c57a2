// SPDX-License-Identifier: MIT
//
// interop_check imported|recorded [--count N] [--seed N] [--report FILE] [--library PATH]: the conformance suite on a
// host's device, through contexts or through recordings into the host's command buffers. Ends with the line of
// `moevk check`. The library is the one of the same build, if none is named.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/conformance/conformance.h"
#include "tests/interop/host_api.h"
#include "tests/interop/vulkan_host.h"

int main(int argc, char** argv) try {
  const std::string mode = argc > 1 ? argv[1] : "";
  moe_conformance::Options options;
  options.count = 100;
  std::string report_path, library_path = MOEVK_TEST_LIBRARY;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--count") options.count = static_cast<uint32_t>(std::stoul(argv[i + 1]));
    if (name == "--seed") options.seed = std::stoull(argv[i + 1]);
    if (name == "--report") report_path = argv[i + 1];
    if (name == "--index") options.index = static_cast<uint32_t>(std::stoul(argv[i + 1]));
    if (name == "--library") library_path = argv[i + 1];
    if (name == "--case") options.case_name = argv[i + 1];
    if (name == "--without") options.without = argv[i + 1];
  }
  if (argc % 2 != 0 || (mode != "imported" && mode != "recorded")) {
    std::fprintf(
        stderr,
        "usage: interop_check imported|recorded [--count N] [--seed N] [--index N] [--case NAME] [--without TEXT] "
        "[--report FILE] [--library PATH]\n");
    return 2;
  }
  const moe::Library library(library_path.c_str());
  options.api = moe_interop::host_api(
      library.api(), mode == "imported" ? moe_interop::HostMode::kImported : moe_interop::HostMode::kRecorded);
  moe_conformance::Report report = moe_conformance::run(options, std::cout);
  if (report.device.kind == MOE_DEVICE_KIND_REFERENCE) report.failures.push_back("there is no Vulkan device");
  report.validation_messages += moe_interop::validation_messages();
  if (moe_interop::validation_messages() != 0) {
    report.failures.push_back("validation: " + moe_interop::validation_text());
  }
  for (const std::string& failure : report.failures) std::printf("%s\n", failure.c_str());
  if (!report_path.empty()) {
    std::ofstream file(report_path, std::ios::binary);
    moe_conformance::write_json(report, file);
  }
  std::printf("%zu passed, %llu failed, %llu skipped\n",
              report.cases.size() - static_cast<size_t>(report.failed() + report.skipped()),
              static_cast<unsigned long long>(report.failed()), static_cast<unsigned long long>(report.skipped()));
  return report.passed() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "interop_check: %s\n", error.what());
  return 2;
}
