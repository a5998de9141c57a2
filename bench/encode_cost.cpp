// SPDX-License-Identifier: MIT
//
// encode_cost [--library PATH] [--repeat N]: what recording one layer costs the host's CPU, the plugin's own time apart
// from the driver's, on the device that the library would choose. In: a layer shape and token counts. Out: a row each
// with medians in microseconds and the driver calls.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "tests/interop/interposer.h"
#include "tests/interop/vulkan_host.h"

namespace {

using moe_interop::VulkanHost;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

moe::Layer upload(const moe::Library& library, moe_device* device, const moe_layer_desc& desc) {
  moe::Upload upload = moe::begin_weights(library, device, desc);
  uint32_t count = 0;
  moe::check([&](moe_error* error) { return library->list_tensors(device, &desc, nullptr, &count, error); });
  std::vector<moe_tensor_info> tensors(count, moe_init<moe_tensor_info>());
  moe::check([&](moe_error* error) { return library->list_tensors(device, &desc, tensors.data(), &count, error); });
  for (const moe_tensor_info& tensor : tensors) {
    const std::vector<float> zeros(tensor.bytes / 4);
    moe::add_tensor(library, upload, tensor.name, tensor.dtype, zeros.data(), tensor.bytes);
  }
  return moe::commit_weights(library, upload);
}

void measure(const moe::Library& library, moe_device* device, VulkanHost& host, uint64_t tokens, int repeat) {
  const auto* interop = library.extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP);
  const auto* memory = library.extension<moe_external_memory>(MOE_EXTENSION_EXTERNAL_MEMORY);
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = 64, desc.intermediate = 64, desc.experts = 32, desc.top_k = 4;
  desc.score = MOE_SCORE_SOFTMAX, desc.normalize = MOE_NORMALIZE_SUM_EPS;
  desc.shared_intermediate = 96, desc.shared_gate = MOE_SHARED_GATE_SIGMOID;  // a second segment: more dispatches
  const moe::Layer layer = upload(library, device, desc);
  VulkanHost::Buffer x = host.create_buffer(tokens * 64 * 4), y = host.create_buffer(tokens * 64 * 4);
  {
    const moe::Buffer lent_x(library, moe_interop::import_buffer(memory, device, x, 0, x.bytes));
    const moe::Buffer lent_y(library, moe_interop::import_buffer(memory, device, y, 0, y.bytes));
    const moe_view x_view = moe::buffer_view(lent_x, 0, MOE_DTYPE_F32, tokens, 64);
    const moe_view y_view = moe::buffer_view(lent_y, 0, MOE_DTYPE_F32, tokens, 64);
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = tokens, args.x = &x_view, args.y = &y_view;
    moe_recording_desc recording_desc = moe_init<moe_recording_desc>();
    recording_desc.args = &args;
    moe_recording_info info = moe_init<moe_recording_info>();
    moe_recording* recording = nullptr;
    moe::check([&](moe_error* error) { return interop->query_recording(layer, &recording_desc, &info, error); });
    moe::check([&](moe_error* error) { return interop->create_recording(layer, &recording_desc, &recording, error); });
    VkCommandBuffer commands = host.allocate_commands();
    std::vector<double> own, driver;
    uint64_t calls = 0;
    for (int i = 0; i < repeat; ++i) {
      host.begin(commands);
      moe_interop::reset_driver_calls();
      const auto begin = std::chrono::steady_clock::now();
      moe::check([&](moe_error* error) { return interop->record(recording, commands, 0, error); });
      const double total = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
      const moe_interop::DriverCalls seen = moe_interop::driver_calls();
      driver.push_back(static_cast<double>(seen.nanoseconds) / 1000);
      own.push_back(total - driver.back());
      calls = seen.commands() + seen.others();
      host.end(commands);
    }
    std::printf("%8llu %12u %10u %12.2f %12.2f %8llu\n", static_cast<unsigned long long>(tokens), info.dispatches,
                info.barriers, median(own), median(driver), static_cast<unsigned long long>(calls));
    interop->destroy_recording(recording);
  }
  host.destroy_buffer(x);
  host.destroy_buffer(y);
}

}  // namespace

int main(int argc, char** argv) try {
  const char* path = MOEVK_LIBRARY_PATH;
  int repeat = 1000;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc || (name != "--library" && name != "--repeat")) {
      std::fprintf(stderr, "usage: encode_cost [--library PATH] [--repeat N]\n");
      return 2;
    }
    if (name == "--library") path = argv[i + 1];
    if (name == "--repeat") repeat = std::max(1, std::atoi(argv[i + 1]));
  }
  const moe::Library library(path);
  const auto* interop = library.extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP);
  const moe::Instance instance = moe::create_instance(library);
  const moe_device_info info = moe_interop::chosen_gpu(library, instance);
  moe_interop::HostOptions options;
  options.get_instance_proc_addr = moe_interop::counting_get_instance_proc_addr;
  VulkanHost host(interop, options, info.device_uuid);
  const moe::Device device(library, host.import(instance));
  std::printf("%8s %12s %10s %12s %12s %8s\n", "tokens", "dispatches", "barriers", "own us", "driver us", "calls");
  for (const uint64_t tokens : {1, 9, 64, 512}) measure(library, device, host, tokens, repeat);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "encode_cost: %s\n", error.what());
  return 1;
}
