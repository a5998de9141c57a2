// SPDX-License-Identifier: MIT
//
// Totals of a report, and the report as JSON: what a device is, what was run, what failed and how
// to run it again. Written for people who paste it into an issue, and for whoever reads it there.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <ostream>

#include "tests/conformance/conformance.h"
#include "tests/conformance/family_twins.h"
#include "tools/model/device_kind_name.h"
#include "tools/model/json_text.h"

namespace moe_conformance {

uint64_t Report::failed() const {
  return static_cast<uint64_t>(
      std::count_if(cases.begin(), cases.end(), [](const CaseResult& c) { return !c.failures.empty(); }));
}
uint64_t Report::skipped() const {
  return static_cast<uint64_t>(std::count_if(
      cases.begin(), cases.end(), [](const CaseResult& c) { return !c.skipped.empty() && c.failures.empty(); }));
}
uint64_t Report::succeeded() const { return cases.size() - failed() - skipped(); }
uint64_t Report::tokens() const {
  return std::accumulate(cases.begin(), cases.end(), uint64_t{0},
                         [](uint64_t sum, const CaseResult& c) { return sum + c.tokens; });
}
uint64_t Report::excluded_tokens() const {
  return std::accumulate(cases.begin(), cases.end(), uint64_t{0},
                         [](uint64_t sum, const CaseResult& c) { return sum + c.excluded_tokens; });
}
uint64_t Report::rounded_tokens() const {
  return std::accumulate(cases.begin(), cases.end(), uint64_t{0},
                         [](uint64_t sum, const CaseResult& c) { return sum + c.rounded_tokens; });
}
uint64_t Report::uncertain_tokens() const {
  return std::accumulate(cases.begin(), cases.end(), uint64_t{0},
                         [](uint64_t sum, const CaseResult& c) { return sum + c.uncertain_tokens; });
}
double Report::excluded_share() const {
  return tokens() == 0 ? 0 : static_cast<double>(excluded_tokens()) / static_cast<double>(tokens());
}
bool Report::passed() const { return failures.empty() && failed() == 0 && !stopped && succeeded() > 0; }

namespace {

void write_string(std::ostream& out, const std::string& text) { out << moevk::model::json_string(text); }

void write_strings(std::ostream& out, const std::vector<std::string>& texts) {
  out << '[';
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i != 0) out << ", ";
    write_string(out, texts[i]);
  }
  out << ']';
}

void write_number(std::ostream& out, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", std::isfinite(value) ? value : -1.0);
  out << text;
}

void write_uuid(std::ostream& out, const uint8_t (&uuid)[16]) {
  out << '"';
  for (const uint8_t byte : uuid) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    out << digits;
  }
  out << '"';
}

void write_device(const Report& report, std::ostream& out) {
  const moe_device_info& d = report.device;
  out << "  \"device\": {\n    \"index\": " << report.device_index << ",\n    \"kind\": \""
      << moevk::model::device_kind_name(d.kind) << "\",\n    \"name\": ";
  write_string(out, d.name);
  out << ",\n    \"driver\": ";
  write_string(out, d.driver);
  out << ",\n    \"vulkan\": \"" << (d.vulkan_version >> 22 & 0x7f) << '.' << (d.vulkan_version >> 12 & 0x3ff) << '.'
      << (d.vulkan_version & 0xfff) << "\",\n    \"vendor_id\": " << d.vendor_id
      << ",\n    \"device_id\": " << d.device_id << ",\n    \"device_uuid\": ";
  write_uuid(out, d.device_uuid);
  out << ",\n    \"driver_uuid\": ";
  write_uuid(out, d.driver_uuid);
  out << ",\n    \"memory_bytes\": " << d.memory_bytes << "\n  },\n  \"caps\": ";
  write_string(out, report.caps_text);
  out << ",\n";
}

void write_case(const CaseResult& c, std::ostream& out) {
  out << "    {\"name\": ";
  write_string(out, c.name);
  if (c.index.has_value()) out << ", \"index\": " << *c.index;
  out << ", \"layer\": ";
  write_string(out, c.description);
  if (!c.skipped.empty()) {
    out << ", \"skipped\": ";
    write_string(out, c.skipped);
  }
  if (!c.failures.empty()) {
    out << ", \"failures\": ";
    write_strings(out, c.failures);
    out << ", \"rerun\": ";
    write_string(out, c.rerun);
  }
  out << ", \"output_error\": ";
  write_number(out, c.output_error);
  out << ", \"logit_error\": ";
  write_number(out, c.logit_error);
  out << '}';
}

// Of the families whose twins were run, one a line: scripts/family-table reads them.
void write_families(const Report& report, std::ostream& out) {
  out << ",\n  \"families\": [";
  const char* separator = "\n";
  for (const FamilyTwin& family : families()) {
    const std::string name = std::string("family_") + family.twin;
    const auto result =
        std::find_if(report.cases.begin(), report.cases.end(), [&](const CaseResult& c) { return c.name == name; });
    if (result == report.cases.end()) continue;
    const char* const verdict = !result->failures.empty() ? "fail" : !result->skipped.empty() ? "skip" : "pass";
    out << separator << "    {\"family\": ";
    separator = ",\n";
    write_string(out, family.family);
    out << ", \"case\": ";
    write_string(out, name);
    out << ", \"result\": \"" << verdict << "\", \"output_error\": ";
    write_number(out, result->output_error);
    if (family.lacks != nullptr) {
      out << ", \"lacks\": ";
      write_string(out, family.lacks);
    }
    out << '}';
  }
  out << (*separator == ',' ? "\n  ]" : "]");
}

}  // namespace

void write_json(const Report& report, std::ostream& out) {
  double output = 0, logit = 0, reference = 0, milliseconds = 0;
  for (const CaseResult& c : report.cases) {
    output = std::max(output, c.output_error);
    logit = std::max(logit, c.logit_error);
    reference = std::max(reference, c.reference_error);
    milliseconds += c.milliseconds;
  }
  out << "{\n  \"report\": \"moevk conformance\",\n  \"passed\": " << (report.passed() ? "true" : "false")
      << ",\n  \"build\": ";
  write_string(out, report.build);
  out << ",\n";
  write_device(report, out);
  out << "  \"seed\": " << report.seed << ",\n  \"count\": " << report.count
      << ",\n  \"long\": " << (report.long_run ? "true" : "false")
      << ",\n  \"stopped\": " << (report.stopped ? "true" : "false") << ",\n  \"cases\": " << report.cases.size()
      << ",\n  \"failed\": " << report.failed() << ",\n  \"skipped\": " << report.skipped()
      << ",\n  \"tokens\": " << report.tokens() << ",\n  \"excluded_tokens\": " << report.excluded_tokens()
      << ",\n  \"excluded_share\": ";
  write_number(out, report.excluded_share());
  out << ",\n  \"largest_output_error_over_bound\": ";
  write_number(out, output);
  out << ",\n  \"largest_logit_error_over_bound\": ";
  write_number(out, logit);
  out << ",\n  \"largest_reference_error_over_bound\": ";
  write_number(out, reference);
  out << ",\n  \"validation_messages\": " << report.validation_messages << ",\n  \"seconds\": ";
  write_number(out, milliseconds / 1000);
  out << ",\n  \"failures\": ";
  write_strings(out, report.failures);
  write_families(report, out);
  // Only what needs a reader: cases that passed are in the totals.
  out << ",\n  \"unusual_cases\": [";
  bool first = true;
  for (const CaseResult& c : report.cases) {
    if (c.failures.empty() && c.skipped.empty()) continue;
    out << (first ? "\n" : ",\n");
    first = false;
    write_case(c, out);
  }
  out << (first ? "]\n}\n" : "\n  ]\n}\n");
}

}  // namespace moe_conformance
