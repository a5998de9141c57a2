// SPDX-License-Identifier: MIT
//
// Weights and tokens are those of `moevk bench`: uniform and normal deviates, so routing is near to uniform.
#include "tests/bytes/counted_layer.h"

#include <set>
#include <sstream>
#include <stdexcept>

#include "tools/moevk/bench_case.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/random_data.h"
#include "tools/moevk/roofline.h"

namespace moe_bytes {
namespace {

namespace cli = moevk::cli;

constexpr uint64_t kSeed = 1;

moe_layer_desc describe(const std::string& shape, const std::string& format) {
  cli::LayerOptions options;
  options.shape = shape;
  return cli::describe_layer(options, format);
}

// Of the dispatches of a plan, in order: what stands first in a line that is two spaces in.
std::vector<std::string> kernels_of(const std::string& plan) {
  std::vector<std::string> names;
  std::istringstream lines(plan);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() < 3 || line.compare(0, 2, "  ") != 0 || line[2] == ' ' || line[2] == '-') continue;
    names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

}  // namespace

std::unique_ptr<moe_interop::VulkanHost> counted_host(const cli::Host& host, uint32_t index) {
  moe_interop::HostOptions options;
  options.get_instance_proc_addr = &ByteCounter::get_instance_proc_addr;
  const auto* interop = host.library().extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP);
  return std::make_unique<moe_interop::VulkanHost>(interop, options, host.devices()[index].device_uuid);
}

std::string cannot_count(const cli::Host& host, uint32_t index) {
  const std::string caps = host.caps_text(host.open(index));
  for (const std::string fact : {"buffer_device_address", "push_descriptors"}) {
    if (caps.find("\n" + fact + " = 1\n") == std::string::npos) return "the device has no " + fact;
  }
  return "";
}

uint64_t CountedCall::distinct() const {
  uint64_t sum = 0;
  for (const CountedDispatch& dispatch : dispatches) sum += dispatch.bytes.distinct();
  return sum;
}

AccessBytes CountedCall::weights() const {
  AccessBytes all;
  all.name = "weights";
  for (const CountedDispatch& dispatch : dispatches) {
    for (const AccessBytes& access : dispatch.bytes.accesses) {
      if (access.name != all.name) continue;
      all.requested += access.requested;
      all.coalesced += access.coalesced;
      all.distinct += access.distinct;
    }
  }
  return all;
}

CountedDevice::CountedDevice(const cli::Host& host, uint32_t index, bool by_subgroups)
    : host_(host), vulkan_(counted_host(host, index)), counter_(std::make_unique<ByteCounter>(*vulkan_, by_subgroups)) {
  device_ = moe::Device(host.library(), vulkan_->import(host.instance()));
}

std::vector<CountedCall> CountedDevice::count(const std::string& shape, const std::string& format,
                                              const std::vector<uint64_t>& tokens) {
  const moe_layer_desc desc = describe(shape, format);
  const moe::Layer layer = cli::upload_random_layer(host_, device_, desc, kSeed, {}, "");
  std::vector<CountedCall> calls;
  for (const uint64_t T : tokens) {
    cli::BenchCase bench(host_, device_, layer, desc, cli::random_tokens(T, desc.hidden, kSeed));
    CountedCall call;
    call.format = format;
    call.tokens = T;
    const std::vector<int32_t> ids = bench.chosen_experts();
    call.experts = std::set<int32_t>(ids.begin(), ids.end()).size();
    counter_->reset();
    bench.time(1);
    std::vector<DispatchBytes> counted = counter_->read();
    const std::string plan = host_.plan_text(host_.caps_text(device_), desc, T);
    const std::vector<std::string> kernels = kernels_of(plan);
    if (kernels.size() != counted.size()) throw std::runtime_error("the plan has other dispatches than were counted");
    for (size_t i = 0; i < counted.size(); ++i) call.dispatches.push_back({kernels[i], std::move(counted[i])});
    call.combines = plan.find("COMBINE=1") != std::string::npos;
    call.y = bench.read_y();

    const auto experts = static_cast<double>(call.experts);
    const double bits = cli::bits_of_format(format);
    call.least = cli::roofline(desc, T, bits, experts).bytes;
    if (call.combines) call.least -= 4.0 * 2 * static_cast<double>(T * desc.top_k * desc.hidden);
    call.least_weights = experts * 3 * desc.hidden * desc.intermediate * bits / 8;
    calls.push_back(std::move(call));
  }
  return calls;
}

std::vector<float> plain_outputs(const cli::Host& host, uint32_t index, const std::string& shape,
                                 const std::string& format, uint64_t tokens) {
  const moe_layer_desc desc = describe(shape, format);
  const moe::Device device = host.open(index);
  const moe::Layer layer = cli::upload_random_layer(host, device, desc, kSeed, {}, "");
  cli::BenchCase bench(host, device, layer, desc, cli::random_tokens(tokens, desc.hidden, kSeed));
  bench.time(1);
  return bench.read_y();
}

}  // namespace moe_bytes
