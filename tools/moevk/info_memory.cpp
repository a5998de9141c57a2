// SPDX-License-Identifier: MIT
//
// The table of devices (see info_memory.h).
#include "tools/moevk/info_memory.h"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

void add_device(Table& table, const Host& host, uint32_t index, const std::vector<const moe_layer_desc*>& layers,
                uint64_t tokens) {
  const moe_device_info& info = host.devices()[index];
  const std::string name = std::to_string(index) + "  " + info.name;
  try {
    const moe::Device device = host.open(index);
    moe_estimate estimate = MOE_INIT(moe_estimate);
    moe::check([&](moe_error* error) {
      return host.api().estimate(device, layers.data(), static_cast<uint32_t>(layers.size()), tokens, &estimate, error);
    });
    const uint64_t total = estimate.weight_bytes + estimate.workspace_bytes + estimate.staging_bytes;
    table.add({name, grouped_text(estimate.weight_bytes), grouped_text(estimate.workspace_bytes),
               grouped_text(estimate.staging_bytes), grouped_text(info.free_bytes),
               total <= info.free_bytes ? good("yes") : bad("no")});
  } catch (const moe::Error& error) {
    table.add({name, "-", "-", "-", grouped_text(info.free_bytes), bad("no: ") + error.what()});
  }
}

}  // namespace

void print_device_memory(const GlobalOptions& globals, const ModelFile& file, uint64_t tokens) {
  std::printf("%s\n", heading(formatted("bytes of device memory, for calls of up to %llu tokens",
                                        static_cast<unsigned long long>(tokens)))
                          .c_str());
  std::vector<const moe_layer_desc*> layers;
  for (const model::MoeLayer& layer : file.model.layers) {
    if (layer.refusal.empty()) layers.push_back(&layer.desc);
  }
  try {
    const Host host(globals);
    Table table({"device", ">weights", ">workspace", ">while loading", ">free", "fits"});
    bool any = false;
    for (uint32_t index = 0; index < host.devices().size() && !layers.empty(); ++index) {
      const moe_device_info& info = host.devices()[index];
      if (info.usable == 0 || info.kind == MOE_DEVICE_KIND_REFERENCE) continue;
      add_device(table, host, index, layers, tokens);
      any = true;
    }
    if (any) {
      table.print(2);
    } else {
      std::printf("  %s\n", layers.empty() ? "no layer of it runs here" : host.api().why_no_gpu(host.instance()));
    }
  } catch (const std::exception& problem) {  // the file's own figures need no library
    std::printf("  not known: %s\n", problem.what());
  }
}

}  // namespace moevk::cli
