// SPDX-License-Identifier: MIT
//
// moevk quantize. In: a GGUF file in f32, f16 or bf16. Out: one whose experts are in another type.
// Why: experts are where the memory goes, and some hosts have no other tool at hand.
#include <cstdio>

#include "tools/model/block_encoder.h"
#include "tools/model/gguf_rewriter.h"
#include "tools/model/moe_model.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

bool is_expert_matrix(const std::string& name) { return name.starts_with("experts.") && !name.ends_with(".bias"); }

}  // namespace

int quantize(const QuantizeOptions& options) {
  model::Rewrite rewrite;
  rewrite.type = model::encodable_type(options.type);
  if (rewrite.type == UINT32_MAX) {
    throw UsageError("--type", options.type + " is none of " + model::encodable_types() +
                                   "; IQ3_XXS and types that want an importance matrix are llama-quantize's");
  }
  const auto file = model::GgufFile::open(options.in);
  if (!file) throw UsageError(options.in, file.error().text());
  const auto found = model::find_moe_layers(*file);
  if (!found) throw UsageError(options.in, found.error().text());
  uint64_t before = 0;
  for (const model::MoeLayer& layer : found->layers) {
    for (const model::TensorSource& source : layer.tensors) {
      if (!is_expert_matrix(source.name)) continue;
      rewrite.tensors.push_back(source.tensor);
      before += source.tensor->bytes;
    }
  }
  Progress progress("quantising");
  rewrite.progress = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return true;
  };
  const auto written = model::rewrite_gguf(*file, options.out, rewrite);
  progress.clear();
  if (!written) throw UsageError(options.out, written.error().text());
  const uint64_t saved = file->bytes().size() > *written ? file->bytes().size() - *written : 0;
  std::printf("%s: %s, experts' matrices (%zu tensors, %s) in %s; %s less than %s\n", options.out.c_str(),
              bytes_text(static_cast<double>(*written)).c_str(), rewrite.tensors.size(),
              bytes_text(static_cast<double>(before)).c_str(), model::find_ggml_type(rewrite.type)->name,
              bytes_text(static_cast<double>(saved)).c_str(), options.in.c_str());
  return kExitOk;
}

}  // namespace moevk::cli
