// SPDX-License-Identifier: MIT
//
// The same weights as a GGUF file and as a checkpoint of safetensors files give the same outputs, to the bit, on the
// reference: the shipped model, expert by expert; and a small gpt-oss, whose checkpoint interleaves gate and up and has
// its matrices transposed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/model/sample_checkpoints.h"
#include "tests/model/sample_models.h"
#include "tests/real_model/same_model.h"

namespace {

using namespace moevk::model;
using moe_tests::Bytes;
using moe_tests::SameModel;

TEST_F(SameModel, ShippedModelExpertByExpert) {
  const std::string gguf = MOEVK_SOURCE_DIR "/models/tiny-moe-f16.gguf";
  const auto opened = open_model(gguf);
  ASSERT_TRUE(opened.ok()) << opened.error().text();
  const moe_layer_desc& desc = opened->model.layers[0].desc;
  // Layers take turns between two files.
  SafetensorsWriter files[2];
  std::string map;
  const auto add = [&](uint32_t block, const std::string& name, const TensorSource& source, uint32_t part,
                       uint32_t parts, const std::vector<uint64_t>& shape) {
    const auto all = opened->store->tensor_bytes(*source.tensor);
    const auto own = all.subspan(all.size() / parts * part, all.size() / parts);
    const std::string full = "model.layers." + std::to_string(block) + ".mlp." + name;
    files[block % 2].tensor_with(full, source.dtype == MOE_DTYPE_F32 ? "F32" : "F16", shape,
                                 Bytes(own.begin(), own.end()));
    map += (map.empty() ? "\"" : ",\"") + full + "\":\"" + (block % 2 == 0 ? "a" : "b") + ".safetensors\"";
  };
  for (const MoeLayer& layer : opened->model.layers) {
    for (const TensorSource& source : layer.tensors) {
      if (source.name == "router.weight") {
        add(layer.block, "gate.weight", source, 0, 1, {desc.experts, desc.hidden});
        continue;
      }
      const std::string name = source.name.substr(std::string("experts.").size()) + "_proj.weight";
      const bool down = source.name == "experts.down";
      for (uint32_t e = 0; e < desc.experts; ++e) {
        add(layer.block, "experts." + std::to_string(e) + "." + name, source, e, desc.experts,
            {down ? desc.hidden : desc.intermediate, down ? desc.intermediate : desc.hidden});
      }
    }
  }
  const std::string config =
      "{\"model_type\":\"qwen3_moe\",\"hidden_act\":\"silu\",\"norm_topk_prob\":true,\"hidden_size\":" +
      std::to_string(desc.hidden) + ",\"moe_intermediate_size\":" + std::to_string(desc.intermediate) +
      ",\"num_experts\":" + std::to_string(desc.experts) + ",\"num_experts_per_tok\":" + std::to_string(desc.top_k) +
      ",\"num_hidden_layers\":" + std::to_string(opened->model.layers.size()) + "}";
  const std::string index = "{\"weight_map\":{" + map + "}}";
  write("config.json", config.data(), config.size());
  write("model.safetensors.index.json", index.data(), index.size());
  write("a.safetensors", files[0].bytes());
  write("b.safetensors", files[1].bytes());
  expect_same_outputs(gguf, folder_.path().string());
}

// Random numbers as f32: [experts, rows, columns].
struct Matrices {
  uint64_t experts, rows, columns;
  std::vector<float> values;

  Matrices(uint64_t e, uint64_t r, uint64_t c, std::mt19937* random)
      : experts(e), rows(r), columns(c), values(static_cast<size_t>(e * r * c)) {
    if (random == nullptr) return;
    for (float& value : values) value = static_cast<float>((*random)() % 4001) / 4000.0f - 0.5f;
  }
  float& at(uint64_t e, uint64_t r, uint64_t c) { return values[static_cast<size_t>((e * rows + r) * columns + c)]; }
  Bytes bytes() const {
    Bytes out(values.size() * 4);
    std::memcpy(out.data(), values.data(), out.size());
    return out;
  }
  Matrices transposed() {
    Matrices out(experts, columns, rows, nullptr);
    for (uint64_t e = 0; e < experts; ++e) {
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; ++c) out.at(e, c, r) = at(e, r, c);
      }
    }
    return out;
  }
};

// Rows of a and b by turns.
Matrices interleaved(Matrices& a, Matrices& b) {
  Matrices out(a.experts, 2 * a.rows, a.columns, nullptr);
  for (uint64_t e = 0; e < a.experts; ++e) {
    for (uint64_t r = 0; r < a.rows; ++r) {
      for (uint64_t c = 0; c < a.columns; ++c) {
        out.at(e, 2 * r, c) = a.at(e, r, c);
        out.at(e, 2 * r + 1, c) = b.at(e, r, c);
      }
    }
  }
  return out;
}

TEST_F(SameModel, GptOssInterleavedAndTransposed) {
  constexpr uint64_t kHidden = 12, kWidth = 7, kExperts = 5;
  std::mt19937 random(3);
  Matrices router(1, kExperts, kHidden, &random), router_bias(1, 1, kExperts, &random);
  Matrices gate(kExperts, kWidth, kHidden, &random), up(kExperts, kWidth, kHidden, &random);
  Matrices down(kExperts, kHidden, kWidth, &random), down_bias(1, kExperts, kHidden, &random);
  Matrices gate_bias(kExperts, kWidth, 1, &random), up_bias(kExperts, kWidth, 1, &random);

  SampleShape shape;
  shape.hidden = kHidden, shape.intermediate = kWidth, shape.experts = kExperts, shape.blocks = 1;
  GgufWriter gguf;
  sample_metadata(gguf, "gpt-oss", shape);
  gguf.u32("gpt-oss.expert_feed_forward_length", kWidth);
  const std::string b = "blk.0.ffn_";
  gguf.tensor_with(b + "gate_inp.weight", {kHidden, kExperts}, kGgmlF32, router.bytes());
  gguf.tensor_with(b + "gate_inp.bias", {kExperts}, kGgmlF32, router_bias.bytes());
  gguf.tensor_with(b + "gate_exps.weight", {kHidden, kWidth, kExperts}, kGgmlF32, gate.bytes());
  gguf.tensor_with(b + "up_exps.weight", {kHidden, kWidth, kExperts}, kGgmlF32, up.bytes());
  gguf.tensor_with(b + "down_exps.weight", {kWidth, kHidden, kExperts}, kGgmlF32, down.bytes());
  gguf.tensor_with(b + "gate_exps.bias", {kWidth, kExperts}, kGgmlF32, gate_bias.bytes());
  gguf.tensor_with(b + "up_exps.bias", {kWidth, kExperts}, kGgmlF32, up_bias.bytes());
  gguf.tensor_with(b + "down_exps.bias", {kHidden, kExperts}, kGgmlF32, down_bias.bytes());
  write("model.gguf", gguf.bytes());

  SafetensorsWriter file;
  const std::string p = "model.layers.0.mlp.";
  file.tensor_with(p + "router.weight", "F32", {kExperts, kHidden}, router.bytes());
  file.tensor_with(p + "router.bias", "F32", {kExperts}, router_bias.bytes());
  file.tensor_with(p + "experts.gate_up_proj", "F32", {kExperts, kHidden, 2 * kWidth},
                   interleaved(gate, up).transposed().bytes());
  file.tensor_with(p + "experts.gate_up_proj_bias", "F32", {kExperts, 2 * kWidth},
                   interleaved(gate_bias, up_bias).bytes());
  file.tensor_with(p + "experts.down_proj", "F32", {kExperts, kWidth, kHidden}, down.transposed().bytes());
  file.tensor_with(p + "experts.down_proj_bias", "F32", {kExperts, kHidden}, down_bias.bytes());
  write("model.safetensors", file.bytes());
  const std::string config = sample_config("gpt_oss", {.hidden = kHidden, .blocks = 1},
                                           ",\"intermediate_size\":7,\"num_local_experts\":5,\"swiglu_limit\":7.0");
  write("config.json", config.data(), config.size());
  expect_same_outputs((folder_ / "model.gguf").string(), folder_.path().string());
}

}  // namespace
