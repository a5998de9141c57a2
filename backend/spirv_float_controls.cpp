// SPDX-License-Identifier: MIT
//
// Numbers are of the SPIR-V specification and SPV_KHR_float_controls.
#include "backend/spirv_float_controls.h"

#include <cstring>
#include <string>

namespace moevk {
namespace {

constexpr uint32_t kOpExtension = 10, kOpEntryPoint = 15, kOpExecutionMode = 16, kOpCapability = 17;

struct Control {
  bool FloatControls::*asked;
  uint32_t capability, mode, bits;
};
constexpr Control kControls[] = {{&FloatControls::round_to_even, 4467, 4462, 32},
                                 {&FloatControls::keep_inf_nan, 4466, 4461, 32},
                                 {&FloatControls::keep_half_subnormals, 4464, 4459, 16}};
constexpr size_t kHeaderWords = 5;

void append(std::vector<uint32_t>* out, uint32_t op, std::initializer_list<uint32_t> operands) {
  out->push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | op);
  out->insert(out->end(), operands);
}

}  // namespace

std::vector<uint32_t> with_float_controls(const uint32_t* code, size_t words, const FloatControls& controls) {
  if (!controls.round_to_even && !controls.keep_inf_nan && !controls.keep_half_subnormals) return {code, code + words};
  std::vector<uint32_t> out(code, code + kHeaderWords);
  bool declared = false;
  for (size_t at = kHeaderWords; at < words;) {
    const uint32_t op = code[at] & 0xFFFF, length = code[at] >> 16;
    if (op != kOpCapability && !declared) {  // capabilities end here, extensions may begin
      declared = true;
      for (const Control& c : kControls) {
        if (controls.*c.asked) append(&out, kOpCapability, {c.capability});
      }
      const char name[24] = "SPV_KHR_float_controls";
      uint32_t text[6];
      std::memcpy(text, name, sizeof text);
      append(&out, kOpExtension, {text[0], text[1], text[2], text[3], text[4], text[5]});
    }
    out.insert(out.end(), code + at, code + at + length);
    if (op == kOpEntryPoint) {  // one in each of our modules; execution modes follow
      const uint32_t entry = code[at + 2];
      for (const Control& c : kControls) {
        if (controls.*c.asked) append(&out, kOpExecutionMode, {entry, c.mode, c.bits});
      }
    }
    at += length;
  }
  return out;
}

}  // namespace moevk
