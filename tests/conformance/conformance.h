// SPDX-License-Identifier: MIT
//
// The conformance suite. In: a library that speaks moe_plugin.h and the index of one of its
// devices. Out: a report, case by case. Every layer that the device runs is judged against the CPU
// reference device of the same library, and that reference against a plain float64 formula of this
// suite (oracle.h), so that the judge has a judge. Only the ABI headers are used: any host, and any
// driver, can be judged.
#ifndef MOE_TESTS_CONFORMANCE_CONFORMANCE_H_
#define MOE_TESTS_CONFORMANCE_CONFORMANCE_H_

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moe_conformance {

// Told to the host before each case; done == total after the last.
struct Progress {
  uint64_t done = 0;      // cases finished
  uint64_t total = 0;     // cases of this run
  uint64_t failed = 0;    // of the finished ones
  std::string case_name;  // the one that starts now; empty at the end
};

inline constexpr uint32_t kChooseDevice = 0xffffffffu;  // what choose_device says

struct Options {
  const moe_api* api = nullptr;                   // a loaded library, borrowed; NULL: library_path is loaded
  std::string library_path;                       // empty: as moe_library_open finds it
  uint32_t device = kChooseDevice;                // index as in get_device_info
  uint64_t seed = 1;                              // of the random layers
  uint32_t count = 500;                           // random layers 0..count-1, after the fixed cases
  std::optional<uint32_t> index;                  // run this random layer alone
  std::string case_name;                          // run this fixed case alone
  std::string without;                            // "a,b": leave out fixed cases with a or b in their name
  bool long_run = false;                          // larger layers, and the fixed cases that take long
  bool validation = false;                        // ask for MOE_INSTANCE_VALIDATION (MOEVK_VALIDATION works as well)
  bool verbose = false;                           // print a line for every case, not for failures only
  std::function<bool(const Progress&)> progress;  // may be empty; false: stop here
};

struct CaseResult {
  std::string name;                   // a fixed case's name, or "random"
  std::optional<uint32_t> index;      // of a random layer
  std::string description;            // the layer in one line
  std::vector<std::string> failures;  // what failed, with numbers; empty: passed
  std::string skipped;                // why the case was not run; empty: it was
  std::string rerun;                  // the command that runs this case alone
  uint64_t tokens = 0;                // tokens whose route the device computed
  uint64_t excluded_tokens = 0;       // of these, too close to a tie to ask for the same experts
  uint64_t rounded_tokens = 0;        // whose activations are rounded (precision)
  uint64_t uncertain_tokens = 0;      // of these, where f32 may round either way, and y is free by over 10 bounds
  double output_error = 0;            // max |y - y_ref| / what is allowed; above 1 fails
  double logit_error = 0;             // max |logit - float64 logit| / what is allowed
  double reference_error = 0;         // the reference against the oracle: max |y - y_oracle| / what is allowed
  double milliseconds = 0;
};

struct Report {
  moe_device_info device{};
  uint32_t device_index = 0;
  std::string build;      // of the library
  std::string caps_text;  // the device's facts as planning sees them
  uint64_t seed = 0;
  uint32_t count = 0;
  bool long_run = false;
  bool stopped = false;  // by the progress callback
  uint64_t validation_messages = 0;
  std::vector<CaseResult> cases;
  std::vector<std::string> failures;  // of the run as a whole: no device, too many excluded tokens, a leak

  uint64_t failed() const;     // cases
  uint64_t skipped() const;    // that did not fail
  uint64_t succeeded() const;  // neither failed nor skipped
  uint64_t tokens() const;
  uint64_t excluded_tokens() const;
  double excluded_share() const;  // of tokens()
  uint64_t rounded_tokens() const;
  uint64_t uncertain_tokens() const;
  bool passed() const;  // something passed, nothing failed, and the run was not stopped
};

// What may be left out of comparisons. Tokens of a layer come near a tie together (a sigmoid of large logits, say), so
// shares are judged in runs of at least so many random layers; in any other they are printed.
inline constexpr uint64_t kLayersForShares = 200;
inline constexpr double kMaxExcludedShare = 0.005;  // of tokens()
inline constexpr double kMaxUncertainShare = 0.25;  // of rounded_tokens()

// Runs the suite. Failures are printed to `out` as they come, a summary at the end. Throws nothing.
Report run(const Options& options, std::ostream& out);

// The report as one JSON object, meant to be pasted into an issue.
void write_json(const Report& report, std::ostream& out);

// Names for Options::case_name.
std::vector<std::string> case_names(bool long_run);

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_CONFORMANCE_H_
