// SPDX-License-Identifier: MIT
//
// A reader of just the instructions named below; numbers are of the SPIR-V specification. Shared
// memory of a size that it cannot work out throws, so that a new kernel cannot pass unread.
#include "tests/unit/spirv_module.h"

#include <optional>
#include <stdexcept>
#include <string>

namespace moevk::unit {
namespace {

enum Op : uint32_t {
  kTypeInt = 21,
  kTypeFloat = 22,
  kTypeVector = 23,
  kTypeArray = 28,
  kTypePointer = 32,
  kConstantTrue = 41,
  kConstantFalse = 42,
  kConstant = 43,
  kSpecConstantTrue = 48,
  kSpecConstantFalse = 49,
  kSpecConstant = 50,
  kSpecConstantOp = 52,
  kVariable = 59,
  kDecorate = 71,
  kIAdd = 128,
  kISub = 130,
  kIMul = 132,
  kUDiv = 134,
  kUMod = 137,
  kLogicalOr = 166,
  kLogicalAnd = 167,
  kLogicalNot = 168,
  kSelect = 169,
  kIEqual = 170,
  kINotEqual = 171,
  kUGreaterThan = 172,
  kUGreaterThanEqual = 174,
  kULessThan = 176,
  kULessThanEqual = 178,
};
constexpr uint32_t kSpecId = 1, kNonWritable = 24, kNonReadable = 25, kBinding = 33, kDescriptorSet = 34;
constexpr uint32_t kStorageWorkgroup = 4;
constexpr size_t kHeaderWords = 5;

// Nothing for an operation that no array size has needed so far.
std::optional<uint32_t> evaluate(const std::vector<uint32_t>& o, const std::map<uint32_t, uint32_t>& values) {
  for (size_t i = 3; i < o.size(); ++i) {
    if (values.count(o[i]) == 0) return std::nullopt;
  }
  const auto value = [&](size_t i) { return values.at(o.at(i)); };
  switch (o.at(2)) {
    case kIAdd: return value(3) + value(4);
    case kISub: return value(3) - value(4);
    case kIMul: return value(3) * value(4);
    case kUDiv: return value(3) / value(4);
    case kUMod: return value(3) % value(4);
    case kLogicalOr: return value(3) | value(4);
    case kLogicalAnd: return value(3) & value(4);
    case kLogicalNot: return 1 - value(3);
    case kSelect: return value(3) != 0 ? value(4) : value(5);
    case kIEqual: return value(3) == value(4);
    case kINotEqual: return value(3) != value(4);
    case kUGreaterThan: return value(3) > value(4);
    case kUGreaterThanEqual: return value(3) >= value(4);
    case kULessThan: return value(3) < value(4);
    case kULessThanEqual: return value(3) <= value(4);
    default: return std::nullopt;
  }
}

}  // namespace

SpirvModule::SpirvModule(const uint32_t* code, size_t words) {
  for (size_t at = kHeaderWords; at < words;) {
    const size_t length = code[at] >> 16;
    if (length == 0 || length > words - at) throw std::runtime_error("an instruction beyond the module's end");
    SpirvInstruction one;
    one.op = code[at] & 0xFFFF;
    one.operands.assign(code + at + 1, code + at + length);
    if (one.op >= 19 && one.op <= kTypePointer) types_[one.operands.at(0)] = one;
    instructions_.push_back(std::move(one));
    at += length;
  }
}

SpirvModule SpirvModule::of(KernelId kernel, size_t variant) {
  const KernelInfo& info = kKernels[static_cast<size_t>(kernel)];
  return {info.code[variant], info.words[variant]};
}

std::map<uint32_t, SpirvBinding> SpirvModule::bindings(uint32_t set) const {
  std::map<uint32_t, uint32_t> binding, in_set;
  std::map<uint32_t, SpirvBinding> access;
  for (const SpirvInstruction& i : instructions_) {
    if (i.op != kDecorate) continue;
    const uint32_t id = i.operands[0];
    if (i.operands[1] == kBinding) binding[id] = i.operands[2];
    if (i.operands[1] == kDescriptorSet) in_set[id] = i.operands[2];
    if (i.operands[1] == kNonWritable) access[id].writes = false;
    if (i.operands[1] == kNonReadable) access[id].reads = false;
  }
  std::map<uint32_t, SpirvBinding> out;
  for (const auto& [id, number] : binding) {
    if (in_set.at(id) == set) out[number] = access[id];
  }
  return out;
}

std::set<uint32_t> SpirvModule::constant_ids() const {
  std::set<uint32_t> ids;
  for (const SpirvInstruction& i : instructions_) {
    if (i.op == kDecorate && i.operands[1] == kSpecId) ids.insert(i.operands[2]);
  }
  return ids;
}

uint64_t SpirvModule::type_bytes(uint32_t type, const std::map<uint32_t, uint32_t>& values) const {
  const SpirvInstruction& t = types_.at(type);
  switch (t.op) {
    case kTypeInt:
    case kTypeFloat: return t.operands[1] / 8;
    case kTypeVector: return type_bytes(t.operands[1], values) * t.operands[2];
    case kTypeArray:
      if (values.count(t.operands[2]) == 0)
        throw std::runtime_error("an array of shared memory whose size is not understood");
      return type_bytes(t.operands[1], values) * values.at(t.operands[2]);
    default: throw std::runtime_error("shared memory of a type with opcode " + std::to_string(t.op));
  }
}

uint64_t SpirvModule::shared_bytes(const uint32_t* constants, size_t count) const {
  std::map<uint32_t, uint32_t> spec_id, values;
  uint64_t total = 0;
  for (const SpirvInstruction& i : instructions_) {
    const std::vector<uint32_t>& o = i.operands;
    switch (i.op) {
      case kDecorate:
        if (o[1] == kSpecId) spec_id[o[0]] = o[2];
        break;
      case kConstantTrue:
      case kSpecConstantTrue: values[o[1]] = 1; break;
      case kConstantFalse:
      case kSpecConstantFalse: values[o[1]] = 0; break;
      case kConstant: values[o[1]] = o[2]; break;
      case kSpecConstant:
        values[o[1]] = spec_id.count(o[1]) != 0 && spec_id[o[1]] < count ? constants[spec_id[o[1]]] : o[2];
        break;
      case kSpecConstantOp:
        if (const std::optional<uint32_t> value = evaluate(o, values)) values[o[1]] = *value;
        break;
      case kVariable:
        if (o[2] == kStorageWorkgroup) total += type_bytes(types_.at(o[0]).operands[2], values);
        break;
      default: break;
    }
  }
  return total;
}

}  // namespace moevk::unit
