// SPDX-License-Identifier: MIT
//
// moevk info. In: a GGUF file or a checkpoint, or the name of a preset. Out: its architecture, MoE layers, tensor
// types, total and active parameters, bytes resident and bytes read per token; a preset's descriptor.
// Why: these numbers decide whether a model fits a machine, and how fast it can be there.
#include <cstdio>
#include <string>
#include <vector>

#include "tools/model/moe_model.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/info_memory.h"
#include "tools/moevk/info_preset.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/model_file.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

// "0-3,5": blocks of a sorted list.
std::string ranges_text(const std::vector<uint32_t>& numbers) {
  std::string text;
  for (size_t first = 0; first < numbers.size();) {
    size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[first]);
    if (last > first) text += "-" + std::to_string(numbers[last]);
    first = last + 1;
  }
  return text;
}

// The types of a layer's expert matrices: "f16", or "Q4_K Q6_K".
std::string expert_types(const model::MoeLayer& layer) {
  std::string text;
  for (const model::TensorSource& source : layer.tensors) {
    const std::string name =
        source.packed_bits > 0 ? "int" + std::to_string(source.packed_bits) : source.tensor->type->name;
    if (source.name.ends_with(".scale") || source.name.ends_with(".zero")) continue;  // beside fp8, fp4, integers
    if (source.expert_count > 0 && (" " + text + " ").find(" " + name + " ") == std::string::npos) {
      text += (text.empty() ? "" : " ") + name;
    }
  }
  return text;
}

void print_totals(const model::ModelTotals& totals) {
  std::printf("%s\n", heading("whole model").c_str());
  print_figure("total parameters", totals.parameters, quantity_text(static_cast<double>(totals.parameters)));
  print_figure(
      "active parameters", totals.active_parameters,
      formatted("%s, %.1f %%", quantity_text(static_cast<double>(totals.active_parameters)).c_str(),
                100.0 * static_cast<double>(totals.active_parameters) / static_cast<double>(totals.parameters)));
  print_figure("bytes resident", totals.bytes, bytes_text(static_cast<double>(totals.bytes)));
  print_figure("bytes read per token", totals.bytes_per_token, bytes_text(static_cast<double>(totals.bytes_per_token)));
  std::printf("%s\n", heading("MoE layers").c_str());
  print_figure("total parameters", totals.moe_parameters, quantity_text(static_cast<double>(totals.moe_parameters)));
  print_figure("active parameters", totals.moe_active_parameters,
               quantity_text(static_cast<double>(totals.moe_active_parameters)));
  print_figure("bytes resident", totals.moe_bytes, bytes_text(static_cast<double>(totals.moe_bytes)));
  print_figure("bytes read per token", totals.moe_bytes_per_token,
               bytes_text(static_cast<double>(totals.moe_bytes_per_token)));
}

void print_info(const ModelFile& file) {
  const model::MoeModel& model = file.model;
  std::vector<uint32_t> blocks;
  for (const model::MoeLayer& layer : model.layers) blocks.push_back(layer.block);
  std::printf("%s\n", heading(file.path).c_str());
  std::printf("  architecture  %s%s\n", model.architecture.c_str(),
              model.name.empty() ? "" : (", \"" + model::printable(model.name) + "\"").c_str());
  std::printf("  layers        %u, MoE: %s (%zu)\n", model.block_count, ranges_text(blocks).c_str(), blocks.size());
  std::printf("  hidden        H = %u\n", model.hidden);
  std::printf("  experts       E = %u of width F = %u, k = %u for each token\n", model.experts, model.intermediate,
              model.top_k);
  std::printf("  shared        %s\n",
              model.shared_intermediate > 0 ? ("width " + std::to_string(model.shared_intermediate)).c_str() : "none");
  if (!model.packing.empty()) std::printf("  packed        %s\n", model.packing.c_str());
  std::printf("  computes      %s\n", layer_text(model.layers.front().desc).c_str());
  print_totals(model.totals);

  std::printf("%s\n", heading("by type").c_str());
  Table types({"type", ">tensors", ">parameters", ">bytes", ">share"});
  for (const model::TypeTotal& total : model.totals.types) {
    types.add(
        {total.type->name, std::to_string(total.tensors), grouped_text(total.parameters), grouped_text(total.bytes),
         formatted("%.1f %%", 100.0 * static_cast<double>(total.bytes) / static_cast<double>(model.totals.bytes))});
  }
  types.print(2);

  std::printf("%s\n", heading("by layer").c_str());
  Table layers({">layer", "experts' types", ">parameters", ">active", ">bytes", ">bytes per token", "runs here"});
  for (const model::MoeLayer& layer : model.layers) {
    layers.add({std::to_string(layer.block), expert_types(layer), grouped_text(layer.parameters),
                grouped_text(layer.active_parameters), grouped_text(layer.bytes), grouped_text(layer.bytes_per_token),
                layer.refusal.empty() ? good("yes") : bad("no: ") + layer.refusal});
  }
  layers.print(2);
}

}  // namespace

int show_info(const GlobalOptions& globals, const InfoOptions& options) {
  if (!options.preset.empty()) {
    print_preset(options.preset);
  } else if (options.file.empty()) {
    throw UsageError("FILE", "is missing: moevk info FILE, or moevk info --preset NAME");
  } else {
    const ModelFile model(options.file);
    print_info(model);
    print_device_memory(globals, model, options.tokens);
  }
  return kExitOk;
}

}  // namespace moevk::cli
