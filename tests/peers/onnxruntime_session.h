// SPDX-License-Identifier: MIT
//
// In:  a model's bytes; its run-time inputs.
// Out: what ONNX Runtime's CPU provider computes.
// Why: the library is opened at run time by its path; nothing links to it. Its C API is versioned: an older header asks
//      a newer library for the older table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/peers/onnx_model.h"

struct OrtApi;
struct OrtEnv;
struct OrtStatus;

namespace moevk::peers {

class OnnxRuntime {
 public:
  // Throws std::runtime_error.
  explicit OnnxRuntime(const std::string& library);
  ~OnnxRuntime();
  OnnxRuntime(const OnnxRuntime&) = delete;
  OnnxRuntime& operator=(const OnnxRuntime&) = delete;

  const std::string& version() const { return version_; }
  // `node`: its inputs without data are given by `inputs`, in their order. Throws std::runtime_error with what ONNX
  // Runtime says.
  std::vector<float> run(const OnnxNode& node, const std::vector<std::vector<float>>& inputs) const;

 private:
  void check(OrtStatus* status) const;

  const OrtApi* api_ = nullptr;
  OrtEnv* environment_ = nullptr;
  std::string version_;
};

}  // namespace moevk::peers
