// SPDX-License-Identifier: MIT
//
// In:  the shape of a small model.
// Out: a GGUF writer holding its metadata and tensors, one function per family of moe_model.h.
// Why: shared by the tests and by the seeds of the fuzzer. All sizes differ: a swapped axis shows.
#pragma once

#include <cstdint>
#include <string>

#include "tests/model/gguf_writer.h"

namespace moevk::model {

struct SampleShape {
  uint32_t hidden = 8;
  uint32_t intermediate = 6;
  uint32_t experts = 4;
  uint32_t top_k = 2;
  uint32_t shared = 10;  // qwen2moe only
  uint32_t blocks = 2;
  uint32_t type = kGgmlF16;  // of the expert matrices
  uint32_t router_type = kGgmlF32;
};

inline void sample_metadata(GgufWriter& file, const std::string& arch, const SampleShape& shape) {
  file.string("general.architecture", arch).string("general.name", "sample");
  file.u32(arch + ".block_count", shape.blocks).u32(arch + ".embedding_length", shape.hidden);
  file.u32(arch + ".expert_count", shape.experts).u32(arch + ".expert_used_count", shape.top_k);
}

inline void sample_frame(GgufWriter& file, const SampleShape& shape) {
  file.tensor("token_embd.weight", {shape.hidden, 5});
  file.tensor("output_norm.weight", {shape.hidden}, kGgmlF32);
  file.tensor("output.weight", {shape.hidden, 5});
}

inline void sample_stacked_block(GgufWriter& file, uint32_t block, const SampleShape& shape) {
  const std::string p = "blk." + std::to_string(block) + ".";
  const uint64_t h = shape.hidden, f = shape.intermediate, e = shape.experts;
  file.tensor(p + "ffn_norm.weight", {h}, kGgmlF32);
  file.tensor(p + "ffn_gate_inp.weight", {h, e}, shape.router_type);
  file.tensor(p + "ffn_gate_exps.weight", {h, f, e}, shape.type);
  file.tensor(p + "ffn_up_exps.weight", {h, f, e}, shape.type);
  file.tensor(p + "ffn_down_exps.weight", {f, h, e}, shape.type);
}

inline GgufWriter sample_qwen3moe(const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "qwen3moe", shape);
  file.u32("qwen3moe.feed_forward_length", 99).u32("qwen3moe.expert_feed_forward_length", shape.intermediate);
  sample_frame(file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    sample_stacked_block(file, b, shape);
  }
  return file;
}

inline GgufWriter sample_qwen2moe(const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "qwen2moe", shape);
  file.u32("qwen2moe.expert_feed_forward_length", shape.intermediate);
  file.u32("qwen2moe.expert_shared_feed_forward_length", shape.shared);
  sample_frame(file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string p = "blk." + std::to_string(b) + ".";
    sample_stacked_block(file, b, shape);
    file.tensor(p + "ffn_gate_inp_shexp.weight", {shape.hidden}, kGgmlF32);
    file.tensor(p + "ffn_gate_shexp.weight", {shape.hidden, shape.shared}, kGgmlBf16);
    file.tensor(p + "ffn_up_shexp.weight", {shape.hidden, shape.shared}, kGgmlF32);
    file.tensor(p + "ffn_down_shexp.weight", {shape.shared, shape.hidden});
  }
  return file;
}

inline GgufWriter sample_olmoe(const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "olmoe", shape);
  file.u32("olmoe.feed_forward_length", shape.intermediate);
  sample_frame(file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    sample_stacked_block(file, b, shape);
  }
  return file;
}

// `split`: a tensor per expert, as Mixtral files before April 2024 have them.
inline GgufWriter sample_mixtral(bool split, const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "llama", shape);
  file.u32("llama.feed_forward_length", shape.intermediate);
  file.strings("tokenizer.ggml.tokens", {"a", "b", "", "cd", "e"});
  file.array<int32_t>("tokenizer.ggml.token_type", ValueType::i32, {1, 1, 3, 1, 1});
  sample_frame(file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    if (!split) {
      sample_stacked_block(file, b, shape);
      continue;
    }
    const std::string p = "blk." + std::to_string(b) + ".";
    file.tensor(p + "ffn_gate_inp.weight", {shape.hidden, shape.experts}, kGgmlF32);
    for (uint32_t e = 0; e < shape.experts; ++e) {
      std::string end = ".";
      end.append(std::to_string(e)).append(".weight");
      file.tensor(p + "ffn_gate" + end, {shape.hidden, shape.intermediate}, shape.type);
      file.tensor(p + "ffn_down" + end, {shape.intermediate, shape.hidden}, shape.type);
      file.tensor(p + "ffn_up" + end, {shape.hidden, shape.intermediate}, shape.type);
    }
  }
  return file;
}

// DeepSeek-V3: 8 experts in 4 groups, of which 2 are kept; the first block is dense.
inline GgufWriter sample_deepseek2(const SampleShape& given = {}) {
  SampleShape shape = given;
  shape.experts = 8;
  GgufWriter file;
  sample_metadata(file, "deepseek2", shape);
  file.u32("deepseek2.leading_dense_block_count", 1).u32("deepseek2.expert_feed_forward_length", shape.intermediate);
  file.u32("deepseek2.expert_shared_count", 2).f32("deepseek2.expert_weights_scale", 2.5f);
  file.boolean("deepseek2.expert_weights_norm", true).u32("deepseek2.expert_gating_func", 2);
  file.u32("deepseek2.expert_group_count", 4).u32("deepseek2.expert_group_used_count", 2);
  sample_frame(file, shape);
  const uint64_t h = shape.hidden, s = 2 * uint64_t{shape.intermediate};
  file.tensor("blk.0.ffn_gate.weight", {h, 20}).tensor("blk.0.ffn_up.weight", {h, 20});
  file.tensor("blk.0.ffn_down.weight", {20, h});
  for (uint32_t b = 1; b < shape.blocks; ++b) {
    const std::string p = "blk." + std::to_string(b) + ".";
    sample_stacked_block(file, b, shape);
    file.tensor(p + "exp_probs_b.bias", {shape.experts}, kGgmlF32);
    file.tensor(p + "ffn_gate_shexp.weight", {h, s}).tensor(p + "ffn_up_shexp.weight", {h, s});
    file.tensor(p + "ffn_down_shexp.weight", {s, h});
  }
  return file;
}

inline GgufWriter sample_gpt_oss(const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "gpt-oss", shape);
  file.u32("gpt-oss.expert_feed_forward_length", shape.intermediate);
  sample_frame(file, shape);
  const uint64_t h = shape.hidden, f = shape.intermediate, e = shape.experts;
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string p = "blk." + std::to_string(b) + ".";
    sample_stacked_block(file, b, shape);
    file.tensor(p + "ffn_gate_inp.bias", {e}, kGgmlF32).tensor(p + "ffn_gate_exps.bias", {f, e}, kGgmlF32);
    file.tensor(p + "ffn_up_exps.bias", {f, e}, kGgmlF32).tensor(p + "ffn_down_exps.bias", {h, e}, kGgmlF32);
  }
  return file;
}

struct SampleKimi {
  uint64_t latent = 4;  // Width of the experts' tensors; 0: as wide as the model.
  bool norm = true, eps = true, beta = true, linear_beta = true;  // What the file has.
  float beta_value = 3, linear_value = 20;
};

// Experts in a latent space of the width that the metadata say; the first block is dense. Both blocks have what attention
// over residuals is scored by.
inline GgufWriter sample_kimi_k3(const SampleKimi& kimi, uint32_t said_width) {
  GgufWriter file;
  sample_metadata(file, "kimi-k3", {});
  file.u32("kimi-k3.expert_feed_forward_length", 6).u32("kimi-k3.expert_shared_count", 2);
  file.u32("kimi-k3.expert_gating_func", 2).boolean("kimi-k3.expert_weights_norm", true);
  file.u32("kimi-k3.expert_latent_length", said_width).f32("kimi-k3.expert_weights_scale", 2.5f);
  if (kimi.eps) file.f32("kimi-k3.attention.layer_norm_rms_epsilon", 1e-5f);
  if (kimi.beta) file.f32("kimi-k3.activation.situ_beta", kimi.beta_value);
  if (kimi.linear_beta) file.f32("kimi-k3.activation.situ_linear_beta", kimi.linear_value);
  file.tensor("blk.0.ffn_up.weight", {8, 20}).tensor("blk.0.ffn_res_score.weight", {8}, kGgmlF32);
  const uint64_t l = kimi.latent > 0 ? kimi.latent : 8;
  file.tensor("blk.1.ffn_norm.weight", {8}, kGgmlF32).tensor("blk.1.ffn_res_score.weight", {8}, kGgmlF32);
  file.tensor("blk.1.ffn_gate_inp.weight", {8, 4}, kGgmlF32).tensor("blk.1.exp_probs_b.bias", {4}, kGgmlF32);
  file.tensor("blk.1.ffn_gate_exps.weight", {l, 6, 4}).tensor("blk.1.ffn_up_exps.weight", {l, 6, 4});
  file.tensor("blk.1.ffn_down_exps.weight", {6, l, 4}).tensor("blk.1.ffn_gate_shexp.weight", {8, 12});
  file.tensor("blk.1.ffn_up_shexp.weight", {8, 12}).tensor("blk.1.ffn_down_shexp.weight", {12, 8});
  if (kimi.latent == 0) return file;
  file.tensor("blk.1.ffn_routed_down.weight", {8, l}, kGgmlBf16).tensor("blk.1.ffn_routed_up.weight", {l, 8}, kGgmlF32);
  if (kimi.norm) file.tensor("blk.1.ffn_routed_norm.weight", {l}, kGgmlF32);
  return file;
}

// Gate and up in one tensor; a dense network beside the experts.
inline GgufWriter sample_gemma4(bool expert_scale = true, const SampleShape& shape = {}) {
  GgufWriter file;
  sample_metadata(file, "gemma4", shape);
  file.u32("gemma4.expert_feed_forward_length", shape.intermediate);
  file.f32("gemma4.attention.layer_norm_rms_epsilon", 1e-5f);
  sample_frame(file, shape);
  const uint64_t h = shape.hidden, f = shape.intermediate, e = shape.experts;
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string p = "blk." + std::to_string(b) + ".";
    file.tensor(p + "ffn_norm.weight", {h}, kGgmlF32);
    file.tensor(p + "ffn_gate_inp.weight", {h, e}, kGgmlF32).tensor(p + "ffn_gate_inp.scale", {h}, kGgmlF32);
    file.tensor(p + "ffn_gate_up_exps.weight", {h, 2 * f, e}, shape.type);
    file.tensor(p + "ffn_down_exps.weight", {f, h, e}, shape.type);
    if (expert_scale) file.tensor(p + "ffn_down_exps.scale", {e}, kGgmlF32);
    file.tensor(p + "ffn_gate.weight", {h, 20}).tensor(p + "ffn_up.weight", {h, 20});
    file.tensor(p + "ffn_down.weight", {20, h});
  }
  return file;
}

// One metadata value of every type, two tensors: the file that tests cut and bend at every byte.
inline GgufWriter sample_all_types(uint32_t version = 3) {
  GgufWriter file(version, 64);
  file.scalar<uint8_t>("t.u8", ValueType::u8, 200).scalar<int8_t>("t.i8", ValueType::i8, -5);
  file.scalar<uint16_t>("t.u16", ValueType::u16, 60000).scalar<int16_t>("t.i16", ValueType::i16, -6);
  file.u32("t.u32", 4000000000u).scalar<int32_t>("t.i32", ValueType::i32, 7);
  file.f32("t.f32", 1.5f).boolean("t.bool", true).string("t.string", "text");
  file.scalar<uint64_t>("t.u64", ValueType::u64, uint64_t{1} << 40).scalar<int64_t>("t.i64", ValueType::i64, -8);
  file.scalar<double>("t.f64", ValueType::f64, 0.1);
  file.array<uint32_t>("t.numbers", ValueType::u32, {1, 2, 3}).strings("t.strings", {"one", "", "three"});
  file.array<uint8_t>("t.flags", ValueType::boolean, {0, 1});
  file.u32("general.alignment", 64);
  file.tensor("a", {3, 2}, kGgmlF32).tensor("b", {32, 2}, 8);
  return file;
}

}  // namespace moevk::model
