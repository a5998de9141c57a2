// SPDX-License-Identifier: MIT
//
// In:  the name of a preset.
// Out: its descriptor, divergences and figures on stdout (see info_preset.h).
// Why: figures stand in the words and units of moevk info FILE, so that the two can be compared.
#include "tools/moevk/info_preset.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "tools/model/layer_fields.h"
#include "tools/model/presets/presets.h"
#include "tools/moevk/host.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr uint64_t kBf16Bytes = 2;

void print_names() {
  Table names({"preset", "model"});
  for (const model::Preset& preset : model::all_presets()) names.add({preset.name, preset.model});
  names.print();
}

std::string all_names() {
  std::string text;
  for (const model::Preset& preset : model::all_presets())
    text += (text.empty() ? "" : ", ") + std::string(preset.name);
  return text;
}

void print_bytes(const char* what, uint64_t parameters) {
  const uint64_t bytes = kBf16Bytes * parameters;
  print_figure(what, bytes, bytes_text(static_cast<double>(bytes)));
}

void print_parameters(const char* what, uint64_t parameters) {
  print_figure(what, parameters, quantity_text(static_cast<double>(parameters)));
}

void print_active(uint64_t active, uint64_t total) {
  print_figure("active parameters", active,
               formatted("%s, %.1f %%", quantity_text(static_cast<double>(active)).c_str(),
                         100.0 * static_cast<double>(active) / static_cast<double>(total)));
}

// One a line; semicolons stand between them.
void print_divergences(std::string_view text) {
  std::printf("%s\n", heading("differs from softmax over all experts, the top k, their weighted sum").c_str());
  while (!text.empty()) {
    const size_t end = std::min(text.find("; "), text.size());
    std::printf("  %.*s\n", static_cast<int>(end), text.data());
    text.remove_prefix(std::min(end + 2, text.size()));
  }
}

void print_whole_model(const model::LayerFigures& layer, const model::ModelParts& parts) {
  const model::ModelFigures figures = model::count_model_figures(layer, parts);
  std::printf("%s\n", heading("whole model in bf16").c_str());
  print_parameters("total parameters", figures.parameters);
  print_active(figures.active_parameters, figures.parameters);
  // Makers count differently: some leave out the input embeddings, some the output matrix too.
  const uint64_t input = parts.output > 0 ? parts.embedding : 0;
  if (input > 0) print_parameters("active less embeddings", figures.active_parameters - input);
  print_parameters("active in the blocks", figures.active_parameters - parts.embedding - parts.output);
  if (parts.vision > 0) print_parameters("vision, not active", parts.vision);
  print_bytes("bytes resident", figures.parameters);
  // One row of the embeddings is next to nothing; where they are the output matrix too, all are read.
  print_bytes("bytes read per token", figures.active_parameters - input);
  std::printf("%s\n", heading(formatted("its %u MoE layers", parts.moe_layers)).c_str());
  print_parameters("total parameters", figures.moe_parameters);
  print_active(figures.moe_active_parameters, figures.moe_parameters);
  print_bytes("bytes resident", figures.moe_parameters);
}

}  // namespace

void print_preset(const std::string& name) {
  if (name == "list") {
    print_names();
    return;
  }
  const model::Preset* preset = model::find_preset(name);
  if (preset == nullptr) throw UsageError("--preset", "'" + name + "' is unknown; there are " + all_names());
  std::printf("%s\n", heading(std::string(preset->name) + ": " + preset->model).c_str());
  for (const model::FieldText& field : model::set_fields(preset->desc)) {
    std::printf("  %-24s %s\n", field.name.c_str(), field.value.c_str());
  }
  print_divergences(preset->divergences);
  const model::LayerFigures layer = preset->layer_figures();
  std::printf("%s\n", heading("one MoE layer in bf16").c_str());
  print_parameters("total parameters", layer.parameters);
  print_active(layer.active_parameters, layer.parameters);
  print_bytes("bytes resident", layer.parameters);
  if (preset->parts) {
    print_whole_model(layer, *preset->parts);
  } else {
    std::printf("layer figures only: the rest of the model is not described here\n");
  }
  if (preset->published[0] != '\0') std::printf("published: %s\n", preset->published);
}

}  // namespace moevk::cli
