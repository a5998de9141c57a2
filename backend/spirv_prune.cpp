// SPDX-License-Identifier: MIT
//
// Numbers are of the SPIR-V specification. Values are propagated through integer and boolean instructions and phis until
// nothing changes; a block is kept if it can still be reached, or if a structured branch that stays names it.
#include "backend/spirv_prune.h"

#include <map>
#include <optional>
#include <set>

namespace moevk {
namespace {

constexpr size_t kHeaderWords = 5;
constexpr uint32_t kDecorationSpecId = 1;

enum Op : uint32_t {
  kName = 5,
  kConstantTrue = 41,
  kConstantFalse = 42,
  kConstant = 43,
  kSpecConstantTrue = 48,
  kSpecConstantFalse = 49,
  kSpecConstant = 50,
  kSpecConstantOp = 52,
  kFunction = 54,
  kFunctionEnd = 56,
  kDecorate = 71,
  kLogicalOr = 166,
  kLogicalAnd = 167,
  kLogicalNot = 168,
  kSelect = 169,
  kPhi = 245,
  kLoopMerge = 246,
  kSelectionMerge = 247,
  kLabel = 248,
  kBranch = 249,
  kBranchConditional = 250,
  kSwitch = 251,
  kUnreachable = 255,
};

struct Instruction {
  uint32_t op = 0;
  const uint32_t* words = nullptr;  // the first says op and length
  uint32_t length = 0;
};

using Edge = std::pair<uint32_t, uint32_t>;  // from one label to another

struct Block {
  uint32_t label = 0;
  std::vector<Instruction> body;  // without the label; the terminator last
  std::vector<uint32_t> targets;  // that can still be reached
};

class Pruner {
 public:
  Pruner(const uint32_t* code, size_t words, const uint32_t* constants, size_t count)
      : code_(code), words_(words), constants_(constants), count_(count) {}

  std::vector<uint32_t> run() {
    if (words_ < kHeaderWords) return original();
    for (size_t at = kHeaderWords; at < words_;) {
      const uint32_t length = code_[at] >> 16;
      if (length == 0 || at + length > words_) return original();
      all_.push_back({code_[at] & 0xFFFF, code_ + at, length});
      at += length;
    }
    global_values();
    std::vector<uint32_t> functions;
    for (size_t i = first_function_; i < all_.size();) {
      if (all_[i].op != kFunction) return original();
      std::vector<Instruction> head;
      blocks_.clear();
      for (; i < all_.size() && all_[i].op != kFunctionEnd; ++i) {
        if (all_[i].op == kLabel) {
          blocks_.push_back({all_[i].words[1], {}, {}});
        } else {
          (blocks_.empty() ? head : blocks_.back().body).push_back(all_[i]);
        }
      }
      if (i == all_.size() || !well_formed()) return original();
      for (const Instruction& one : head) append(&functions, one);
      settle();
      if (!write_blocks(&functions)) return original();
      append(&functions, all_[i++]);
    }
    std::vector<uint32_t> out(code_, code_ + kHeaderWords);
    for (size_t i = 0; i < first_function_; ++i) {  // names and decorations of what is gone
      const Instruction& one = all_[i];
      if ((one.op == kName || one.op == kDecorate) && gone_.count(one.words[1]) != 0) continue;
      append(&out, one);
    }
    out.insert(out.end(), functions.begin(), functions.end());
    return out;
  }

 private:
  // Every block ends in a branch, a switch or a return, and leads to labels of this function.
  bool well_formed() const {
    std::set<uint32_t> labels;
    for (const Block& block : blocks_) labels.insert(block.label);
    for (const Block& block : blocks_) {
      if (block.body.empty()) return false;
      for (const uint32_t target : targets_of(block.body.back())) {
        if (labels.count(target) == 0) return false;
      }
    }
    return !blocks_.empty();
  }

  std::vector<uint32_t> original() const { return {code_, code_ + words_}; }

  static void append(std::vector<uint32_t>* out, const Instruction& one) {
    out->insert(out->end(), one.words, one.words + one.length);
  }

  std::optional<uint32_t> value(uint32_t id) const {
    const auto found = values_.find(id);
    return found == values_.end() ? std::nullopt : std::optional<uint32_t>(found->second);
  }

  std::optional<uint32_t> specialized(uint32_t id) const {
    const auto found = spec_ids_.find(id);
    if (found == spec_ids_.end() || found->second >= count_) return std::nullopt;
    return constants_[found->second];
  }

  void global_values() {
    for (first_function_ = 0; first_function_ < all_.size(); ++first_function_) {
      const Instruction& one = all_[first_function_];
      const uint32_t* w = one.words;
      if (one.op == kFunction) return;
      if (one.op == kDecorate && one.length == 4 && w[2] == kDecorationSpecId) spec_ids_[w[1]] = w[3];
      std::optional<uint32_t> known;
      if (one.op == kConstantTrue || one.op == kConstantFalse) known = one.op == kConstantTrue ? 1 : 0;
      if (one.op == kConstant && one.length == 4) known = w[3];
      if (one.op == kSpecConstant && one.length == 4) known = specialized(w[2]).value_or(w[3]);
      if (one.op == kSpecConstantTrue || one.op == kSpecConstantFalse) {
        known = specialized(w[2]).value_or(one.op == kSpecConstantTrue ? 1 : 0) != 0 ? 1 : 0;
      }
      if (one.op == kSpecConstantOp && one.length >= 4) known = result(w[3], w + 4, one.length - 4);
      if (known) values_[w[2]] = *known;
    }
  }

  // Of an instruction with these operands, if it can be told.
  std::optional<uint32_t> result(uint32_t op, const uint32_t* operands, uint32_t count) const {
    const auto operand = [&](uint32_t i) { return i < count ? value(operands[i]) : std::nullopt; };
    const std::optional<uint32_t> a = operand(0), b = operand(1);
    switch (op) {  // known by one operand
      case kLogicalOr:
        return a == 1u || b == 1u ? std::optional<uint32_t>(1) : a && b ? std::optional(*a | *b) : std::nullopt;
      case kLogicalAnd:
        return a == 0u || b == 0u ? std::optional<uint32_t>(0) : a && b ? std::optional(*a & *b) : std::nullopt;
      case kLogicalNot: return a ? std::optional(*a ^ 1) : std::nullopt;
      case kSelect: return a ? (*a != 0 ? b : operand(2)) : b && b == operand(2) ? b : std::nullopt;
      default: break;
    }
    if (!a || !b) return std::nullopt;
    switch (op) {
      case 128: return *a + *b;
      case 130: return *a - *b;
      case 132: return *a * *b;
      case 134: return *b != 0 ? std::optional(*a / *b) : std::nullopt;
      case 137: return *b != 0 ? std::optional(*a % *b) : std::nullopt;
      case 164:  // LogicalEqual
      case 170: return *a == *b ? 1 : 0;
      case 165:  // LogicalNotEqual
      case 171: return *a != *b ? 1 : 0;
      case 172: return *a > *b ? 1 : 0;  // unsigned comparisons
      case 174: return *a >= *b ? 1 : 0;
      case 176: return *a < *b ? 1 : 0;
      case 178: return *a <= *b ? 1 : 0;
      default: return std::nullopt;
    }
  }

  // The labels that a block's terminator may go to.
  std::vector<uint32_t> targets_of(const Instruction& last) const {
    const uint32_t* w = last.words;
    if (last.op == kBranch) return {w[1]};
    if (last.op == kBranchConditional) {
      const std::optional<uint32_t> known = value(w[1]);
      if (known) return {*known != 0 ? w[2] : w[3]};
      return {w[2], w[3]};
    }
    std::vector<uint32_t> targets;
    if (last.op != kSwitch) return targets;
    // All: a switch is what blocks inside it may leave for its merge block, with however few cases.
    targets.push_back(w[2]);
    for (uint32_t i = 3; i + 1 < last.length; i += 2) targets.push_back(w[i + 1]);
    return targets;
  }

  // Nothing is assumed that may turn out wrong: an edge is there until a known condition rules it out.
  void settle() {
    for (Block& block : blocks_) block.targets = targets_of(block.body.back());
    for (bool changed = true; changed;) {
      find_edges();
      changed = false;
      for (const Block& block : blocks_) {
        if (reached_.count(block.label) == 0) continue;
        for (const Instruction& one : block.body) {
          if (one.length < 4 || values_.count(one.words[2]) != 0) continue;
          const std::optional<uint32_t> known =
              one.op == kPhi ? phi(one, block.label) : result(one.op, one.words + 3, one.length - 3);
          if (known) values_[one.words[2]] = *known;
        }
      }
      for (Block& block : blocks_) {
        std::vector<uint32_t> targets = targets_of(block.body.back());
        if (targets == block.targets) continue;
        block.targets = std::move(targets);
        changed = true;
      }
    }
  }

  std::optional<uint32_t> phi(const Instruction& one, uint32_t label) const {
    std::optional<uint32_t> all;
    for (uint32_t i = 3; i + 1 < one.length; i += 2) {
      if (edges_.count({one.words[i + 1], label}) == 0) continue;
      const std::optional<uint32_t> incoming = value(one.words[i]);
      if (!incoming || (all && all != incoming)) return std::nullopt;
      all = incoming;
    }
    return all;
  }

  void find_edges() {
    std::map<uint32_t, const Block*> by_label;
    for (const Block& block : blocks_) by_label[block.label] = &block;
    reached_ = {blocks_.front().label};
    edges_.clear();
    std::vector<uint32_t> open = {blocks_.front().label};
    while (!open.empty()) {
      const uint32_t label = open.back();
      open.pop_back();
      for (const uint32_t target : by_label[label]->targets) {
        edges_.insert({label, target});
        if (reached_.insert(target).second) open.push_back(target);
      }
    }
  }

  bool write_blocks(std::vector<uint32_t>* out) {
    std::set<uint32_t> named;  // merge blocks of what stays structured
    for (const Block& block : blocks_) {
      if (reached_.count(block.label) == 0) continue;
      const Instruction* merge = block.body.size() > 1 ? &block.body[block.body.size() - 2] : nullptr;
      if (merge == nullptr) continue;
      if (merge->op == kLoopMerge && reached_.count(merge->words[2]) == 0) return false;  // no way back: left alone
      if (merge->op == kLoopMerge || (merge->op == kSelectionMerge && !decided(block))) named.insert(merge->words[1]);
    }
    for (const Block& block : blocks_) {
      const bool reached = reached_.count(block.label) != 0;
      if (!reached) {
        for (const Instruction& one : block.body) {
          if (has_result(one.op)) gone_.insert(one.words[2]);
        }
        if (named.count(block.label) == 0) {
          gone_.insert(block.label);
          continue;
        }
      }
      out->insert(out->end(), {2u << 16 | kLabel, block.label});
      if (!reached) {
        out->push_back(1u << 16 | kUnreachable);
        continue;
      }
      write_body(block, out);
    }
    return true;
  }

  // Of the instructions that may stand in a function.
  static bool has_result(uint32_t op) {
    static const std::set<uint32_t> without = {
        0,   8,   62,  63,  64,  kLoopMerge, kSelectionMerge, kBranch, kSwitch,
        224, 225, 228, 252, 253, 254,        kUnreachable,    317,     kBranchConditional};
    return without.count(op) == 0;
  }

  static bool decided(const Block& block) {
    const Instruction& last = block.body.back();
    return last.op == kBranchConditional && block.targets.size() == 1;
  }

  void write_body(const Block& block, std::vector<uint32_t>* out) const {
    for (const Instruction& one : block.body) {
      if (one.op == kSelectionMerge && decided(block)) continue;
      if (&one == &block.body.back() && decided(block)) {
        out->insert(out->end(), {2u << 16 | kBranch, block.targets[0]});
      } else if (one.op == kPhi) {
        const size_t at = out->size();
        out->insert(out->end(), one.words, one.words + 3);
        for (uint32_t i = 3; i + 1 < one.length; i += 2) {
          if (edges_.count({one.words[i + 1], block.label}) == 0) continue;
          out->insert(out->end(), {one.words[i], one.words[i + 1]});
        }
        (*out)[at] = static_cast<uint32_t>(out->size() - at) << 16 | kPhi;
      } else {
        append(out, one);
      }
    }
  }

  const uint32_t* code_;
  size_t words_;
  const uint32_t* constants_;
  size_t count_;
  std::vector<Instruction> all_;
  size_t first_function_ = 0;
  std::map<uint32_t, uint32_t> spec_ids_;  // id -> SpecId
  std::map<uint32_t, uint32_t> values_;    // id -> integer, or 0 and 1
  std::vector<Block> blocks_;              // of the function at hand
  std::set<uint32_t> reached_;
  std::set<Edge> edges_;
  std::set<uint32_t> gone_;  // ids that were defined in blocks that are left out
};

}  // namespace

std::vector<uint32_t> prune_spirv(const uint32_t* code, size_t words, const uint32_t* constants, size_t count) {
  return Pruner(code, words, constants, count).run();
}

}  // namespace moevk
