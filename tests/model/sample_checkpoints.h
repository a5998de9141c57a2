// SPDX-License-Identifier: MIT
//
// In:  nothing.
// Out: small checkpoints in memory, a function for each way in which families name and store their tensors.
// Why: shared by the tests and by the seeds of the fuzzer. All sizes differ: a swapped axis shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/model/safetensors_writer.h"

namespace moevk::model {

struct SampleCheckpoint {
  std::string config;
  SafetensorsWriter file;
};

struct CheckpointShape {
  uint64_t hidden = 8;
  uint64_t intermediate = 6;
  uint64_t experts = 4;
  uint32_t blocks = 2;
  std::string type = "BF16";  // of matrices
};

// What families call the parts; see tools/model/checkpoint_families.h.
struct CheckpointNames {
  std::string part = "mlp.";
  std::string router = "gate.weight";
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
};

inline std::string block_prefix(uint32_t block, const CheckpointNames& names) {
  return "model.layers." + std::to_string(block) + "." + names.part;
}

// {"model_type": ..., sizes that all have, `more`}; `more` begins with a comma or is empty.
inline std::string sample_config(const std::string& model_type, const CheckpointShape& shape, const std::string& more) {
  return "{\"model_type\":\"" + model_type +
         "\",\"hidden_act\":\"silu\",\"hidden_size\":" + std::to_string(shape.hidden) +
         ",\"num_hidden_layers\":" + std::to_string(shape.blocks) + ",\"num_experts_per_tok\":2" + more + "}";
}

inline void sample_checkpoint_frame(SafetensorsWriter& file, const CheckpointShape& shape) {
  file.tensor("model.embed_tokens.weight", shape.type, {5, shape.hidden});
  file.tensor("lm_head.weight", shape.type, {5, shape.hidden});
}

inline void sample_matrices(SafetensorsWriter& file, const std::string& prefix, const CheckpointNames& names,
                            const CheckpointShape& shape, uint64_t width) {
  file.tensor(prefix + names.gate + ".weight", shape.type, {width, shape.hidden});
  file.tensor(prefix + names.up + ".weight", shape.type, {width, shape.hidden});
  file.tensor(prefix + names.down + ".weight", shape.type, {shape.hidden, width});
}

// A router, and a tensor for each expert's gate, up and down.
inline void sample_each_block(SafetensorsWriter& file, uint32_t block, const CheckpointNames& names,
                              const CheckpointShape& shape) {
  const std::string prefix = block_prefix(block, names);
  file.tensor("model.layers." + std::to_string(block) + ".input_layernorm.weight", "BF16", {shape.hidden});
  file.tensor(prefix + names.router, "F32", {shape.experts, shape.hidden});
  for (uint64_t e = 0; e < shape.experts; ++e) {
    sample_matrices(file, prefix + "experts." + std::to_string(e) + ".", names, shape, shape.intermediate);
  }
}

// A family with nothing but routers and experts. `more` as in sample_config.
inline SampleCheckpoint sample_plain(const std::string& model_type, const std::string& more,
                                     const CheckpointNames& names = {}, const CheckpointShape& shape = {}) {
  SampleCheckpoint sample{sample_config(model_type, shape, more), {}};
  sample_checkpoint_frame(sample.file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) sample_each_block(sample.file, b, names, shape);
  return sample;
}

inline const CheckpointNames& mixtral_names() {
  static const CheckpointNames names{"block_sparse_moe.", "gate.weight", "w1", "w3", "w2"};
  return names;
}

inline SampleCheckpoint sample_mixtral_checkpoint(const CheckpointShape& shape = {}) {
  return sample_plain("mixtral", ",\"intermediate_size\":6,\"num_local_experts\":4", mixtral_names(), shape);
}

inline SampleCheckpoint sample_qwen2_moe_checkpoint() {
  const CheckpointShape shape;
  SampleCheckpoint sample = sample_plain("qwen2_moe",
                                         ",\"moe_intermediate_size\":6,\"shared_expert_intermediate_size\":10,"
                                         "\"num_experts\":4,\"norm_topk_prob\":false");
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string prefix = block_prefix(b, {});
    sample_matrices(sample.file, prefix + "shared_expert.", {}, shape, 10);
    sample.file.tensor(prefix + "shared_expert_gate.weight", "BF16", {1, shape.hidden});
  }
  return sample;
}

inline std::string deepseek_keys() {
  return ",\"moe_intermediate_size\":6,\"n_routed_experts\":4,\"n_shared_experts\":2,\"n_group\":2,\"topk_group\":1,"
         "\"norm_topk_prob\":true,\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\","
         "\"topk_method\":\"noaux_tc\",\"first_k_dense_replace\":1";
}

// The first of two blocks is dense, a third predicts further tokens. `fp8`: with scales of 128 x 128 blocks.
inline SampleCheckpoint sample_deepseek_v3_checkpoint(bool fp8 = false) {
  CheckpointShape shape;
  if (fp8) shape.type = "F8_E4M3";
  SampleCheckpoint sample{sample_config("deepseek_v3", shape,
                                        deepseek_keys() + (fp8 ? ",\"quantization_config\":{\"quant_method\":\"fp8\","
                                                                 "\"weight_block_size\":[128,128]}"
                                                               : "")),
                          {}};
  sample_checkpoint_frame(sample.file, shape);
  sample_matrices(sample.file, block_prefix(0, {}), {}, shape, 20);
  for (uint32_t b = 1; b < 3; ++b) {
    const std::string prefix = block_prefix(b, {});
    sample_each_block(sample.file, b, {}, shape);
    sample.file.tensor(prefix + "gate.e_score_correction_bias", "F32", {shape.experts});
    sample_matrices(sample.file, prefix + "shared_experts.", {}, shape, 12);
    for (uint32_t e = 0; fp8 && e <= shape.experts; ++e) {
      const std::string expert = e < shape.experts ? "experts." + std::to_string(e) : "shared_experts";
      for (const char* name : {".gate_proj", ".up_proj", ".down_proj"}) {
        sample.file.tensor(prefix + expert + name + ".weight_scale_inv", "F32", {1, 1});
      }
    }
  }
  return sample;
}

// `mxfp4`: as released; otherwise as fine-tuned models have it.
inline SampleCheckpoint sample_gpt_oss_checkpoint(bool mxfp4 = false) {
  CheckpointShape shape;
  if (mxfp4) shape.hidden = 64, shape.intermediate = 32;
  const uint64_t h = shape.hidden, f = shape.intermediate, e = shape.experts;
  SampleCheckpoint sample{
      sample_config("gpt_oss", shape,
                    ",\"intermediate_size\":" + std::to_string(f) + ",\"num_local_experts\":4,\"swiglu_limit\":7.0" +
                        (mxfp4 ? ",\"quantization_config\":{\"quant_method\":\"mxfp4\"}" : "")),
      {}};
  sample_checkpoint_frame(sample.file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string p = block_prefix(b, {});
    sample.file.tensor(p + "router.weight", "BF16", {e, h}).tensor(p + "router.bias", "BF16", {e});
    if (mxfp4) {
      sample.file.tensor(p + "experts.gate_up_proj_blocks", "U8", {e, 2 * f, h / 32, 16});
      sample.file.tensor(p + "experts.gate_up_proj_scales", "U8", {e, 2 * f, h / 32});
      sample.file.tensor(p + "experts.down_proj_blocks", "U8", {e, h, f / 32, 16});
      sample.file.tensor(p + "experts.down_proj_scales", "U8", {e, h, f / 32});
    } else {
      sample.file.tensor(p + "experts.gate_up_proj", "BF16", {e, h, 2 * f});
      sample.file.tensor(p + "experts.down_proj", "BF16", {e, f, h});
    }
    sample.file.tensor(p + "experts.gate_up_proj_bias", "BF16", {e, 2 * f});
    sample.file.tensor(p + "experts.down_proj_bias", "BF16", {e, h});
  }
  return sample;
}

inline SampleCheckpoint sample_granite_checkpoint(bool shared) {
  const CheckpointShape shape;
  const uint64_t h = shape.hidden, f = shape.intermediate, e = shape.experts;
  SampleCheckpoint sample{sample_config(shared ? "granitemoeshared" : "granitemoe", shape,
                                        ",\"intermediate_size\":6,\"num_local_experts\":4,"
                                        "\"shared_intermediate_size\":10"),
                          {}};
  sample_checkpoint_frame(sample.file, shape);
  for (uint32_t b = 0; b < shape.blocks; ++b) {
    const std::string block = "model.layers." + std::to_string(b) + ".", p = block + "block_sparse_moe.";
    sample.file.tensor(p + "router.layer.weight", "BF16", {e, h});
    sample.file.tensor(p + "input_linear.weight", "BF16", {e, 2 * f, h});
    sample.file.tensor(p + "output_linear.weight", "BF16", {e, h, f});
    if (shared) {
      sample.file.tensor(block + "shared_mlp.input_linear.weight", "BF16", {20, h});
      sample.file.tensor(block + "shared_mlp.output_linear.weight", "BF16", {h, 10});
    }
  }
  return sample;
}

}  // namespace moevk::model
