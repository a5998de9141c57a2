// SPDX-License-Identifier: MIT
//
// In:  config.json of a checkpoint.
// Out: its fields (see checkpoint_config.h).
// Why: every value is checked for type and range before it becomes a size.
#include "tools/model/checkpoint_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/model/tensor_store.h"

namespace moevk::model {
namespace {

std::string shown(const nlohmann::json& value) {
  return value.is_structured() ? std::string("a JSON ") + value.type_name()
                               : printable(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

bool CheckpointConfig::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

void CheckpointConfig::fail(const std::string& key, std::string message) {
  if (ok()) error_ = {0, "config.json: " + key, std::move(message)};
}

uint32_t CheckpointConfig::size(const char* key, uint32_t least) {
  if (!has(key)) {
    fail(key, "is missing");
    return 0;
  }
  const nlohmann::json& found = *object_.find(key);
  const bool is_list = found.is_array() && !found.empty();
  const nlohmann::json& value = is_list ? found[0] : found;
  for (size_t i = 1; is_list && i < found.size(); ++i) {
    if (found[i] != value) {
      fail(key, "differs from layer to layer, which is not read yet");
      return 0;
    }
  }
  if (!value.is_number_unsigned() || value.get<uint64_t>() < least || value.get<uint64_t>() > INT32_MAX) {
    fail(key, shown(value) + " is no integer in " + std::to_string(least) + "..2^31-1");
    return 0;
  }
  return value.get<uint32_t>();
}

uint32_t CheckpointConfig::size_or(const char* key, uint32_t otherwise) { return has(key) ? size(key, 0) : otherwise; }

float CheckpointConfig::number_or(const char* key, float otherwise) {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = *object_.find(key);
  if (!value.is_number() || !std::isfinite(value.get<float>())) {
    fail(key, shown(value) + " is no number");
    return 0;
  }
  return value.get<float>();
}

bool CheckpointConfig::flag_or(const char* key, bool otherwise) {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = *object_.find(key);
  if (!value.is_boolean()) {
    fail(key, shown(value) + " is neither true nor false");
    return false;
  }
  return value.get<bool>();
}

std::string CheckpointConfig::word_or(const char* key, const char* otherwise) {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = *object_.find(key);
  if (!value.is_string()) {
    fail(key, shown(value) + " is no string");
    return {};
  }
  return value.get<std::string>();
}

void CheckpointConfig::must_be(const char* key, std::initializer_list<const char*> words) {
  if (!has(key)) return;
  const std::string word = word_or(key, "");
  std::string known;
  for (const char* one : words) {
    if (word == one) return;
    known += (known.empty() ? "" : " or ") + std::string(one);
  }
  fail(key, model::quoted(word) + ": only " + known + " is read for this family");
}

void CheckpointConfig::must_be(const char* key, bool flag) {
  if (has(key) && flag_or(key, flag) != flag) {
    fail(key, std::string("only ") + (flag ? "true" : "false") + " is read for this family");
  }
}

}  // namespace moevk::model
