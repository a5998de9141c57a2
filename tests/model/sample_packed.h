// SPDX-License-Identifier: MIT
//
// In:  a method.
// Out: a small checkpoint whose experts are packed by it.
// Why: shared by the tests of packed checkpoints and the seeds of the fuzzer. make_packed_checkpoint.py is the oracle
//      for the numbers; here only names, types and shapes count.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "tests/model/sample_checkpoints.h"

namespace moevk::model {

struct PackedNames {
  const char *codes, *scales, *zeros;
};

inline std::vector<std::byte> bytes_of_words(const std::vector<uint32_t>& words) {
  std::vector<std::byte> bytes(words.size() * 4);
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

inline constexpr uint64_t kPackedHidden = 32, kPackedWidth = 16, kPackedGroup = 16, kPackedExperts = 2;

// `method`: gptq, awq or compressed-tensors. `g_idx`: of the gate, 32 numbers; empty: in order.
// `zeros`: every word of the zero points.
inline SampleCheckpoint sample_packed_checkpoint(const std::string& method, const std::vector<uint32_t>& g_idx = {},
                                                 uint32_t zeros = 0x77777777) {
  const CheckpointShape shape{
      .hidden = kPackedHidden, .intermediate = kPackedWidth, .experts = kPackedExperts, .blocks = 1};
  const std::string quantization =
      method == "gptq"  ? "\"bits\":4,\"group_size\":16,\"desc_act\":false,\"sym\":false"
      : method == "awq" ? "\"bits\":4,\"group_size\":16,\"version\":\"gemm\",\"zero_point\":true"
                        : "\"format\":\"pack-quantized\",\"config_groups\":{\"g\":{\"weights\":{\"num_bits\":4,"
                          "\"group_size\":16,\"strategy\":\"group\",\"type\":\"int\",\"symmetric\":false}}}";
  SampleCheckpoint sample{sample_config("mixtral", shape,
                                        ",\"intermediate_size\":16,\"num_local_experts\":2,\"quantization_config\":{"
                                        "\"quant_method\":\"" +
                                            method + "\"," + quantization + "}"),
                          {}};
  SafetensorsWriter& file = sample.file;
  const std::string prefix = block_prefix(0, mixtral_names());
  file.tensor("model.embed_tokens.weight", "BF16", {5, shape.hidden});
  file.tensor(prefix + "gate.weight", "F32", {shape.experts, shape.hidden});
  for (uint64_t e = 0; e < shape.experts; ++e) {
    for (const char* name : {"w1", "w2", "w3"}) {
      const bool down = std::string(name) == "w2";
      const uint64_t out = down ? shape.hidden : shape.intermediate, in = down ? shape.intermediate : shape.hidden;
      const uint64_t groups = in / kPackedGroup;
      const std::string stem = prefix + "experts." + std::to_string(e) + "." + name;
      const auto filled = [&](uint64_t words) { return bytes_of_words(std::vector<uint32_t>(words, zeros)); };
      if (method == "compressed-tensors") {
        file.tensor(stem + ".weight_packed", "I32", {out, in / 8});
        file.tensor(stem + ".weight_scale", "BF16", {out, groups});
        const int64_t sizes[2] = {static_cast<int64_t>(out), static_cast<int64_t>(in)};
        std::vector<std::byte> bytes(sizeof sizes);
        std::memcpy(bytes.data(), sizes, sizeof sizes);
        file.tensor_with(stem + ".weight_shape", "I64", {2}, bytes);
        file.tensor_with(stem + ".weight_zero_point", "I32", {out / 8, groups}, filled(out / 8 * groups));
        continue;
      }
      const bool awq = method == "awq";
      file.tensor(stem + ".qweight", "I32",
                  awq ? std::vector<uint64_t>{in, out / 8} : std::vector<uint64_t>{in / 8, out});
      file.tensor_with(stem + ".qzeros", "I32", {groups, out / 8}, filled(groups * out / 8));
      file.tensor(stem + ".scales", "F16", {groups, out});
      if (awq) continue;
      std::vector<uint32_t> order(in);
      for (uint32_t i = 0; i < in; ++i) order[i] = static_cast<uint32_t>(i / kPackedGroup);
      if (!g_idx.empty() && in == g_idx.size()) order = g_idx;
      file.tensor_with(stem + ".g_idx", "I32", {in}, bytes_of_words(order));
    }
  }
  return sample;
}

}  // namespace moevk::model
