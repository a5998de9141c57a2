// SPDX-License-Identifier: MIT
//
// In:  a Hugging Face checkpoint: a folder with config.json and safetensors files, or one of its files.
// Out: its config and all its tensors, whichever file each is in; or a ParseError that names file and field.
// Why: models larger than a few GB come in shards, which model.safetensors.index.json lists tensor by tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "tools/model/mapped_file.h"
#include "tools/model/safetensors.h"

namespace moevk::model {

class Checkpoint : public TensorStore {
 public:
  // Bytes that the caller keeps alive.
  struct NamedBytes {
    std::string name;  // "model-00001-of-00002.safetensors"
    std::span<const std::byte> bytes;
  };

  // True for a folder, and for a path that ends in .safetensors or .json.
  static bool is_path_of_one(const std::string& path);
  // The folder, its config.json or model.safetensors.index.json, or a .safetensors file with config.json beside it; a
  // file that the index beside it lists stands for the whole checkpoint. The object owns the mappings.
  static Result<Checkpoint> open(const std::string& path);
  // The same from memory; `index` is empty where there is none.
  static Result<Checkpoint> parse(std::span<const std::byte> config, std::span<const std::byte> index,
                                  const std::vector<NamedBytes>& files);

  const nlohmann::json& config() const { return *config_; }  // an object
  const std::string& folder() const { return folder_; }      // empty where the bytes are the caller's

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }  // by name
  const TensorInfo* find_tensor(std::string_view name) const override;
  std::span<const std::byte> tensor_bytes(const TensorInfo& tensor) const override;
  const std::string& tensor_path(const TensorInfo& tensor) const override;
  // The name of the file that holds it, for messages.
  const std::string& file_name(const TensorInfo& tensor) const { return parts_[tensor.part].name; }

 private:
  struct Part {
    std::string name;
    MappedFile file;  // empty where the bytes are the caller's
    std::span<const std::byte> bytes;
    std::deque<std::string> names;
  };
  struct Index;

  Checkpoint() = default;
  static Result<Index> read_index(std::span<const std::byte> bytes);
  // Each of these gives an empty message where all is well.
  ParseError add_part(Part part);
  ParseError finish(const Index& index);

  std::string folder_;
  std::shared_ptr<const nlohmann::json> config_;
  std::vector<Part> parts_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace moevk::model
