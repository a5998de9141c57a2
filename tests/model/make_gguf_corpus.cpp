// SPDX-License-Identifier: MIT
//
// In:  a folder.
// Out: seed files for the GGUF fuzzer, written there: good_* parse, bad_* are refused.
// Why: tests/corpus/gguf/ holds its output; run it again when the sample models change.
#include <cstdio>
#include <cstring>
#include <fstream>

#include "tests/model/sample_models.h"

namespace {

using namespace moevk::model;

bool save(const std::string& folder, const char* name, const std::vector<std::byte>& bytes) {
  std::ofstream stream(folder + "/" + name, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return stream.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  SampleShape shape;
  shape.blocks = 1;
  shape.experts = 3;
  bool good = save(folder, "good_all_types_v3.gguf", sample_all_types(3).bytes());
  good &= save(folder, "good_all_types_v2.gguf", sample_all_types(2).bytes());
  good &= save(folder, "good_qwen3moe.gguf", sample_qwen3moe(shape).bytes());
  good &= save(folder, "good_qwen2moe.gguf", sample_qwen2moe(shape).bytes());
  good &= save(folder, "good_olmoe.gguf", sample_olmoe(shape).bytes());
  good &= save(folder, "good_mixtral_split.gguf", sample_mixtral(true, shape).bytes());
  good &= save(folder, "good_gpt_oss.gguf", sample_gpt_oss(shape).bytes());
  good &= save(folder, "good_gemma4.gguf", sample_gemma4(true, shape).bytes());
  good &= save(folder, "good_kimi_k3.gguf", sample_kimi_k3({}, 4).bytes());
  shape.blocks = 2, shape.hidden = 4, shape.intermediate = 2;
  good &= save(folder, "good_deepseek2.gguf", sample_deepseek2(shape).bytes());
  std::vector<std::byte> bent = sample_all_types().bytes();
  bent.resize(bent.size() - 1);
  good &= save(folder, "bad_cut.gguf", bent);
  bent = sample_all_types().bytes();
  const uint64_t huge = uint64_t{1} << 60;
  std::memcpy(bent.data() + 8, &huge, sizeof(huge));
  good &= save(folder, "bad_tensor_count.gguf", bent);
  return good ? 0 : 1;
}
