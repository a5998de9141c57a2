// SPDX-License-Identifier: MIT
//
// Runs the cases in order (named ones, special ones, then the random layers), prints what fails
// with the line that reruns it, and closes everything, so that what is left alive can be counted.
#include "tests/conformance/conformance.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <ostream>
#include <sstream>

#include "plugin_api/moe_loader.h"
#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/fixed_cases.h"
#include "tests/conformance/judge.h"
#include "tests/conformance/random_layer.h"

namespace moe_conformance {
namespace {

// `without`: texts with commas between; a name with one of them in it is left out.
bool is_left_out(const std::string& without, const std::string& name) {
  std::istringstream texts(without);
  for (std::string text; std::getline(texts, text, ',');) {
    if (!text.empty() && name.find(text) != std::string::npos) return true;
  }
  return false;
}

struct Job {
  std::string name;
  std::optional<uint32_t> index;
  std::function<void(Session&, CaseResult&)> run;
};

void run_layer(Session& s, const LayerCase& c, CaseResult& result) {
  result.description = describe(c);
  judge_case(s, c, result);
}

std::vector<Job> make_jobs(const Options& options) {
  std::vector<Job> jobs;
  const auto wanted = [&](const std::string& name, bool long_only) {
    if (options.index.has_value()) return false;
    if (!options.case_name.empty()) return options.case_name == name;
    if (is_left_out(options.without, name)) return false;
    return options.long_run || !long_only;
  };
  for (const FixedCase& fixed : fixed_cases()) {
    if (!wanted(fixed.name, fixed.long_only)) continue;
    jobs.push_back({fixed.name, {}, [&fixed](Session& s, CaseResult& result) { run_layer(s, fixed.make(), result); }});
  }
  for (const SpecialCase& special : special_cases()) {
    if (wanted(special.name, special.long_only)) jobs.push_back({special.name, {}, special.run});
  }
  const auto add_random = [&](uint32_t index) {
    jobs.push_back(
        {"random", index, [index, seed = options.seed, long_run = options.long_run](Session& s, CaseResult& result) {
           run_layer(s, random_layer(seed, index, long_run), result);
         }});
  };
  if (options.index.has_value()) {
    add_random(*options.index);
  } else if (options.case_name.empty()) {
    for (uint32_t i = 0; i < options.count; ++i) add_random(i);
  }
  return jobs;
}

std::string rerun_line(const Options& options, uint32_t device, const Job& job) {
  std::string line = "moevk check";
  if (job.index.has_value()) {
    line += " --seed " + std::to_string(options.seed) + " --index " + std::to_string(*job.index);
    if (options.long_run) line += " --long";
  } else {
    line += " --case " + job.name;
  }
  return line + " --device " + std::to_string(device);
}

uint64_t live_objects(const Session& s) {
  if (s.introspection == nullptr) return 0;
  moe_statistics statistics = MOE_INIT(moe_statistics);
  moe::check([&](moe_error* error) { return s.introspection->get_statistics(s.instance.get(), &statistics, error); });
  return statistics.live_objects;
}

void run_job(Session& s, const Job& job, CaseResult& result) {
  const auto start = std::chrono::steady_clock::now();
  try {
    const uint64_t alive = live_objects(s);
    job.run(s, result);
    const uint64_t left = live_objects(s);
    if (left != alive)
      fail(result, "%llu objects were alive before the case, %llu after it", static_cast<unsigned long long>(alive),
           static_cast<unsigned long long>(left));
  } catch (const std::exception& error) {
    fail(result, "%s", error.what());
  }
  result.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void print_case(const CaseResult& result, bool verbose, std::ostream& out) {
  std::string name = result.name;
  if (result.index.has_value()) name += " " + std::to_string(*result.index);
  if (!result.failures.empty()) {
    out << "FAILED " << name << ": " << result.description << '\n';
    for (const std::string& failure : result.failures) out << "  " << failure << '\n';
    out << "  rerun: " << result.rerun << '\n';
  } else if (!result.skipped.empty()) {
    out << "skipped " << name << ": " << result.skipped << '\n';
  } else if (verbose) {
    char numbers[128];
    std::snprintf(numbers, sizeof numbers, "y %.3f of the bound, logits %.3f, reference %.3f, %.0f ms",
                  result.output_error, result.logit_error, result.reference_error, result.milliseconds);
    out << "passed " << name << ": " << result.description << " | " << numbers << '\n';
  }
  out.flush();
}

void judge_shares(Report& report) {
  const auto layers = std::count_if(report.cases.begin(), report.cases.end(),
                                    [](const CaseResult& c) { return c.index.has_value() && c.skipped.empty(); });
  if (static_cast<uint64_t>(layers) < kLayersForShares) return;
  if (report.excluded_share() > kMaxExcludedShare) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "%llu of %llu tokens are excluded from the comparison of experts (%.2f %%, at "
                  "most %.2f %%)",
                  static_cast<unsigned long long>(report.excluded_tokens()),
                  static_cast<unsigned long long>(report.tokens()), 100 * report.excluded_share(),
                  100 * kMaxExcludedShare);
    report.failures.emplace_back(text);
  }
  const uint64_t uncertain = report.uncertain_tokens(), rounded = report.rounded_tokens();
  if (static_cast<double>(uncertain) > kMaxUncertainShare * static_cast<double>(rounded)) {
    report.failures.push_back(
        "the outputs of " + std::to_string(uncertain) + " of " + std::to_string(rounded) +
        " tokens with rounded activations are hardly compared: too many values may round either way");
  }
}

void finish(const Options& options, Report& report, std::ostream& out) {
  judge_shares(report);
  if (!report.cases.empty() && report.skipped() == report.cases.size())
    report.failures.emplace_back("no case passed: all were skipped");
  double worst = 0, logits = 0, reference = 0;
  for (const CaseResult& c : report.cases) {
    worst = std::max(worst, c.output_error);
    logits = std::max(logits, c.logit_error);
    reference = std::max(reference, c.reference_error);
  }
  for (const std::string& failure : report.failures) out << "FAILED: " << failure << '\n';
  char text[512];
  std::snprintf(
      text, sizeof text,
      "%s: %zu cases (seed %llu), %llu failed, %llu skipped; %llu of %llu routed tokens "
      "excluded as too close to a tie (%.3f %%), %llu of %llu with rounded activations uncertain; "
      "largest error over its bound: y %.3f, logits %.3f, reference %.3f; %llu "
      "validation messages%s\n",
      report.passed() ? "passed" : "FAILED", report.cases.size(), static_cast<unsigned long long>(options.seed),
      static_cast<unsigned long long>(report.failed()), static_cast<unsigned long long>(report.skipped()),
      static_cast<unsigned long long>(report.excluded_tokens()), static_cast<unsigned long long>(report.tokens()),
      100 * report.excluded_share(), static_cast<unsigned long long>(report.uncertain_tokens()),
      static_cast<unsigned long long>(report.rounded_tokens()), worst, logits, reference,
      static_cast<unsigned long long>(report.validation_messages), report.stopped ? "; stopped early" : "");
  out << text;
}

void describe_device(Session& s, Report& report) {
  report.device = MOE_INIT(moe_device_info);
  report.device_index = s.device_index;
  report.build = s.api->build != nullptr ? s.api->build : "";
  moe::check([&](moe_error* error) {
    return s.api->get_device_info(s.instance.get(), s.device_index, &report.device, error);
  });
  report.caps_text = caps_text(s);
}

void run_all(const moe_api* api, const Options& options, Report& report, std::ostream& out) {
  const std::vector<Job> jobs = make_jobs(options);
  if (jobs.empty()) {
    report.failures.push_back(options.case_name.empty() ? "nothing to run"
                                                        : "there is no case '" + options.case_name + "'");
    return;
  }
  Session session = open_session(api, options.device, options.validation);
  describe_device(session, report);
  Progress progress;
  progress.total = jobs.size();
  for (const Job& job : jobs) {
    progress.case_name = job.index.has_value() ? "random " + std::to_string(*job.index) : job.name;
    if (options.progress && !options.progress(progress)) {
      report.stopped = true;
      break;
    }
    CaseResult result;
    result.name = job.name;
    result.index = job.index;
    result.rerun = rerun_line(options, session.device_index, job);
    run_job(session, job, result);
    print_case(result, options.verbose, out);
    ++progress.done;
    if (!result.failures.empty()) ++progress.failed;
    report.cases.push_back(std::move(result));
  }
  progress.case_name.clear();
  if (options.progress && !report.stopped) options.progress(progress);
  report.validation_messages = validation_messages(session);
  if (report.validation_messages != 0 && report.failed() == 0)
    report.failures.emplace_back("there are validation messages; see the log");
  for (std::string& problem : exceeded_limits(session)) report.failures.push_back(std::move(problem));
}

}  // namespace

Report run(const Options& options, std::ostream& out) {
  Report report;
  report.seed = options.seed;
  report.count = options.count;
  report.long_run = options.long_run;
  moe_library library{};
  try {
    const moe_api* api = options.api;
    if (api == nullptr) {
      const char* path = options.library_path.empty() ? nullptr : options.library_path.c_str();
      moe::check([&](moe_error* error) { return moe_library_open(&library, path, error); });
      api = library.api;
    }
    run_all(api, options, report, out);
  } catch (const std::exception& error) {
    report.failures.emplace_back(error.what());
  }
  moe_library_close(&library);
  finish(options, report, out);
  return report;
}

std::vector<std::string> case_names(bool long_run) {
  std::vector<std::string> names;
  for (const FixedCase& fixed : fixed_cases()) {
    if (long_run || !fixed.long_only) names.push_back(fixed.name);
  }
  for (const SpecialCase& special : special_cases()) {
    if (long_run || !special.long_only) names.push_back(special.name);
  }
  return names;
}

}  // namespace moe_conformance
