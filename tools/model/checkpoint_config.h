// SPDX-License-Identifier: MIT
//
// In:  config.json of a checkpoint.
// Out: its fields as the types that presets take.
// Why: a family's function asks for one field after another; the first that is missing or wrong is kept as the error,
//      so that nobody has to look after each.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/model/result.h"

namespace moevk::model {

class CheckpointConfig {
 public:
  explicit CheckpointConfig(const nlohmann::json& object) : object_(object) {}

  bool has(const char* key) const;  // there, and not null
  // From `least` to 2^31 - 1. A list of equal numbers, one a layer, is that number.
  uint32_t size(const char* key, uint32_t least = 1);
  uint32_t size_or(const char* key, uint32_t otherwise);  // from 0
  float number_or(const char* key, float otherwise);      // finite
  bool flag_or(const char* key, bool otherwise);
  std::string word_or(const char* key, const char* otherwise);
  // What the family does anyway, or an error; absent is right.
  void must_be(const char* key, std::initializer_list<const char*> words);
  void must_be(const char* key, bool flag);

  void fail(const std::string& key, std::string message);
  bool ok() const { return error_.message.empty(); }
  const ParseError& error() const { return error_; }  // the first

 private:
  const nlohmann::json& object_;
  ParseError error_;
};

}  // namespace moevk::model
