// SPDX-License-Identifier: MIT
//
// Checkpoints on disk: folders, shards, and that what is missing or does not fit is refused by name.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/model/opened_checkpoint.h"
#include "tests/support/scratch_folder.h"
#include "tools/model/open_model.h"

namespace moevk::model {
namespace {

namespace fs = std::filesystem;
using Bytes = SafetensorsWriter::Bytes;

class CheckpointFolder : public ::testing::Test {
 protected:
  void write(const std::string& name, const Bytes& bytes) {
    std::ofstream stream(folder_ / name, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void write(const std::string& name, const std::string& text) {
    write(name, Bytes(bytes_of(text).begin(), bytes_of(text).end()));
  }
  std::string path(const std::string& name = "") const {
    return (name.empty() ? folder_.path() : folder_ / name).string();
  }

  // Block 0 and the embeddings in the first file, block 1 in the second.
  void write_shards() {
    CheckpointShape shape;
    SafetensorsWriter first, second;
    sample_checkpoint_frame(first, shape);
    sample_each_block(first, 0, mixtral_names(), shape);
    sample_each_block(second, 1, mixtral_names(), shape);
    write("config.json", sample_mixtral_checkpoint().config);
    write(kFirst, first.bytes());
    write(kSecond, second.bytes());
    std::string map;
    for (const auto& [writer, name] : {std::pair(&first, kFirst), std::pair(&second, kSecond)}) {
      const Bytes bytes = writer->bytes();
      const auto header = parse_safetensors(bytes);
      for (const TensorInfo& tensor : header->tensors) {
        map += (map.empty() ? "\"" : ",\"") + std::string(tensor.name) + "\":\"" + name + "\"";
      }
    }
    index_ = "{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map + "}}";
    write(kIndex, index_);
  }

  void expect_error(const std::string& given, const std::string& field, const std::string& part) {
    const auto opened = open_model(given);
    ASSERT_FALSE(opened.ok()) << field;
    EXPECT_EQ(opened.error().field, field) << opened.error().text();
    EXPECT_NE(opened.error().message.find(part), std::string::npos) << opened.error().text();
  }

  static constexpr char kFirst[] = "model-00001-of-00002.safetensors";
  static constexpr char kSecond[] = "model-00002-of-00002.safetensors";
  static constexpr char kIndex[] = "model.safetensors.index.json";
  moe_tests::ScratchFolder folder_;
  std::string index_;
};

TEST_F(CheckpointFolder, OpensByFolderConfigIndexAndShard) {
  write_shards();
  for (const std::string& name :
       {std::string(), std::string("config.json"), std::string(kIndex), std::string(kSecond)}) {
    const auto opened = open_model(path(name));
    ASSERT_TRUE(opened.ok()) << name << ": " << opened.error().text();
    ASSERT_EQ(opened->model.layers.size(), 2u);
    EXPECT_FALSE(opened->is_gguf);
    const moe_tensor_source source = file_source(*opened->store, opened->model.layers[1].tensors[0]);
    EXPECT_EQ(source.source, MOE_SOURCE_FILE);
    EXPECT_EQ(source.path, path(kSecond));
    EXPECT_EQ(opened->model.totals.parameters, OpenedCheckpoint(sample_mixtral_checkpoint()).model->totals.parameters);
  }
}

TEST_F(CheckpointFolder, OpensASingleFile) {
  const SampleCheckpoint sample = sample_qwen2_moe_checkpoint();
  write("config.json", sample.config);
  write("model.safetensors", sample.file.bytes());
  EXPECT_TRUE(open_model(path()).ok());
  EXPECT_TRUE(open_model(path("model.safetensors")).ok());
  write("other.safetensors", sample.file.bytes());
  EXPECT_TRUE(open_model(path("other.safetensors")).ok());
}

TEST_F(CheckpointFolder, NamesWhatIsMissing) {
  expect_error(path(), "file", "config.json");
  expect_error(path("no.safetensors"), "file", "there is no such file");
  write_shards();
  fs::remove(folder_ / kSecond);
  expect_error(path(), std::string(kIndex) + ": weight_map",
               std::string(kSecond) + " is missing in " + path() + "; it holds model.layers.1.block_sparse_moe");
  fs::remove(folder_ / kIndex);
  expect_error(path(), "file", "model.safetensors: there is no such file");
}

TEST_F(CheckpointFolder, RefusesAnIndexThatDoesNotFit) {
  write_shards();
  const std::string field = std::string(kIndex) + ": weight_map";
  const std::string good = index_;
  write(kIndex, std::string("{"));
  expect_error(path(), kIndex, "is not JSON");
  write(kIndex, std::string("{}"));
  expect_error(path(), field, "is missing, empty or not an object");
  write(kIndex, replaced(good, kFirst, "../x.safetensors"));
  expect_error(path(), field + ": model.embed_tokens.weight", "in the same folder");
  write(kIndex, replaced(good, "\"lm_head.weight\"", "\"lm_head.weigth\""));
  expect_error(path(), field + ": lm_head.weigth", std::string("is not in ") + kFirst);
  write(kIndex,
        replaced(good, std::string("\"lm_head.weight\":\"") + kFirst, std::string("\"lm_head.weight\":\"") + kSecond));
  expect_error(path(), field + ": lm_head.weight", std::string("is not in ") + kSecond);
  write(kIndex, replaced(good, std::string("\"lm_head.weight\":\"") + kFirst + "\",", ""));
  expect_error(path(), std::string(kFirst) + ": lm_head.weight", std::string("is not in ") + kIndex);
  write(kIndex, good);
  fs::remove(folder_ / kSecond);  // libstdc++ on Windows overwrites no file: all have one number there
  fs::copy_file(folder_ / kFirst, folder_ / kSecond);
  expect_error(path(), std::string(kSecond) + ": lm_head.weight", std::string("is in ") + kFirst + ", too");
  write(kSecond, std::string("1234567"));
  expect_error(path(), std::string(kSecond) + ": header length", "7 bytes");
}

}  // namespace
}  // namespace moevk::model
