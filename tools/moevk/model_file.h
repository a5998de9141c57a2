// SPDX-License-Identifier: MIT
//
// In:  a path to a GGUF file, to a checkpoint, or to an .npy file.
// Out: the opened model with its MoE layers; numbers of the size that the caller expects; a layer on a device.
// Why: a refused file becomes one UsageError that names the file, wherever it is opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/model/npy.h"
#include "tools/model/open_model.h"
#include "tools/moevk/host.h"

namespace moevk::cli {

struct ModelFile {
  explicit ModelFile(const std::string& path);
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;

  const model::TensorStore& store() const { return *opened.store; }

  std::string path;
  model::OpenModel opened;
  const model::MoeModel& model;  // of `opened`
};

// Throws UsageError for `argument` if the file is refused, or has not `columns` columns, or (rows >
// 0) not `rows` rows.
model::NpyArray read_npy_matrix(const std::string& argument, const std::string& path, uint64_t rows, uint64_t columns);

// Of the routed experts' matrices, scales included.
double bits_per_weight(const model::MoeLayer& layer);

// One tensor of a layer in f32: the router, to bound its rounding errors. Empty if there is none.
std::vector<float> read_tensor_f32(const ModelFile& file, const model::MoeLayer& layer, const std::string& name);

// Uploads a layer's tensors by path and offset, with a progress line.
moe::Layer upload_model_layer(const Host& host, moe_device* device, const ModelFile& file, const model::MoeLayer& layer,
                              const std::string& label);

}  // namespace moevk::cli
