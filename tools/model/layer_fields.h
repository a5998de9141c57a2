// SPDX-License-Identifier: MIT
//
// In:  a layer's descriptor, or the name of one of its fields with a value in words.
// Out: its fields by name, with their values in words; or the field, set.
// Why: a preset is shown, and a test vector written, in the words of moe_layer_desc. One table has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_api/moe_plugin.h"

namespace moevk::model {

enum class FieldKind {
  kNumber,  // uint32_t
  kReal,    // float
  kWord,    // uint32_t with a constant's name; zero means that it is not used
  kChoice,  // likewise; zero is a choice
  kFlags,   // uint32_t of bits
  kFormat,  // moe_weight_format, of which the element alone is told
};

struct LayerField {
  const char* name;  // of the descriptor: "routed_scale"
  FieldKind kind;
  size_t offset;                            // in moe_layer_desc
  std::span<const char* const> words = {};  // constants' names without prefix, in small letters; of flags: bit 0 first
};

// In the order of moe_layer_desc.
std::span<const LayerField> layer_fields();
// Null where there is no such name.
const LayerField* find_layer_field(std::string_view name);

// A number, or the words; "" of flags that are all clear.
std::string field_value(const LayerField& field, const moe_layer_desc& desc);

// Both return what is wrong with the value, or an empty string. `words` is one word, or the flags.
std::string set_field(const LayerField& field, double number, moe_layer_desc& desc);
std::string set_field(const LayerField& field, const std::vector<std::string>& words, moe_layer_desc& desc);

struct FieldText {
  std::string name;
  std::string value;
};

// The fields that are not zero, and those whose zero is a choice: where routes come from, score, weight,
// normalisation, activation.
std::vector<FieldText> set_fields(const moe_layer_desc& desc);

}  // namespace moevk::model
