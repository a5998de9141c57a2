// SPDX-License-Identifier: MIT
//
// In:  a small checkpoint made in memory.
// Out: the model found in it.
// Why: shared by the tests of checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>

#include "tests/model/sample_checkpoints.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

inline std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Keeps what a model points into.
struct OpenedCheckpoint {
  SafetensorsWriter::Bytes bytes;
  Result<Checkpoint> checkpoint;
  Result<MoeModel> model;

  explicit OpenedCheckpoint(const SampleCheckpoint& sample)
      : bytes(sample.file.bytes()),
        checkpoint(Checkpoint::parse(bytes_of(sample.config), {}, {{"model.safetensors", bytes}})),
        model(find(checkpoint)) {}

  static Result<MoeModel> find(const Result<Checkpoint>& checkpoint) {
    if (!checkpoint) return checkpoint.error();
    return find_moe_layers(*checkpoint);
  }
};

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

}  // namespace moevk::model
