// SPDX-License-Identifier: MIT
//
// In:  a small model file made in memory.
// Out: the model found in it, or that it is refused by name; the parts that many architectures share.
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

// A file whose blocks have a router and stacked experts alone.
inline GgufWriter plain(const std::string& arch) {
  GgufWriter file;
  sample_metadata(file, arch, {});
  file.u32(arch + ".expert_feed_forward_length", 6);
  sample_stacked_block(file, 0, {});
  sample_stacked_block(file, 1, {});
  return file;
}

// The shared experts' matrices, and biases that select, of the first `blocks` blocks.
inline void shared(GgufWriter& file, uint32_t blocks, uint64_t width, bool gated = true) {
  for (uint32_t b = 0; b < blocks; ++b) {
    const std::string p = "blk." + std::to_string(b) + ".";
    if (gated) file.tensor(p + "ffn_gate_shexp.weight", {8, width});
    file.tensor(p + "ffn_up_shexp.weight", {8, width}).tensor(p + "ffn_down_shexp.weight", {width, 8});
  }
}

inline void selection_bias(GgufWriter& file, uint32_t blocks) {
  for (uint32_t b = 0; b < blocks; ++b) {
    file.tensor("blk." + std::to_string(b) + ".exp_probs_b.bias", {4}, kGgmlF32);
  }
}

// Of the first MoE layer.
inline const moe_layer_desc& desc_of(const Opened& opened) {
  static const moe_layer_desc none = {};
  EXPECT_TRUE(opened.model.ok()) << opened.model.error().text();
  return opened.model.ok() ? opened.model->layers.at(0).desc : none;
}

}  // namespace moevk::model
