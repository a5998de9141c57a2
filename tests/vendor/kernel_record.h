// SPDX-License-Identifier: MIT
//
// What is kept of a compiled kernel, one line of text each, and what counts as worse. In: records of now and the
// file of before (tests/devices/stats/NAME.txt). Out: one sentence for each thing that got worse.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/status.h"

namespace moevk::vendor {

// Facts by name, in the order of the line. Counts are whole; of the innermost loop, instructions are per multiply-add.
struct KernelRecord {
  std::string name;  // kernel{CONSTANT=value,...}
  std::vector<std::pair<std::string, double>> facts;

  const double* find(const std::string& fact) const;
};

std::string record_text(const KernelRecord& record);  // without a newline
// Lines that begin with # are comments.
Result<std::vector<KernelRecord>> records_from_text(const std::string& text);

// Spills; fewer subgroups at a time, or narrower ones; more instructions per multiply-add in the innermost loop; and
// where a driver tells nothing else, larger code. Also records without a line, and lines without a record.
std::vector<std::string> worse(const std::vector<KernelRecord>& now, const std::vector<KernelRecord>& before);

}  // namespace moevk::vendor
