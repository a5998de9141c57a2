// SPDX-License-Identifier: MIT
//
// In:  files by path.
// Out: see model_file.h.
// Why: the command line turns the readers' refusals into its own errors here, and nowhere else.
#include "tools/moevk/model_file.h"

#include <cstring>

#include "tools/model/half.h"
#include "tools/moevk/random_data.h"

namespace moevk::cli {
namespace {

// `opening`: the argument that is blamed where a file cannot be opened, since the message names the file then.
template <class T>
T unwrap(const std::string& argument, const std::string& opening, model::Result<T> result) {
  if (!result.ok()) {
    const model::ParseError& error = result.error();
    throw error.field == "file" ? UsageError(opening, error.message) : UsageError(argument, error.text());
  }
  return std::move(result.value());
}

}  // namespace

ModelFile::ModelFile(const std::string& file_path)
    : path(file_path), opened(unwrap(file_path, "FILE", model::open_model(file_path))), model(opened.model) {}

model::NpyArray read_npy_matrix(const std::string& argument, const std::string& path, uint64_t rows, uint64_t columns) {
  model::NpyArray array = unwrap(argument, argument, model::read_npy(path));
  if (array.columns != columns || array.rows == 0 || (rows > 0 && array.rows != rows)) {
    throw UsageError(argument, path + " has the shape [" + std::to_string(array.rows) + ", " +
                                   std::to_string(array.columns) + "], but [" +
                                   (rows > 0 ? std::to_string(rows) : "tokens") + ", " + std::to_string(columns) +
                                   "] is needed");
  }
  return array;
}

double bits_per_weight(const model::MoeLayer& layer) {
  double bytes = 0, numbers = 0;
  for (const model::TensorSource& source : layer.tensors) {
    if (source.expert_count == 0) continue;
    bytes += static_cast<double>(source.tensor->bytes);
    numbers += static_cast<double>(source.tensor->numbers);
  }
  return 8 * bytes / numbers;
}

std::vector<float> read_tensor_f32(const ModelFile& file, const model::MoeLayer& layer, const std::string& name) {
  std::vector<float> values;
  for (const model::TensorSource& source : layer.tensors) {
    if (source.name != name) continue;
    const std::byte* bytes = file.store().tensor_bytes(*source.tensor).data();
    values.resize(source.tensor->numbers);
    for (size_t index = 0; index < values.size(); ++index) {
      if (source.dtype == MOE_DTYPE_F32) {
        std::memcpy(&values[index], bytes + 4 * index, 4);
        continue;
      }
      uint16_t half = 0;
      std::memcpy(&half, bytes + 2 * index, 2);
      values[index] = source.dtype == MOE_DTYPE_F16 ? model::half_to_float(half) : model::bfloat_to_float(half);
    }
  }
  return values;
}

moe::Layer upload_model_layer(const Host& host, moe_device* device, const ModelFile& file, const model::MoeLayer& layer,
                              const std::string& label) {
  if (!layer.refusal.empty()) throw UsageError(file.path, layer.refusal);
  Progress progress(label);
  moe_upload_desc desc = moe_init<moe_upload_desc>();
  desc.user = &progress;
  desc.progress = draw_upload;
  moe::Upload upload = moe::begin_weights(host.library(), device, layer.desc, &desc);
  std::vector<std::byte> own;
  for (const model::TensorSource& tensor : layer.tensors) {
    const auto source = model::upload_source(file.store(), tensor, own);
    if (!source) throw UsageError(file.path, source.error().text());
    moe::check([&](moe_error* e) { return host.api().add_tensor(upload, &*source, e); });
  }
  return moe::commit_weights(host.library(), upload);
}

}  // namespace moevk::cli
