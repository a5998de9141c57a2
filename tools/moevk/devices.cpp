// SPDX-License-Identifier: MIT
//
// moevk devices. In: this machine. Out: a table of its devices and which one would be chosen, or
// one device's caps text. Why: the first question of everyone: does the library see my GPU, and if
// not, why?
#include <cstdio>

#include "tools/model/device_kind_name.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

void print_devices(const Host& host) {
  const uint32_t chosen = host.chosen();
  Table table({">index", "kind", "name", "driver", ">memory", "usable"});
  for (uint32_t index = 0; index < host.devices().size(); ++index) {
    const moe_device_info& device = host.devices()[index];
    table.add({std::to_string(index), model::device_kind_name(device.kind), device.name, device.driver,
               device.memory_bytes > 0 ? bytes_text(static_cast<double>(device.memory_bytes)) : "-",
               device.usable != 0 ? good("yes") : bad("no: ") + device.reason});
  }
  table.print();
  const std::string why = host.api().why_no_gpu(host.instance());
  if (!why.empty()) std::printf("no GPU: %s\n", why.c_str());
  std::printf("chosen: %u %s\n", chosen, host.devices()[chosen].name);
  std::printf("%s\n", remark(std::string("library: ") + host.api().build).c_str());
}

}  // namespace

int list_devices(const GlobalOptions& globals, const DevicesOptions& options) {
  const Host host(globals);
  if (options.caps.empty()) {
    print_devices(host);
  } else {
    const moe::Device device = host.open(host.find(options.caps));
    std::fputs(host.caps_text(device).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace moevk::cli
