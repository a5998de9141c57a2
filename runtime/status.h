// SPDX-License-Identifier: MIT
//
// Status: success, or a code of the ABI with the argument at fault and a sentence. Result<T>: a value or a Status.
// No exception is thrown on purpose; the plugin's entry turns the ones of the standard library into a Status.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugin_api/moe_plugin.h"

namespace moevk {

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(moe_status code, std::string argument, std::string text, int32_t vk_result = 0)
      : detail_(std::make_unique<Detail>(Detail{code, vk_result, std::move(argument), std::move(text)})) {}

  bool ok() const { return detail_ == nullptr; }
  moe_status code() const { return detail_ ? detail_->code : MOE_OK; }
  int32_t vk_result() const { return detail_ ? detail_->vk_result : 0; }
  std::string argument() const { return detail_ ? detail_->argument : std::string(); }
  std::string text() const { return detail_ ? detail_->text : std::string(); }

 private:
  struct Detail {
    moe_status code;
    int32_t vk_result;
    std::string argument;
    std::string text;
  };
  std::unique_ptr<Detail> detail_;
};

inline Status invalid(std::string argument, std::string text) {
  return {MOE_ERROR_INVALID_ARGUMENT, std::move(argument), std::move(text)};
}
inline Status unsupported(std::string argument, std::string text) {
  return {MOE_ERROR_UNSUPPORTED, std::move(argument), std::move(text)};
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}

  bool ok() const { return value_.has_value(); }
  Status& status() { return status_; }
  T& value() { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define MOE_RETURN_IF_ERROR(expression)         \
  do {                                          \
    ::moevk::Status moe_status_ = (expression); \
    if (!moe_status_.ok()) return moe_status_;  \
  } while (false)

#define MOE_CONCATENATE_(a, b) a##b
#define MOE_CONCATENATE(a, b) MOE_CONCATENATE_(a, b)
#define MOE_ASSIGN_OR_RETURN(target, expression) \
  MOE_ASSIGN_OR_RETURN_(MOE_CONCATENATE(moe_result_, __LINE__), target, expression)
#define MOE_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = (expression);                             \
  if (!result.ok()) return std::move(result.status());    \
  target = std::move(result.value())

}  // namespace moevk
