// SPDX-License-Identifier: MIT
//
// upload_cost [--library PATH] [--megabytes N] [--repeat N]: what it costs the host to bring weights in block formats to
// the device. In: nothing but a device; the weights are random. Out: a row for each format with medians: the host's time
// for packing and for copying the same bytes, and how fast a whole upload goes. Run it again with
// MOEVK_LIMITS=struck_kernels=pack_rows, and the host packs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_packed.h"

namespace {

struct Cost {
  double wall = 0;     // seconds
  double process = 0;  // of processors' time, a software driver's threads included
};

Cost median_cost(int repeat, const std::function<void()>& work) {
  std::vector<double> wall, process;
  for (int i = 0; i < repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t clock = std::clock();
    work();
    process.push_back(static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC);
    wall.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  const auto median = [](std::vector<double>& values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  return {median(wall), median(process)};
}

void upload(const moe::Library& library, moe_device* device, const moe_layer_desc& desc,
            const std::vector<std::byte>& matrix) {
  moe::Upload upload = moe::begin_weights(library, device, desc);
  const std::vector<float> router(size_t{desc.experts} * desc.hidden);
  moe::add_tensor(library, upload, "router.weight", MOE_DTYPE_F32, router.data(), router.size() * 4);
  for (const char* name : {"experts.gate", "experts.up", "experts.down"}) {
    moe::add_tensor(library, upload, name, MOE_DTYPE_BLOCKS, matrix.data(), matrix.size());
  }
  (void)moe::commit_weights(library, upload);
}

void measure(const moe::Library& library, moe_device* device, const char* name, uint32_t preset, uint64_t megabytes,
             int repeat) {
  const auto* packing = library.extension<moe_packed_rows>(MOE_EXTENSION_PACKED_ROWS);
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = desc.intermediate = 2048, desc.experts = 1, desc.top_k = 1;
  desc.score = MOE_SCORE_SOFTMAX;
  desc.gate_format.preset = desc.up_format.preset = desc.down_format.preset = preset;
  uint32_t count = 0;
  moe::check([&](moe_error* error) { return library->list_tensors(device, &desc, nullptr, &count, error); });
  std::vector<moe_tensor_info> tensors(count, moe_init<moe_tensor_info>());
  moe::check([&](moe_error* error) { return library->list_tensors(device, &desc, tensors.data(), &count, error); });
  uint64_t expert_bytes = 0;
  for (const moe_tensor_info& tensor : tensors) {
    if (std::string(tensor.name) == "experts.up") expert_bytes = tensor.bytes;
  }
  desc.experts = static_cast<uint32_t>(std::max<uint64_t>(megabytes * 1000000 / (3 * expert_bytes), 1));
  std::vector<std::byte> matrix(desc.experts * expert_bytes);
  std::mt19937 random(1);
  for (std::byte& b : matrix) b = static_cast<std::byte>(random());
  const uint64_t rows = uint64_t{desc.experts} * desc.hidden;
  uint64_t packed_row = 0;
  moe::check(
      [&](moe_error* error) { return packing->row_bytes(device, &desc.up_format, desc.hidden, &packed_row, error); });
  std::vector<std::byte> packed(rows * packed_row);
  const Cost pack = median_cost(repeat, [&] {
    moe::check([&](moe_error* error) {
      return packing->pack(device, &desc.up_format, desc.hidden, rows, matrix.data(), packed.data(), error);
    });
  });
  const Cost copy = median_cost(repeat, [&] { std::memcpy(packed.data(), matrix.data(), matrix.size()); });
  upload(library, device, desc, matrix);  // compiles
  const Cost whole = median_cost(repeat, [&] { upload(library, device, desc, matrix); });
  const double gigabytes = static_cast<double>(matrix.size()) / 1e9;
  std::printf("%-8s %8.0f %14.3f %14.3f %14.2f %20.3f\n", name, 3e3 * gigabytes, pack.process / gigabytes,
              copy.process / gigabytes, 3 * gigabytes / whole.wall, whole.process / (3 * gigabytes));
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = MOEVK_LIBRARY_PATH;
  uint64_t megabytes = 200;
  int repeat = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--library") path = argv[i + 1];
    if (option == "--megabytes") megabytes = std::max(1ul, std::strtoul(argv[i + 1], nullptr, 10));
    if (option == "--repeat") repeat = std::max(1, std::atoi(argv[i + 1]));
  }
  try {
    const moe::Library library(path);
    const moe::Instance instance = moe::create_instance(library);
    uint32_t index = 0, count = 0;
    moe::check([&](moe_error* error) { return library->get_device_count(instance, &count, error); });
    moe::check([&](moe_error* error) { return library->choose_device(instance, &index, error); });
    if (index == count - 1) {
      std::printf("no Vulkan device: %s\n", library->why_no_gpu(instance));
      return 1;
    }
    moe_device_info info = moe_init<moe_device_info>();
    moe::check([&](moe_error* error) { return library->get_device_info(instance, index, &info, error); });
    const moe::Device device = moe::open_device(library, instance, index);
    std::printf("device %s (%s)\n", info.name, info.driver);
    std::printf("%-8s %8s %14s %14s %14s %20s\n", "format", "MB", "pack, s/GB", "copy, s/GB", "upload, GB/s",
                "all processors, s/GB");
    const struct {
      const char* name;
      uint32_t gguf;
    } formats[] = {{"q4_0", 2}, {"q8_0", 8}, {"q3_K", 11}, {"q4_K", 12}, {"q5_K", 13}, {"q6_K", 14}, {"mxfp4", 39}};
    for (const auto& format : formats) measure(library, device, format.name, 1 + format.gguf, megabytes, repeat);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "upload_cost: %s\n", error.what());
    return 1;
  }
  return 0;
}
