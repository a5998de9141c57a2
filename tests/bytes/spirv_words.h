// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: those numbers of the SPIR-V specification that counting needs, and how an instruction is written.
// Why: count_accesses.cpp reads and makes modules by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace moe_bytes {

inline constexpr size_t kHeaderWords = 5;
inline constexpr uint32_t kInput = 1, kStorageBuffer = 12, kUniform = 2, kPhysicalStorageBuffer = 5349;
inline constexpr uint32_t kArrayStride = 6, kBlock = 2, kBuiltIn = 11, kBinding = 33, kDescriptorSet = 34, kOffset = 35;
inline constexpr uint32_t kSubgroupLocalInvocationId = 41;
inline constexpr uint32_t kScopeDevice = 1, kScopeSubgroup = 3;

enum Op : uint32_t {
  kName = 5,
  kExtension = 10,
  kMemoryModel = 14,
  kEntryPoint = 15,
  kCapability = 17,
  kTypeVoid = 19,
  kTypeBool = 20,
  kTypeInt = 21,
  kTypeFloat = 22,
  kTypeVector = 23,
  kTypeArray = 28,
  kTypeRuntimeArray = 29,
  kTypeStruct = 30,
  kTypePointer = 32,
  kTypeFunction = 33,
  kTypeLast = 39,
  kConstant = 43,
  kConstantComposite = 44,
  kFunction = 54,
  kFunctionParameter = 55,
  kFunctionEnd = 56,
  kFunctionCall = 57,
  kVariable = 59,
  kLoad = 61,
  kStore = 62,
  kCopyMemory = 63,
  kCopyMemorySized = 64,
  kAccessChain = 65,
  kInBoundsAccessChain = 66,
  kDecorate = 71,
  kMemberDecorate = 72,
  kCompositeExtract = 81,
  kBitcast = 124,
  kIAdd = 128,
  kIMul = 132,
  kLogicalAnd = 167,
  kSelect = 169,
  kIEqual = 170,
  kULessThan = 176,
  kShiftRightLogical = 194,
  kShiftLeftLogical = 196,
  kBitwiseAnd = 199,
  kAtomicFirst = 227,
  kAtomicIAdd = 234,
  kAtomicOr = 241,
  kAtomicLast = 242,
  kLabel = 248,
  kReturn = 253,
  kGroupNonUniformBroadcast = 337,
  kGroupNonUniformBallot = 339,
};

using Words = std::vector<uint32_t>;

inline void append(Words* out, uint32_t op, std::initializer_list<uint32_t> operands) {
  out->push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | op);
  out->insert(out->end(), operands);
}

}  // namespace moe_bytes
