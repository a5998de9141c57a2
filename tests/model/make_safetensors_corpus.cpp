// SPDX-License-Identifier: MIT
//
// In:  a folder.
// Out: seed files for the fuzzer of checkpoints, written there: good_* are read, bad_* are refused.
// Why: tests/corpus/safetensors/ holds its output; run it again when the sample checkpoints change.
#include <cstdio>
#include <fstream>

#include "tests/model/sample_checkpoints.h"
#include "tests/model/sample_packed.h"
#include "tests/model/touch_checkpoint.h"

namespace {

using namespace moevk::model;

bool save(const std::string& folder, const char* name, const std::vector<std::byte>& bytes) {
  std::ofstream stream(folder + "/" + name, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return stream.good();
}

std::vector<std::byte> seed(const SampleCheckpoint& sample, const std::string& index = "") {
  return checkpoint_seed(sample.config, index, sample.file.bytes());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  bool good = save(folder, "good_mixtral.bin", seed(sample_mixtral_checkpoint()));
  good &= save(folder, "good_qwen2_moe.bin", seed(sample_qwen2_moe_checkpoint()));
  good &= save(folder, "good_deepseek_v3.bin", seed(sample_deepseek_v3_checkpoint()));
  good &= save(folder, "good_deepseek_v3_fp8.bin", seed(sample_deepseek_v3_checkpoint(true)));
  good &= save(folder, "good_gpt_oss.bin", seed(sample_gpt_oss_checkpoint()));
  good &= save(folder, "good_granite_shared.bin", seed(sample_granite_checkpoint(true)));
  good &= save(folder, "good_gptq.bin", seed(sample_packed_checkpoint("gptq")));
  good &= save(folder, "good_awq.bin", seed(sample_packed_checkpoint("awq")));
  good &= save(folder, "good_compressed.bin", seed(sample_packed_checkpoint("compressed-tensors")));

  const CheckpointShape small{.hidden = 2, .intermediate = 2, .experts = 2, .blocks = 1};
  SampleCheckpoint listed = sample_plain("olmoe", ",\"intermediate_size\":2,\"num_experts\":2", {}, small);
  std::string map;
  const auto bytes = listed.file.bytes();
  const auto header = parse_safetensors(bytes);
  for (const TensorInfo& tensor : header->tensors) {
    map += (map.empty() ? "\"" : ",\"") + std::string(tensor.name) + "\":\"" + kSeedFile + "\"";
  }
  good &= save(folder, "good_with_index.bin", seed(listed, "{\"weight_map\":{" + map + "}}"));
  good &= save(folder, "bad_index.bin", seed(listed, "{\"weight_map\":{\"a\":\"../b.safetensors\"}}"));
  good &= save(folder, "bad_header_length.bin",
               checkpoint_seed(listed.config, "", SafetensorsWriter::file("{}", {}, uint64_t{1} << 60)));
  good &= save(folder, "bad_json.bin", checkpoint_seed("{\"model_type\":", "", bytes));
  return good ? 0 : 1;
}
