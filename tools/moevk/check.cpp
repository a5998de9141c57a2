// SPDX-License-Identifier: MIT
//
// moevk check. In: this machine's device. Out: the conformance suite's verdict, and a report as
// JSON. Why: someone with a GPU that nobody here has can tell, with one command, whether it
// computes right.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <streambuf>

#include "tests/conformance/conformance.h"
#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

// stdout, but the progress line on stderr is cleared before anything is printed.
class ClearingBuffer : public std::streambuf {
 public:
  explicit ClearingBuffer(Progress& progress) : progress_(progress) {}

 protected:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    progress_.clear();
    return std::cout.rdbuf()->sputn(text, size);
  }
  int_type overflow(int_type character) override {
    if (traits_type::eq_int_type(character, traits_type::eof())) return traits_type::not_eof(character);
    progress_.clear();
    return std::cout.rdbuf()->sputc(traits_type::to_char_type(character));
  }
  int sync() override { return std::cout.rdbuf()->pubsync(); }

 private:
  Progress& progress_;
};

// Others are judged by the CPU reference: a run on it says nothing of a device, so it is checked only
// where it is named.
uint32_t device_to_check(const Host& host, const std::string& which) {
  const uint32_t index = host.find(which);
  if (!which.empty() || host.devices()[index].kind != MOE_DEVICE_KIND_REFERENCE) return index;
  const std::string why = host.api().why_no_gpu(host.instance());
  throw UsageError("--device", "there is no Vulkan device to check" + (why.empty() ? "" : " (" + why + ")") +
                                   "; to check the CPU reference itself: --device reference");
}

}  // namespace

int check(const GlobalOptions& globals, const CheckOptions& options) {
  if (options.list) {
    for (const std::string& name : moe_conformance::case_names(options.long_run)) {
      std::printf("%s\n", name.c_str());
    }
    return kExitOk;
  }
  if (!options.case_name.empty()) {
    const std::vector<std::string> names = moe_conformance::case_names(true);
    if (std::find(names.begin(), names.end(), options.case_name) == names.end()) {
      throw UsageError("--case", "there is no case '" + options.case_name + "' (names: --list)");
    }
  }
  const Host host(globals);
  moe_conformance::Options suite;
  suite.api = &host.api();
  suite.device = device_to_check(host, options.device);
  std::ofstream report_file;
  if (!options.report.empty()) {  // before the long work: the path may be wrong
    report_file.open(model::path_of(options.report), std::ios::binary);
    if (!report_file) throw UsageError("--report", options.report + " cannot be written");
  }
  Progress progress("check");
  suite.seed = options.seed;
  suite.count = options.count;
  if (options.index >= 0) suite.index = static_cast<uint32_t>(options.index);
  suite.case_name = options.case_name;
  suite.without = options.without;
  suite.long_run = options.long_run;
  suite.validation = options.validation;
  suite.verbose = options.verbose;
  suite.progress = [&progress](const moe_conformance::Progress& state) {
    progress.update(state.done, state.total,
                    std::to_string(state.done) + "/" + std::to_string(state.total) + ", " +
                        std::to_string(state.failed) + " failed  " + state.case_name.substr(0, 30));
    return true;
  };
  const moe_device_info& info = host.devices()[suite.device];
  std::printf("device  %u  %s  %s\n", suite.device, info.name, remark(info.driver).c_str());
  std::fflush(stdout);

  ClearingBuffer buffer(progress);
  std::ostream out(&buffer);
  const moe_conformance::Report report = moe_conformance::run(suite, out);
  progress.clear();
  out.flush();
  if (report_file.is_open()) {
    moe_conformance::write_json(report, report_file);
    report_file.close();
    if (!report_file) throw UsageError("--report", options.report + " could not be written");
  }
  std::printf("%llu passed, %llu failed, %llu skipped\n", static_cast<unsigned long long>(report.succeeded()),
              static_cast<unsigned long long>(report.failed()), static_cast<unsigned long long>(report.skipped()));
  return report.passed() ? kExitOk : kExitDisagrees;
}

}  // namespace moevk::cli
