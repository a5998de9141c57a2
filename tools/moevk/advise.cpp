// SPDX-License-Identifier: MIT
//
// moevk advise. In: a model, this machine's devices, what is known of their bandwidth. Out: what fits where, bytes read
// for a token, tokens a second at most, llama.cpp's flags.
// Why: the questions before a model is loaded. What is measured, told by a driver or assumed is said beside each
// figure.
#include <cstdio>

#include "tools/model/device_kind_name.h"
#include "tools/moevk/advice.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/model_file.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr double kGiga = 1e9;
constexpr double kExampleBandwidth = 100 * kGiga;  // to scale from where none is given

std::string bytes_of(double bytes) { return bytes_text(bytes); }
std::string bytes_of(uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

void line(const char* what, const std::string& text) { std::printf("  %-12s%s\n", what, text.c_str()); }

void print_model(const ModelFile& file, const ModelFacts& facts) {
  const model::MoeModel& model = file.model;
  std::printf("%s\n", heading(file.path).c_str());
  line("model", formatted("%s, %zu MoE layers of %u, %u experts, %u for each token", model.architecture.c_str(),
                          model.layers.size(), model.block_count, model.experts, model.top_k));
  line("weights",
       formatted("%s, routed experts %s: %s a layer", bytes_of(facts.bytes).c_str(),
                 bytes_of(facts.expert_bytes()).c_str(), bytes_of(facts.expert_bytes() / facts.layers.size()).c_str()));
  line("a token", formatted("reads %s of weights (of these files), computes %.3g GFLOP in MoE layers",
                            bytes_of(facts.bytes_per_token).c_str(), facts.moe_flops / kGiga));
  for (const model::MoeLayer& layer : model.layers) {
    if (!layer.refusal.empty()) {
      line("moevk", "cannot run it yet: " + layer.refusal);
      break;
    }
  }
}

std::string rate_text(double per_second) {
  return formatted("%.*f tokens/s at most", per_second < 100 ? 1 : 0, per_second);
}

std::string speed_text(const Advice& advice, const AdviseOptions& options, const ModelFacts& facts) {
  const std::string device = bytes_of(advice.device_bytes_per_token) + " on the device";
  const std::string host =
      advice.host_bytes_per_token > 0 ? ", " + bytes_of(advice.host_bytes_per_token) + " from the host's memory" : "";
  if (advice.tokens_per_second) {
    return formatted("%s: %s at %.4g GB/s%s (bandwidths as given)", rate_text(*advice.tokens_per_second).c_str(),
                     device.c_str(), options.bandwidth,
                     host.empty() ? "" : formatted("%s at %.4g GB/s", host.c_str(), options.host_bandwidth).c_str());
  }
  const double per_token = static_cast<double>(facts.bytes_per_token) + facts.activation_bytes;
  return formatted("%s for every 100 GB/s (an example, nothing is measured): %s%s",
                   rate_text(kExampleBandwidth / per_token).c_str(), device.c_str(), host.c_str());
}

void print_device(uint32_t index, const moe_device_info& info, const ModelFile& file, const ModelFacts& facts,
                  const AdviseOptions& options) {
  DeviceFacts device;
  device.free_bytes = info.free_bytes;
  device.reserve_bytes = options.reserve_mib << 20;
  device.bandwidth = options.bandwidth * kGiga;
  device.host_bandwidth = options.host_bandwidth * kGiga;
  const Advice advice = advise(facts, device);
  const size_t layers = facts.layers.size();
  std::printf("\n%s\n",
              heading(formatted("device %u  %s (%s)", index, info.name, model::device_kind_name(info.kind))).c_str());
  line("budget", formatted("%s: %s free of %s (as the driver says) less %s for contexts and buffers (assumed)",
                           bytes_of(advice.budget_bytes).c_str(), bytes_of(info.free_bytes).c_str(),
                           bytes_of(info.memory_bytes).c_str(), bytes_of(device.reserve_bytes).c_str()));
  line("moevk", advice.layers_that_fit == layers
                    ? formatted("all %zu MoE layers fit", layers)
                    : formatted("%u of %zu MoE layers fit", advice.layers_that_fit, layers));
  if (!advice.rest_fits) {
    line("llama.cpp", formatted("not even what is no expert fits (%s): take a lower -ngl",
                                bytes_of(facts.bytes - facts.expert_bytes()).c_str()));
    return;
  }
  line("llama.cpp", formatted("experts of %u of %zu layers fit beside all the rest: %s", advice.layers_with_experts,
                              layers, advice.flags.c_str()));
  if (!advice.override_flags.empty()) line("", "or: " + advice.override_flags);
  if (!file.opened.is_gguf) line("", "(it reads GGUF: convert the checkpoint first)");
  line("speed", speed_text(advice, options, facts));
}

}  // namespace

int advise(const GlobalOptions& globals, const AdviseOptions& options) {
  const ModelFile file(options.file);
  const ModelFacts facts = model_facts(file.model);
  const Host host(globals);
  std::vector<uint32_t> chosen;
  if (!options.device.empty()) chosen.push_back(host.find(options.device));
  for (uint32_t index = 0; options.device.empty() && index < host.devices().size(); ++index) {
    const moe_device_info& info = host.devices()[index];
    if (info.usable != 0 && info.kind != MOE_DEVICE_KIND_REFERENCE) chosen.push_back(index);
  }
  print_model(file, facts);
  for (const uint32_t index : chosen) print_device(index, host.devices()[index], file, facts, options);
  if (chosen.empty()) std::printf("\nno device: %s\n", host.api().why_no_gpu(host.instance()));
  if (options.bandwidth == 0) {
    std::printf("\n%s\n",
                remark("--bandwidth GB/s gives the speed; the program device_peak measures it, or take the data "
                       "sheet's and say so.")
                    .c_str());
  }
  return kExitOk;
}

}  // namespace moevk::cli
