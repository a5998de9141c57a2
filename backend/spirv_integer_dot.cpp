// SPDX-License-Identifier: MIT
//
// Numbers are of the SPIR-V specification and SPV_KHR_integer_dot_product.
#include "backend/spirv_integer_dot.h"

#include <cstring>

namespace moevk {
namespace {

constexpr size_t kHeaderWords = 5;
constexpr uint32_t kOpExtension = 10, kOpCapability = 17;
constexpr uint32_t kFirstDot = 4450, kLastDot = 4455;  // OpSDot .. OpSUDotAccSat
constexpr uint32_t kFirstCapability = 6016, kLastCapability = 6019;
constexpr char kExtension[] = "SPV_KHR_integer_dot_product";

bool declares_dots(const uint32_t* instruction) {
  const uint32_t op = *instruction & 0xFFFF, length = *instruction >> 16;
  if (op == kOpCapability) return instruction[1] >= kFirstCapability && instruction[1] <= kLastCapability;
  if (op != kOpExtension || (length - 1) * 4 < sizeof kExtension) return false;
  return std::memcmp(instruction + 1, kExtension, sizeof kExtension) == 0;
}

}  // namespace

std::vector<uint32_t> without_unused_dots(std::vector<uint32_t> code) {
  for (size_t at = kHeaderWords; at < code.size(); at += code[at] >> 16) {
    const uint32_t op = code[at] & 0xFFFF;
    if (op >= kFirstDot && op <= kLastDot) return code;
  }
  std::vector<uint32_t> out(code.begin(), code.begin() + kHeaderWords);
  for (size_t at = kHeaderWords; at < code.size(); at += code[at] >> 16) {
    const auto begin = code.begin() + static_cast<std::ptrdiff_t>(at);
    if (!declares_dots(&*begin)) out.insert(out.end(), begin, begin + (code[at] >> 16));
  }
  return out;
}

}  // namespace moevk
