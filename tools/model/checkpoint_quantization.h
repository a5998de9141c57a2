// SPDX-License-Identifier: MIT
//
// In:  quantization_config of a checkpoint's config.json.
// Out: how the numbers of its matrices are packed; or a ParseError that names the field.
// Why: GPTQ, AWQ and compressed-tensors put integers, scales and zero points in the place of NAME.weight, each in an
//      order of its own. What is said here decides what the tensors' bits mean, so nothing unknown is passed over.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/model/result.h"

namespace moevk::model {

enum class Packing : uint32_t {
  none,       // plain numbers, fp8 or MXFP4, which the tensors' types tell
  gptq,       // qweight, qzeros, scales, g_idx
  awq,        // qweight, qzeros, scales
  compressed  // weight_packed, weight_scale, weight_zero_point, weight_shape: "pack-quantized"
};

struct CheckpointQuantization {
  Packing packing = Packing::none;
  uint32_t bits = 4;            // 2, 4 or 8
  uint32_t group = 0;           // inputs that share a scale; 0: all of a row
  bool symmetric = false;       // the zero point is 2^(bits - 1) everywhere
  bool zeros_less_one = false;  // GPTQ's first checkpoint format stores zero points less 1
  bool act_order = false;       // groups may be of inputs that are not neighbours: g_idx tells

  // "GPTQ int4 in groups of 128"; empty where nothing is packed.
  std::string text() const;
};

// `config` is config.json, an object.
Result<CheckpointQuantization> read_quantization(const nlohmann::json& config);

// Bits of a packed number, 0 where none are packed or the field cannot be read: for counting parameters alone.
uint32_t packed_bits(const nlohmann::json& config);

}  // namespace moevk::model
