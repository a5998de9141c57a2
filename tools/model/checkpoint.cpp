// SPDX-License-Identifier: MIT
//
// In:  a checkpoint's files.
// Out: its tensors (see checkpoint.h).
// Why: what index and files say of each other is compared here, so that nobody meets a tensor that is not there.
#include "tools/model/checkpoint.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/model/checkpoint_quantization.h"
#include "tools/model/json_reader.h"
#include "tools/model/utf8_path.h"

namespace moevk::model {

// Of model.safetensors.index.json.
struct Checkpoint::Index {
  std::map<std::string, std::string, std::less<>> files;  // by tensor; empty: there is no index
};

namespace {

constexpr char kConfig[] = "config.json";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;  // of 100,000 tensors it has about 10 MB
constexpr char kSingle[] = "model.safetensors";

// A file of the same folder: nothing else may be opened for an index.
bool is_plain_name(const std::string& name) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  return name.ends_with(".safetensors") && name.find_first_of("/\\:") == std::string::npos && name.size() < 256 &&
         std::none_of(name.begin(), name.end(), control);
}

ParseError in_file(const std::string& name, ParseError error) {
  error.field = error.field == "file" ? "file" : name + ": " + error.field;
  return error;
}

// Formats that hold scales, and numbers of few bits, in tensors of their own; parameters are counted without scales.
// `bits`: of the integers that words of 32 bits hold, 0 where there are none.
void count_packed_numbers(TensorInfo& tensor, uint32_t bits) {
  const auto ends_with = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(), [&](const char* end) { return tensor.name.ends_with(end); });
  };
  if (tensor.type->id == kTypeU8 && tensor.name.ends_with("_blocks")) tensor.numbers = 2 * tensor.bytes;
  if (tensor.name.ends_with("_scale_inv") || (tensor.type->id == kTypeU8 && tensor.name.ends_with("_scales"))) {
    tensor.numbers = 0;
  }
  if (bits == 0) return;
  if (tensor.type->id == kGgmlI32 && ends_with({".qweight", ".weight_packed"})) {
    tensor.numbers = tensor.bytes * 8 / bits;
  } else if (ends_with({".qzeros", ".scales", ".g_idx", ".weight_scale", ".weight_zero_point", ".weight_shape",
                        ".weight_g_idx"})) {
    tensor.numbers = 0;
  }
}

}  // namespace

bool Checkpoint::is_path_of_one(const std::string& path) {
  std::error_code ignored;
  return path.ends_with(".safetensors") || path.ends_with(".json") ||
         std::filesystem::is_directory(path_of(path), ignored);
}

Result<Checkpoint::Index> Checkpoint::read_index(std::span<const std::byte> bytes) {
  Index index;
  const auto document = read_json(bytes, kIndex, {.bytes = kMaxIndexBytes});
  if (!document) return document.error();
  const auto map = (*document)->find("weight_map");
  if (map == (*document)->end() || !map->is_object() || map->empty()) {
    return ParseError{0, std::string(kIndex) + ": weight_map", "is missing, empty or not an object"};
  }
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>())) {
      return ParseError{0, std::string(kIndex) + ": weight_map: " + printable(tensor),
                        "is not the name of a .safetensors file in the same folder"};
    }
    index.files.emplace(tensor, file.get<std::string>());
  }
  return index;
}

ParseError Checkpoint::add_part(Part part) {
  auto header = parse_safetensors(part.bytes);
  if (!header) return in_file(part.name, header.error());
  part.names = std::move(header->names);
  const uint32_t bits = packed_bits(*config_);
  for (TensorInfo& tensor : header->tensors) {
    tensor.part = static_cast<uint32_t>(parts_.size());
    count_packed_numbers(tensor, bits);
    tensors_.push_back(tensor);
  }
  parts_.push_back(std::move(part));
  return {};
}

ParseError Checkpoint::finish(const Index& index) {
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].name == tensors_[i - 1].name) {
      return {0, file_name(tensors_[i]) + ": " + printable(tensors_[i].name),
              "is in " + file_name(tensors_[i - 1]) + ", too"};
    }
  }
  if (index.files.empty()) return {};
  for (const auto& [name, file] : index.files) {
    const TensorInfo* tensor = find_tensor(name);
    if (tensor == nullptr || file_name(*tensor) != file) {
      return {0, std::string(kIndex) + ": weight_map: " + printable(name), "is not in " + printable(file)};
    }
  }
  for (const TensorInfo& tensor : tensors_) {
    if (!index.files.contains(tensor.name)) {
      return {0, file_name(tensor) + ": " + printable(tensor.name), "is not in " + std::string(kIndex)};
    }
  }
  return {};
}

Result<Checkpoint> Checkpoint::open(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path given = path_of(path);
  const bool is_folder = fs::is_directory(given, ignored);
  const fs::path folder = is_folder ? given : given.parent_path();
  const auto in_folder = [&](const std::string& name) { return utf8_of(folder / path_of(name)); };
  if (!is_folder && !fs::exists(given, ignored)) return ParseError{0, "file", path + ": there is no such file"};

  Checkpoint checkpoint;
  checkpoint.folder_ = folder.empty() ? "." : utf8_of(folder);
  const auto config_file = MappedFile::open(in_folder(kConfig));
  if (!config_file) return config_file.error();
  auto config = read_json(config_file->bytes(), kConfig);
  if (!config) return config.error();
  checkpoint.config_ = std::move(*config);

  Index index;
  std::vector<std::string> names;
  if (fs::exists(path_of(in_folder(kIndex)), ignored)) {
    const auto index_file = MappedFile::open(in_folder(kIndex));
    if (!index_file) return index_file.error();
    auto read = read_index(index_file->bytes());
    if (!read) return read.error();
    index = std::move(*read);
    for (const auto& [tensor, file] : index.files) names.push_back(file);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  // A file that the index does not know is a model by itself.
  const std::string own = utf8_of(given.filename());
  if (!is_folder && own.ends_with(".safetensors") && !std::binary_search(names.begin(), names.end(), own)) {
    index = {};
    names = {own};
  }
  if (names.empty()) names = {kSingle};
  for (const std::string& name : names) {
    const std::string full = in_folder(name);
    if (!fs::exists(path_of(full), ignored)) {
      if (index.files.empty()) {
        return ParseError{0, "file", full + ": there is no such file, and no " + std::string(kIndex) + " beside it"};
      }
      const auto first =
          std::find_if(index.files.begin(), index.files.end(), [&](const auto& entry) { return entry.second == name; });
      return ParseError{0, std::string(kIndex) + ": weight_map",
                        printable(name) + " is missing in " + checkpoint.folder_ + "; it holds " +
                            printable(first->first) + " and " +
                            std::to_string(std::count_if(index.files.begin(), index.files.end(),
                                                         [&](const auto& entry) { return entry.second == name; }) -
                                           1) +
                            " more"};
    }
    auto file = MappedFile::open(full);
    if (!file) return file.error();
    Part part;
    part.name = name;
    part.file = std::move(*file);
    part.bytes = part.file.bytes();
    if (ParseError error = checkpoint.add_part(std::move(part)); !error.message.empty()) return error;
  }
  if (ParseError error = checkpoint.finish(index); !error.message.empty()) return error;
  return checkpoint;
}

Result<Checkpoint> Checkpoint::parse(std::span<const std::byte> config, std::span<const std::byte> index_bytes,
                                     const std::vector<NamedBytes>& files) {
  Checkpoint checkpoint;
  auto document = read_json(config, kConfig);
  if (!document) return document.error();
  checkpoint.config_ = std::move(*document);
  Index index;
  if (!index_bytes.empty()) {
    auto read = read_index(index_bytes);
    if (!read) return read.error();
    index = std::move(*read);
  }
  for (const NamedBytes& file : files) {
    Part part;
    part.name = file.name;
    part.bytes = file.bytes;
    if (ParseError error = checkpoint.add_part(std::move(part)); !error.message.empty()) return error;
  }
  if (ParseError error = checkpoint.finish(index); !error.message.empty()) return error;
  return checkpoint;
}

const TensorInfo* Checkpoint::find_tensor(std::string_view name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const TensorInfo& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

std::span<const std::byte> Checkpoint::tensor_bytes(const TensorInfo& tensor) const {
  return parts_[tensor.part].bytes.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
}

const std::string& Checkpoint::tensor_path(const TensorInfo& tensor) const { return parts_[tensor.part].file.path(); }

}  // namespace moevk::model
