// SPDX-License-Identifier: MIT
//
// Lines become labels and instructions; a branch back to an earlier label closes a loop; loops are ranges of lines.
#include "tests/vendor/inner_loop.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

namespace moevk::vendor {
namespace {

struct Line {
  std::string label;   // "BB3", "LABEL3", "l3"; then nothing else
  std::string op;      // "v_fma_f32", "mad", "mad.f32"
  std::string target;  // of a branch
  std::string text;
  uint32_t repeat = 1;
  uint32_t delay = 0;  // cycles that the instruction itself waits
};

bool starts(const std::string& text, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const char* p) { return text.starts_with(p); });
}
bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string last_word(const std::string& text) {
  const std::string t = trim(text);
  const size_t space = t.find_last_of(" \t#");
  return space == std::string::npos ? t : t.substr(space + 1);
}

// "BB3:" at the start of a line, but no word with a colon inside.
std::string label_in(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text.find_first_of(" \t(") < colon) return "";
  return text.substr(0, colon);
}

// ---- RADV: "v_fma_f32 v1, v2, v3, v1    ; d5130001 ..." ----------------------------------------

Line amd_line(const std::string& raw) {
  Line line;
  line.text = trim(raw.substr(0, raw.find(';')));
  line.label = label_in(line.text);
  if (!line.label.empty()) return line;
  line.op = line.text.substr(0, line.text.find_first_of(" \t"));
  if (starts(line.op, {"s_branch", "s_cbranch"})) line.target = last_word(line.text);
  return line;
}

uint32_t amd_multiply_adds(const std::string& op) {
  if (starts(op, {"v_wmma_"})) return 128;  // 16 x 16 x 16 by 32 invocations
  if (starts(op, {"v_pk_fma", "v_pk_fmac", "v_dot2"})) return 2;
  if (starts(op, {"v_dot4"})) return 4;
  return starts(op, {"v_fma_", "v_fmac_", "v_fmaak", "v_fmamk", "v_mac_", "v_mad_f", "v_mad_legacy", "v_dual_fmac",
                     "v_dual_fmaak", "v_dual_fmamk", "v_fma_mix"})
             ? 1
             : 0;
}

void amd_count(const Line& line, LoopCounts* counts) {
  uint32_t multiply_adds = amd_multiply_adds(line.op);
  if (const size_t second = line.text.find(":: "); second != std::string::npos) {  // two in one instruction
    multiply_adds += amd_multiply_adds(trim(line.text.substr(second + 3)));
  }
  counts->multiply_adds += multiply_adds;
  if (multiply_adds != 0) {
    ++counts->fma;
  } else if (starts(line.op, {"global_", "buffer_", "flat_", "scratch_", "s_load", "s_buffer_load"})) {
    ++counts->loads;
  } else if (starts(line.op, {"ds_"})) {
    ++counts->shared;
  } else if (starts(line.op, {"s_waitcnt", "s_wait_", "s_barrier", "s_nop", "s_delay_alu"})) {
    ++counts->waits;
  }
}

// ---- ANV: "mad(16)  g44<1>F  g10<8,8,1>F ...", a send's message on the next line ---------------------

Line intel_line(const std::string& raw) {
  Line line;
  line.text = trim(raw);
  line.label = label_in(line.text);
  if (!line.label.empty()) return line;
  std::string rest = line.text;
  if (rest.starts_with('(')) rest = trim(rest.substr(std::min(rest.find(')'), rest.size() - 1) + 1));  // predicate
  line.op = rest.substr(0, rest.find_first_of("( \t"));
  if (line.op == "while") {
    const size_t label = rest.find("LABEL");
    if (label != std::string::npos) line.target = rest.substr(label, rest.find_first_of(" \t", label) - label);
  }
  return line;
}

void intel_count(const Line& line, LoopCounts* counts) {
  if (starts(line.op, {"mad", "mac"})) {
    ++counts->multiply_adds;
    ++counts->fma;
  } else if (starts(line.op, {"dp4a"})) {
    counts->multiply_adds += 4;
    ++counts->fma;
  } else if (starts(line.op, {"dpas"})) {
    counts->multiply_adds += 128;  // 8 deep, 8 times, two halves a word
    ++counts->fma;
  } else if (starts(line.op, {"send"})) {
    // Before Xe-HPG shared memory is surface 254 of the data port.
    const bool shared = contains(line.text, " slm ") || contains(line.text, "Surface = 254");
    const bool gateway = contains(line.text, "gateway");
    ++(gateway ? counts->waits : shared ? counts->shared : counts->loads);
  } else if (starts(line.op, {"sync", "nop", "wait"})) {
    ++counts->waits;
  }
}

// ---- Turnip: "(sy)(rpt3)mad.f32 r0.x, ...", a repeated instruction issues several times ----------------

Line adreno_line(const std::string& raw) {
  Line line;
  line.text = trim(raw);
  line.label = label_in(line.text);
  if (!line.label.empty()) return line;
  std::string rest = line.text;
  while (rest.starts_with('(')) {
    const size_t close = std::min(rest.find(')'), rest.size() - 1);
    const std::string flag = rest.substr(1, close - 1);
    const auto number = [&] { return static_cast<uint32_t>(flag.back() - '0'); };
    if (flag.starts_with("rpt") && flag.size() == 4) line.repeat = number() + 1;
    if (flag.starts_with("nop") && flag.size() == 4) line.delay = number();
    rest = trim(rest.substr(close + 1));
  }
  line.op = rest.substr(0, rest.find_first_of(" \t"));
  if (starts(line.op, {"br", "jump", "b."}) && contains(rest, "#l")) line.target = last_word(rest);
  return line;
}

void adreno_count(const Line& line, LoopCounts* counts) {
  counts->waits += line.delay;
  counts->instructions += line.delay;
  if (starts(line.op, {"mad.f", "sad.f"})) {
    counts->multiply_adds += line.repeat;
    counts->fma += line.repeat;
  } else if (starts(line.op, {"dp4acc"})) {
    counts->multiply_adds += 4 * line.repeat;
    counts->fma += line.repeat;
  } else if (starts(line.op, {"ldl", "stl"})) {
    counts->shared += line.repeat;
  } else if (starts(line.op, {"ld", "st", "isam", "sam"})) {
    counts->loads += line.repeat;
  } else if (starts(line.op, {"nop", "bar", "fence"})) {
    counts->waits += line.repeat;
  }
}

// ---- all --------------------------------------------------------------------------------------

std::vector<Line> lines_of(Assembly assembly, const std::string& text) {
  std::vector<Line> lines;
  std::istringstream stream(text);
  for (std::string raw; std::getline(stream, raw);) {
    const std::string body = trim(raw);
    if (body.empty() || body[0] == ';') continue;
    if (assembly == Assembly::kIntel) {
      if (starts(body, {"START B", "END B"})) continue;
      if ((raw[0] == ' ' || raw[0] == '\t') && !lines.empty()) {
        lines.back().text += " " + body;
        continue;
      }
    }
    lines.push_back(assembly == Assembly::kAmd     ? amd_line(raw)
                    : assembly == Assembly::kIntel ? intel_line(raw)
                                                   : adreno_line(raw));
  }
  return lines;
}

LoopCounts count(Assembly assembly, const std::vector<Line>& lines, size_t first, size_t last) {
  LoopCounts counts;
  for (size_t i = first; i <= last; ++i) {
    const Line& line = lines[i];
    if (!line.label.empty()) continue;
    counts.instructions += line.repeat;
    switch (assembly) {
      case Assembly::kAmd: amd_count(line, &counts); break;
      case Assembly::kIntel: intel_count(line, &counts); break;
      case Assembly::kAdreno: adreno_count(line, &counts); break;
    }
  }
  return counts;
}

}  // namespace

std::optional<Assembly> assembly_of(const std::string& driver) {
  if (driver.starts_with("radv")) return Assembly::kAmd;
  if (driver.starts_with("Intel open-source Mesa driver")) return Assembly::kIntel;
  if (driver.starts_with("turnip")) return Assembly::kAdreno;
  return std::nullopt;
}

std::optional<LoopCounts> inner_loop(Assembly assembly, const std::string& text) {
  const std::vector<Line> lines = lines_of(assembly, text);
  std::map<std::string, size_t> labels;
  struct Loop {
    size_t first, last;
    LoopCounts counts;
  };
  std::vector<Loop> loops;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].label.empty()) labels[lines[i].label] = i;
    const auto target = labels.find(lines[i].target);
    if (!lines[i].target.empty() && target != labels.end()) {
      const LoopCounts counts = count(assembly, lines, target->second, i);
      if (counts.multiply_adds != 0) loops.push_back({target->second, i, counts});
    }
  }
  const auto reads = [](const Loop& loop) { return loop.counts.loads + loop.counts.shared != 0; };
  if (std::any_of(loops.begin(), loops.end(), reads)) {
    loops.erase(std::remove_if(loops.begin(), loops.end(), [&](const Loop& loop) { return !reads(loop); }),
                loops.end());
  }
  std::optional<LoopCounts> best;
  for (const Loop& loop : loops) {
    const bool innermost = std::none_of(loops.begin(), loops.end(), [&](const Loop& other) {
      return &other != &loop && other.first >= loop.first && other.last <= loop.last &&
             (other.first != loop.first || other.last != loop.last);
    });
    const auto rank = [](const LoopCounts& c) {
      return std::pair(std::min(c.multiply_adds, 4 * (c.loads + c.shared)), c.multiply_adds);
    };
    if (innermost && (!best.has_value() || rank(loop.counts) > rank(*best))) best = loop.counts;
  }
  return best;
}

}  // namespace moevk::vendor
