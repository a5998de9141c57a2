// SPDX-License-Identifier: MIT
//
// In:  a small model file made in memory.
// Out: the model found in it, or that it is refused by name.
// Why: shared by the tests of the reader.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/model/sample_models.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

using Bytes = std::vector<std::byte>;

// Keeps the bytes and the parsed file that a model points into.
struct Opened {
  Bytes bytes;
  Result<GgufFile> file;
  Result<MoeModel> model;

  explicit Opened(GgufWriter writer) : bytes(writer.bytes()), file(GgufFile::parse(bytes)), model(find(file)) {}

  static Result<MoeModel> find(const Result<GgufFile>& file) {
    if (!file) {
      return file.error();
    }
    return find_moe_layers(*file);
  }
};

inline void expect_refused(GgufWriter writer, const char* field, const char* part) {
  const Opened opened(std::move(writer));
  ASSERT_TRUE(opened.file.ok()) << opened.file.error().text();
  ASSERT_FALSE(opened.model.ok()) << field;
  EXPECT_EQ(opened.model.error().field, field) << opened.model.error().text();
  EXPECT_NE(opened.model.error().message.find(part), std::string::npos) << opened.model.error().text();
}

inline const TensorSource& source(const MoeLayer& layer, const std::string& name, uint32_t expert = 0) {
  for (const TensorSource& candidate : layer.tensors) {
    if (candidate.name == name && candidate.expert_first == expert) {
      return candidate;
    }
  }
  ADD_FAILURE() << name;
  return layer.tensors.at(0);
}

}  // namespace moevk::model
